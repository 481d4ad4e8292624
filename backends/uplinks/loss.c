/* Drops some packets. */
#include "backends/uplinks/filter.h"

static void pass(struct uplink_filter *filter, struct filter_lane *lane,
                 struct pv_packet_cache *cache, struct pv_packet *packet, uint64_t now)
{
    uint64_t unused;
    if (uplink_filter_strikes(filter, lane, &unused))
        filter_lane_drop(lane, cache, packet);
    else
        filter_lane_add(lane, cache, packet, now);
}

struct pv_uplink *pv_uplink_loss_create(struct pv_uplink *below,
                                        const struct pv_uplink_filter_config *config)
{
    return uplink_filter_create(sizeof(struct uplink_filter), "loss", below, config, pass);
}
