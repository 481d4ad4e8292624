#include "backends/uplinks/queued_uplink.h"

#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int queued_uplink_init(struct queued_uplink *queued, const struct pv_uplink_ops *ops,
                       struct pv_packet_pool *pool, uint32_t queues, uint32_t waiting)
{
    if (queues == 0 || queues > PV_UPLINK_MAX_QUEUES)
        return -EINVAL;
    size_t size = queues * sizeof queued->queues[0];
    queued->queues = aligned_alloc(_Alignof(struct uplink_queue), size);
    if (!queued->queues)
        return -ENOMEM;
    memset(queued->queues, 0, size);
    queued->uplink = (struct pv_uplink){.ops = ops, .pool = pool};
    for (uint32_t i = 0; i < queues; i++) {
        int status = packet_queue_init(&queued->queues[i].waiting, waiting);
        if (status < 0) {
            queued_uplink_destroy(queued);
            return status;
        }
        queued->uplink.queues++;
    }
    return 0;
}

void queued_uplink_destroy(struct queued_uplink *queued)
{
    for (uint32_t i = 0; i < queued->uplink.queues; i++)
        packet_queue_destroy(&queued->queues[i].waiting);
    free(queued->queues);
}

static struct packet_queue *waiting_on(struct pv_uplink *uplink, uint32_t queue)
{
    return &((struct queued_uplink *)uplink)->queues[queue].waiting;
}

uint32_t queued_uplink_receive(struct pv_uplink *uplink, uint32_t queue,
                               struct pv_packet_cache *cache, struct pv_packet **packets,
                               uint32_t count, uint64_t now)
{
    (void)cache, (void)now;
    return packet_queue_pop(waiting_on(uplink, queue), packets, count);
}

bool queued_uplink_arm(struct pv_uplink *uplink, uint32_t queue)
{
    return packet_queue_arm(waiting_on(uplink, queue));
}

int queued_uplink_fd(struct pv_uplink *uplink, uint32_t queue)
{
    return waiting_on(uplink, queue)->fd;
}

void queued_uplink_purge(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache)
{
    packet_queue_purge(waiting_on(uplink, queue), cache);
}

void queued_uplink_get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    *stats = (struct pv_uplink_stats){0};
    for (uint32_t i = 0; i < uplink->queues; i++) {
        struct uplink_queue *queue = &((struct queued_uplink *)uplink)->queues[i];
        stats->tx_packets += pv_read_counter(&queue->tx_packets);
        stats->tx_bytes += pv_read_counter(&queue->tx_bytes);
        stats->tx_dropped += pv_read_counter(&queue->tx_dropped);
        struct packet_queue *waiting = &queue->waiting;
        pthread_mutex_lock(&waiting->lock);
        stats->rx_packets += waiting->packets;
        stats->rx_bytes += waiting->bytes;
        stats->rx_dropped += waiting->dropped;
        pthread_mutex_unlock(&waiting->lock);
    }
}
