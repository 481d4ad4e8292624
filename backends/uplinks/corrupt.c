/* Flips a bit in some packets, behind the Ethernet header and after their checksums were made: so
 * it is the receiver's checksum that tells. */
#include "backends/uplinks/filter.h"

#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/vnif/headers.h"

#define MAX_SEGMENTS 64u

static void flip_a_bit(struct pv_packet *packet, uint64_t random)
{
    packet->csum_blank = packet->data_validated = false;
    if (packet->length <= PV_PACKET_MIN_LENGTH)
        return;
    uint64_t bits = 8ull * (packet->length - PV_PACKET_MIN_LENGTH), bit = random % bits;
    packet->data[PV_PACKET_MIN_LENGTH + bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* One of the segments that it would have been on a wire. */
static void corrupt_segment(struct filter_lane *lane, struct pv_packet_cache *cache,
                            struct pv_packet *packet, uint64_t now, uint64_t random)
{
    struct pv_packet *segments[MAX_SEGMENTS];
    int count = pv_packet_segment(packet, cache, false, segments, MAX_SEGMENTS);
    if (count <= 0) {
        filter_lane_drop(lane, cache, packet);
        return;
    }
    flip_a_bit(segments[random % (unsigned)count], random >> 8);
    for (int i = 0; i < count; i++)
        filter_lane_add(lane, cache, segments[i], now);
    pv_packet_release(cache, &packet, 1);
}

static void pass(struct uplink_filter *filter, struct filter_lane *lane,
                 struct pv_packet_cache *cache, struct pv_packet *packet, uint64_t now)
{
    uint64_t random;
    if (!uplink_filter_strikes(filter, lane, &random)) {
        filter_lane_add(lane, cache, packet, now);
        return;
    }
    if (packet->gso_type != XEN_NETIF_GSO_TYPE_NONE) {
        corrupt_segment(lane, cache, packet, now, random);
        return;
    }
    packet = pv_packet_make_private(cache, packet);
    if (!packet) { /* it is released */
        pv_add_counter(&lane->dropped, 1);
        return;
    }
    if (packet->csum_blank)
        pv_packet_fill_checksum(packet);
    flip_a_bit(packet, random);
    filter_lane_add(lane, cache, packet, now);
}

struct pv_uplink *pv_uplink_corrupt_create(struct pv_uplink *below,
                                           const struct pv_uplink_filter_config *config)
{
    struct pv_uplink *uplink =
        uplink_filter_create(sizeof(struct uplink_filter), "corrupt", below, config, pass);
    if (uplink && config->directions & PV_UPLINK_TX)
        uplink->no_data = false;
    return uplink;
}
