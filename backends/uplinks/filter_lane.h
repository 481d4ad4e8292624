/* Packets that a filter holds, in the order in which they are due; of one queue and direction, so
 * that one thread uses it. Bounded as what waits for a guest is. */
#ifndef BACKENDS_UPLINKS_FILTER_LANE_H
#define BACKENDS_UPLINKS_FILTER_LANE_H

#include "pvdrivers/vnif/packet.h"

#define FILTER_LANE_PACKETS 1024u

struct held_packet {
    struct pv_packet *packet;
    uint64_t due; /* ns */
};

struct filter_lane {
    struct held_packet *held; /* a ring of FILTER_LANE_PACKETS */
    uint32_t head, count;
    size_t memory;      /* bytes, of the packets' buffers */
    uint32_t direction; /* enum pv_uplink_direction */
    uint64_t seed;      /* of this lane's random numbers */
    uint64_t seen;      /* packets: all that those numbers depend on */
    uint64_t dropped;   /* read by others too */
};

/* What it needs for one packet more. */
bool filter_lane_has_room(const struct filter_lane *lane, const struct pv_packet *packet);
/* Behind those that are due at the same time; drops the packet when there is no room. */
void filter_lane_add(struct filter_lane *lane, struct pv_packet_cache *cache,
                     struct pv_packet *packet, uint64_t due);
void filter_lane_drop(struct filter_lane *lane, struct pv_packet_cache *cache,
                      struct pv_packet *packet);
/* Takes the first that are due by now, `count` at most; returns how many. */
uint32_t filter_lane_take(struct filter_lane *lane, struct pv_packet **packets, uint32_t count,
                          uint64_t now);
bool filter_lane_is_due(const struct filter_lane *lane, uint64_t now);
/* When the first that is due later than now is; UINT64_MAX: there is none. */
uint64_t filter_lane_next(const struct filter_lane *lane, uint64_t now);
void filter_lane_drop_all(struct filter_lane *lane, struct pv_packet_cache *cache);

#endif
