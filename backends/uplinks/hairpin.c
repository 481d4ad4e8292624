/* What is sent comes back on the same queue. */
#include "backends/uplinks/queued_uplink.h"
#include "pvdrivers/backends/uplinks/uplinks.h"
#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>

static void send(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)now;
    struct uplink_queue *queue = &((struct queued_uplink *)uplink)->queues[index];
    uint64_t bytes = 0;
    uint32_t taken = packet_queue_push(&queue->waiting, packets, count);
    for (uint32_t i = 0; i < taken; i++) /* they wait for this same thread */
        bytes += packets[i]->length;
    pv_add_counter(&queue->tx_packets, taken);
    pv_add_counter(&queue->tx_bytes, bytes);
    pv_add_counter(&queue->tx_dropped, count - taken);
    pv_packet_release(cache, packets + taken, count - taken);
}

static void close_uplink(struct pv_uplink *uplink)
{
    queued_uplink_destroy((struct queued_uplink *)uplink);
    free(uplink);
}

static const struct pv_uplink_ops hairpin_ops = {.name = "hairpin",
                                                 .send = send,
                                                 .receive = queued_uplink_receive,
                                                 .arm = queued_uplink_arm,
                                                 .fd = queued_uplink_fd,
                                                 .purge = queued_uplink_purge,
                                                 .get_stats = queued_uplink_get_stats,
                                                 .close = close_uplink};

struct pv_uplink *pv_hairpin_uplink_create(struct pv_packet_pool *pool, uint32_t queues)
{
    struct queued_uplink *hairpin = calloc(1, sizeof *hairpin);
    if (!hairpin)
        return NULL;
    int status = queued_uplink_init(hairpin, &hairpin_ops, pool, queues, PV_UPLINK_WAITING_PACKETS);
    if (status < 0) {
        free(hairpin);
        errno = -status;
        return NULL;
    }
    hairpin->uplink.tx_offloads = (struct pv_uplink_offloads){true, true, true, true};
    return &hairpin->uplink;
}
