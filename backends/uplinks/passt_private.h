/* A passt uplink's parts: passt.c has its life and its connection, passt_io.c moves frames. */
#ifndef BACKENDS_UPLINKS_PASST_PRIVATE_H
#define BACKENDS_UPLINKS_PASST_PRIVATE_H

#include "pvdrivers/backends/uplinks/passt.h"
#include "pvdrivers/ring/barrier.h"

#include <sys/un.h>

#define PREFIX_SIZE 4            /* bytes: a frame's length */
#define READ_SIZE (128u * 1024u) /* bytes: the longest frame, and more of short ones */
#define MAX_WAITING 256u         /* frames; a power of two */

struct passt {
    struct pv_uplink uplink; /* first */
    struct sockaddr_un address;
    int epoll_fd; /* readable when the socket is ready for what `events` says */
    int socket;   /* -1: passt is not there */
    uint32_t connected;
    uint32_t events;
    uint64_t connect_after, read_after; /* ns */

    /* What passt has sent and nobody has taken: from `start` to `end`. */
    uint8_t *input;
    uint32_t start, end;
    /* Frames that the socket had no room for, and how much of the first, with its prefix, is sent.
     */
    struct pv_packet *waiting[MAX_WAITING];
    uint32_t head, count, sent;

    struct pv_uplink_stats stats; /* has one writer: the thread that uses the queue */
};

static inline struct passt *passt_of(struct pv_uplink *uplink)
{
    return (struct passt *)uplink;
}

/* passt.c */
/* When it is time for the next try. */
void passt_try_to_connect(struct passt *passt, uint64_t now);
/* Drops what waits for passt, and the frame that it has not finished. */
void passt_disconnect(struct passt *passt, struct pv_packet_cache *cache, uint64_t now);
void passt_watch(struct passt *passt, uint32_t events);

/* passt_io.c */
void passt_send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                struct pv_packet **packets, uint32_t count, uint64_t now);
uint32_t passt_receive(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                       struct pv_packet **packets, uint32_t count, uint64_t now);
bool passt_arm(struct pv_uplink *uplink, uint32_t queue);
void passt_purge(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache);

#endif
