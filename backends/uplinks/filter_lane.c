#include "backends/uplinks/filter_lane.h"

#include "backends/uplinks/packet_queue.h"
#include "pvdrivers/ring/barrier.h"

static struct held_packet *place(const struct filter_lane *lane, uint32_t index)
{
    return &lane->held[(lane->head + index) % FILTER_LANE_PACKETS];
}

bool filter_lane_has_room(const struct filter_lane *lane, const struct pv_packet *packet)
{
    return lane->count < FILTER_LANE_PACKETS &&
           lane->memory + packet->capacity <= PACKET_QUEUE_MAX_MEMORY;
}

void filter_lane_drop(struct filter_lane *lane, struct pv_packet_cache *cache,
                      struct pv_packet *packet)
{
    pv_add_counter(&lane->dropped, 1);
    pv_packet_release(cache, &packet, 1);
}

void filter_lane_add(struct filter_lane *lane, struct pv_packet_cache *cache,
                     struct pv_packet *packet, uint64_t due)
{
    if (!filter_lane_has_room(lane, packet)) {
        filter_lane_drop(lane, cache, packet);
        return;
    }
    uint32_t index = lane->count++;
    for (; index > 0 && place(lane, index - 1)->due > due; index--)
        *place(lane, index) = *place(lane, index - 1);
    *place(lane, index) = (struct held_packet){.packet = packet, .due = due};
    lane->memory += packet->capacity;
}

uint32_t filter_lane_take(struct filter_lane *lane, struct pv_packet **packets, uint32_t count,
                          uint64_t now)
{
    uint32_t taken = 0;
    while (taken < count && filter_lane_is_due(lane, now)) {
        struct pv_packet *packet = place(lane, 0)->packet;
        lane->head = (lane->head + 1) % FILTER_LANE_PACKETS;
        lane->count--;
        lane->memory -= packet->capacity;
        packets[taken++] = packet;
    }
    return taken;
}

bool filter_lane_is_due(const struct filter_lane *lane, uint64_t now)
{
    return lane->count > 0 && place(lane, 0)->due <= now;
}

uint64_t filter_lane_next(const struct filter_lane *lane, uint64_t now)
{
    for (uint32_t i = 0; i < lane->count; i++)
        if (place(lane, i)->due > now)
            return place(lane, i)->due;
    return UINT64_MAX;
}

void filter_lane_drop_all(struct filter_lane *lane, struct pv_packet_cache *cache)
{
    struct pv_packet *packet;
    while (filter_lane_take(lane, &packet, 1, UINT64_MAX) == 1)
        filter_lane_drop(lane, cache, packet);
}
