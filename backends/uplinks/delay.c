/* Holds packets back: all of them, or some, which others then overtake. */
#include "backends/uplinks/filter.h"

struct delay_filter {
    struct uplink_filter filter;
    uint64_t delay, jitter; /* ns */
};

static void pass(struct uplink_filter *filter, struct filter_lane *lane,
                 struct pv_packet_cache *cache, struct pv_packet *packet, uint64_t now)
{
    const struct delay_filter *delay = (const struct delay_filter *)filter;
    uint64_t random;
    if (uplink_filter_strikes(filter, lane, &random))
        now += delay->delay + (delay->jitter ? random % delay->jitter : 0);
    filter_lane_add(lane, cache, packet, now);
}

static struct pv_uplink *create(const char *name, struct pv_uplink *below,
                                const struct pv_uplink_filter_config *config, uint64_t delay,
                                uint64_t jitter)
{
    struct delay_filter *filter = uplink_filter_create(sizeof *filter, name, below, config, pass);
    if (!filter)
        return NULL;
    filter->delay = delay;
    filter->jitter = jitter;
    return &filter->filter.uplink;
}

struct pv_uplink *pv_uplink_delay_create(struct pv_uplink *below,
                                         const struct pv_uplink_filter_config *config,
                                         uint64_t delay, uint64_t jitter)
{
    struct pv_uplink_filter_config all = *config;
    all.probability = 1;
    return create("delay", below, &all, delay, jitter);
}

struct pv_uplink *pv_uplink_reorder_create(struct pv_uplink *below,
                                           const struct pv_uplink_filter_config *config,
                                           uint64_t delay)
{
    return create("reorder", below, config, delay, 0);
}
