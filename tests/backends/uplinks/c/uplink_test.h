/* What the tests of uplinks share: a pool, a cache, and packets with a number in them. */
#ifndef TESTS_BACKENDS_UPLINKS_C_UPLINK_TEST_H
#define TESTS_BACKENDS_UPLINKS_C_UPLINK_TEST_H

#include "pvdrivers/backends/uplinks/uplinks.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define HEADER 14u

struct frame {
    uint8_t to[6], from[6], type[2];
    uint8_t ip[20]; /* IPv4, without options and checksum */
    uint8_t udp[8];
    uint32_t number;
} __attribute__((packed));

/* A UDP packet of `length` bytes from one station to another; a station's addresses end with its
 * number, and 255 is all of them. Odd and even numbers are two flows. */
static inline struct pv_packet *make_frame(struct pv_packet_cache *cache, uint8_t from, uint8_t to,
                                           uint32_t number, uint32_t length)
{
    struct pv_packet *packet = pv_packet_alloc(cache, length);
    assert(packet && length >= sizeof(struct frame));
    struct frame frame = {
        .to = {2, 0, 0, 0, 0, to},
        .from = {2, 0, 0, 0, 0, from},
        .type = {8, 0},
        .ip = {0x45,
               0,
               (uint8_t)((length - HEADER) >> 8),
               (uint8_t)(length - HEADER),
               0,
               0,
               0,
               0,
               64,
               IPPROTO_UDP,
               0,
               0,
               10,
               0,
               0,
               from,
               10,
               0,
               0,
               to},
        .udp = {0, (uint8_t)(number % 2), 0, 9, (uint8_t)((length - HEADER - 20) >> 8),
                (uint8_t)(length - HEADER - 20)},
        .number = number,
    };
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
