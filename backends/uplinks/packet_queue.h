/*
 * Packets that wait for one receiver: any thread adds some, one at a time takes them. It is bounded
 * in packets and in the memory they hold, and drops what comes when it is full, so that a receiver
 * that does not read costs no more.
 */
#ifndef BACKENDS_UPLINKS_PACKET_QUEUE_H
#define BACKENDS_UPLINKS_PACKET_QUEUE_H

#include "pvdrivers/vnif/packet.h"

#include <pthread.h>

#define PACKET_QUEUE_MAX_MEMORY (8u << 20) /* bytes: 127 of the longest packets */

struct packet_queue {
    pthread_mutex_t lock;
    struct pv_packet **slots;
    uint32_t size; /* of slots, a power of two */
    uint32_t head, count;
    size_t memory; /* bytes, of the packets' buffers */
    uint8_t armed; /* the receiver sleeps, or is about to */
    bool signalled;
    int fd;                  /* an eventfd */
    uint64_t packets, bytes; /* that the receiver has taken */
    uint64_t dropped;
};

/* For at least `size` packets. 0 or a negative errno. */
int packet_queue_init(struct packet_queue *queue, uint32_t size);
/* Drops what waits. */
void packet_queue_destroy(struct packet_queue *queue);
/* Takes the first of the packets, as many as there is room for, and counts the others as dropped;
 * returns how many it has taken. The others stay the caller's. */
uint32_t packet_queue_push(struct packet_queue *queue, struct pv_packet **packets, uint32_t count);
/* Counts what came for a receiver that is not there. */
void packet_queue_count_dropped(struct packet_queue *queue, uint32_t count);
uint32_t packet_queue_pop(struct packet_queue *queue, struct pv_packet **packets, uint32_t count);
/* Asks that fd becomes readable with the next packet; true when there is one already. */
bool packet_queue_arm(struct packet_queue *queue);
void packet_queue_purge(struct packet_queue *queue, struct pv_packet_cache *cache);

#endif
