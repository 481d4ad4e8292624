/* An uplink with a packet queue in front of each of the guest's: all but `send` is the same for
 * each that has packets come from other threads. */
#ifndef BACKENDS_UPLINKS_QUEUED_UPLINK_H
#define BACKENDS_UPLINKS_QUEUED_UPLINK_H

#include "backends/uplinks/packet_queue.h"
#include "pvdrivers/backends/uplinks/uplink.h"

struct uplink_queue {
    struct packet_queue waiting;               /* for the guest */
    uint64_t tx_packets, tx_bytes, tx_dropped; /* written by the queue's thread alone */
} __attribute__((aligned(128)));

struct queued_uplink {
    struct pv_uplink uplink; /* ops are the creator's */
    struct uplink_queue *queues;
};

/* 0 or a negative errno: -EINVAL is a number of queues that no uplink has. */
int queued_uplink_init(struct queued_uplink *queued, const struct pv_uplink_ops *ops,
                       struct pv_packet_pool *pool, uint32_t queues, uint32_t waiting);
/* Drops what waits. */
void queued_uplink_destroy(struct queued_uplink *queued);

/* Operations. */
uint32_t queued_uplink_receive(struct pv_uplink *uplink, uint32_t queue,
                               struct pv_packet_cache *cache, struct pv_packet **packets,
                               uint32_t count, uint64_t now);
bool queued_uplink_arm(struct pv_uplink *uplink, uint32_t queue);
int queued_uplink_fd(struct pv_uplink *uplink, uint32_t queue);
void queued_uplink_purge(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache);
void queued_uplink_get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats);

#endif
