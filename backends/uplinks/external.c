/* An uplink whose creator takes what is sent and delivers what comes. */
#include "backends/uplinks/queued_uplink.h"
#include "pvdrivers/backends/uplinks/uplinks.h"
#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/vnif/hash.h"

#include <errno.h>
#include <stdlib.h>

struct external_uplink {
    struct queued_uplink queued;
    pv_external_uplink_sent *sent;
    uint32_t carrier; /* of the guest's queues; read by those who deliver */
    uint64_t errors;
};

static void send(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)now;
    struct external_uplink *external = (struct external_uplink *)uplink;
    struct uplink_queue *queue = &external->queued.queues[index];
    if (count == 0)
        return;
    if (external->sent(uplink, index, packets, count) == 0) {
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < count; i++)
            bytes += packets[i]->length;
        pv_add_counter(&queue->tx_packets, count);
        pv_add_counter(&queue->tx_bytes, bytes);
    } else {
        pv_add_counter(&queue->tx_dropped, count);
        pv_fetch_add_64(&external->errors, 1);
    }
    pv_packet_release(cache, packets, count);
}

uint32_t pv_external_uplink_deliver(struct pv_uplink *uplink, struct pv_packet_cache *cache,
                                    struct pv_packet **packets, uint32_t count)
{
    struct external_uplink *external = (struct external_uplink *)uplink;
    uint32_t queues = pv_read_once(&external->carrier), taken = 0;
    if (queues == 0)
        packet_queue_count_dropped(&external->queued.queues[0].waiting, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = queues > 1 ? pv_packet_flow_hash(packets[i]) % queues : 0;
        struct packet_queue *waiting = &external->queued.queues[index].waiting;
        if (queues > 0 && packet_queue_push(waiting, &packets[i], 1) == 1)
            taken++;
        else
            pv_packet_release(cache, &packets[i], 1);
    }
    return taken;
}

static int set_carrier(struct pv_uplink *uplink, uint32_t queues)
{
    struct external_uplink *external = (struct external_uplink *)uplink;
    pv_write_once(&external->carrier, queues < uplink->queues ? queues : uplink->queues);
    return 0;
}

static void get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    queued_uplink_get_stats(uplink, stats);
    stats->errors = pv_read_once_64(&((struct external_uplink *)uplink)->errors);
}

static void close_uplink(struct pv_uplink *uplink)
{
    queued_uplink_destroy((struct queued_uplink *)uplink);
    free(uplink);
}

static const struct pv_uplink_ops external_ops = {.name = "external",
                                                  .send = send,
                                                  .receive = queued_uplink_receive,
                                                  .arm = queued_uplink_arm,
                                                  .fd = queued_uplink_fd,
                                                  .set_carrier = set_carrier,
                                                  .purge = queued_uplink_purge,
                                                  .get_stats = get_stats,
                                                  .close = close_uplink};

struct pv_uplink *pv_external_uplink_create(struct pv_packet_pool *pool, uint32_t queues,
                                            const struct pv_uplink_offloads *tx_offloads,
                                            pv_external_uplink_sent *sent)
{
    struct external_uplink *external = calloc(1, sizeof *external);
    if (!external)
        return NULL;
    int status = queued_uplink_init(&external->queued, &external_ops, pool, queues,
                                    PV_UPLINK_WAITING_PACKETS);
    if (status < 0) {
        free(external);
        errno = -status;
        return NULL;
    }
    external->sent = sent;
    external->queued.uplink.tx_offloads = *tx_offloads;
    return &external->queued.uplink;
}
