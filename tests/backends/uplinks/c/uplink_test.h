/* What the tests of uplinks share: a pool, a cache, and frames with a number in them. */
#ifndef TESTS_BACKENDS_UPLINKS_C_UPLINK_TEST_H
#define TESTS_BACKENDS_UPLINKS_C_UPLINK_TEST_H

#include "pvdrivers/backends/uplinks/uplinks.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define HEADER 14u

struct frame {
    uint8_t to[6], from[6], type[2];
    uint32_t number;
} __attribute__((packed));

/* A frame of `length` bytes from one station to another; a station's address ends with its number,
 * and 255 is all of them. */
static inline struct pv_packet *make_frame(struct pv_packet_cache *cache, uint8_t from, uint8_t to,
                                           uint32_t number, uint32_t length)
{
    struct pv_packet *packet = pv_packet_alloc(cache, length);
    assert(packet);
    struct frame frame = {.to = {2, 0, 0, 0, 0, to},
                          .from = {2, 0, 0, 0, 0, from},
                          .type = {0x88, 0xb5}, /* for experiments (IEEE 802) */
                          .number = number};
    if (to == 255)
        memset(frame.to, 255, sizeof frame.to);
    memset(packet->data, 0, length);
    memcpy(packet->data, &frame, sizeof frame);
    packet->length = length;
    return packet;
}

static inline uint32_t number_of(const struct pv_packet *packet)
{
    struct frame frame;
    memcpy(&frame, packet->data, sizeof frame);
    return frame.number;
}

static inline void send_one(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                            struct pv_packet *packet, uint64_t now)
{
    uplink->ops->send(uplink, queue, cache, &packet, 1, now);
}

static inline bool is_readable(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, 0) == 1;
}

static inline struct pv_uplink_stats stats_of(struct pv_uplink *uplink)
{
    struct pv_uplink_stats stats;
    uplink->ops->get_stats(uplink, &stats);
    return stats;
}

#endif
