/* Gives some packets on twice. */
#include "backends/uplinks/filter.h"

static void pass(struct uplink_filter *filter, struct filter_lane *lane,
                 struct pv_packet_cache *cache, struct pv_packet *packet, uint64_t now)
{
    uint64_t unused;
    if (uplink_filter_strikes(filter, lane, &unused)) {
        pv_packet_hold(packet, 1);
        filter_lane_add(lane, cache, packet, now);
    }
    filter_lane_add(lane, cache, packet, now);
}

struct pv_uplink *pv_uplink_duplicate_create(struct pv_uplink *below,
                                             const struct pv_uplink_filter_config *config)
{
    return uplink_filter_create(sizeof(struct uplink_filter), "duplicate", below, config, pass);
}
