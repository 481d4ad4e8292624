/* A TAP uplink's parts: tap.c has its life and what concerns the whole interface, tap_io.c moves
 * packets. */
#ifndef BACKENDS_UPLINKS_TAP_PRIVATE_H
#define BACKENDS_UPLINKS_TAP_PRIVATE_H

#include "pvdrivers/backends/uplinks/tap.h"
#include "pvdrivers/ring/barrier.h"

struct tap_queue {
    int fd;
    int wake_fd; /* an epoll instance: readable when the queue is, while `armed` */
    bool armed;
    bool took;                       /* packets, since its user last slept */
    bool gone;                       /* the interface is: fd is none of its queues any more */
    uint64_t read_after;             /* ns: the queue was empty a moment ago */
    struct pv_packet *small, *large; /* for the next read */
    struct pv_uplink_stats stats;    /* has one writer: the thread that uses the queue */
} __attribute__((aligned(128)));

struct tap {
    struct pv_uplink uplink; /* first */
    int gone_fd;
    struct tap_queue queues[];
};

static inline struct tap *tap_of(struct pv_uplink *uplink)
{
    return (struct tap *)uplink;
}

/* tap_io.c */
void tap_send(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
              struct pv_packet **packets, uint32_t count, uint64_t now);
uint32_t tap_receive(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
                     struct pv_packet **packets, uint32_t count, uint64_t now);
bool tap_arm(struct pv_uplink *uplink, uint32_t index);
void tap_purge(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache);

#endif
