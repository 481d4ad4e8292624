/* No network: it measures what everything else costs. */
#include "pvdrivers/backends/uplinks/uplinks.h"
#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>

struct null_queue {
    uint64_t packets, bytes;
} __attribute__((aligned(128)));

struct null_uplink {
    struct pv_uplink uplink;
    struct null_queue *queues;
};

static void send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)now;
    struct null_queue *counters = &((struct null_uplink *)uplink)->queues[queue];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += packets[i]->length;
    pv_add_counter(&counters->packets, count);
    pv_add_counter(&counters->bytes, bytes);
    pv_packet_release(cache, packets, count);
}

static uint32_t receive(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                        struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)uplink, (void)queue, (void)cache, (void)packets, (void)count, (void)now;
    return 0;
}

static int fd(struct pv_uplink *uplink, uint32_t queue)
{
    (void)uplink, (void)queue;
    return -1;
}

static void get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    *stats = (struct pv_uplink_stats){0};
    for (uint32_t i = 0; i < uplink->queues; i++) {
        const struct null_queue *counters = &((struct null_uplink *)uplink)->queues[i];
        stats->tx_packets += pv_read_counter(&counters->packets);
        stats->tx_bytes += pv_read_counter(&counters->bytes);
    }
}

static void close_uplink(struct pv_uplink *uplink)
{
    free(((struct null_uplink *)uplink)->queues);
    free(uplink);
}

static const struct pv_uplink_ops null_ops = {.name = "null",
                                              .send = send,
                                              .receive = receive,
                                              .fd = fd,
                                              .get_stats = get_stats,
                                              .close = close_uplink};

struct pv_uplink *pv_null_uplink_create(struct pv_packet_pool *pool, uint32_t queues)
{
    if (queues == 0 || queues > PV_UPLINK_MAX_QUEUES) {
        errno = EINVAL;
        return NULL;
    }
    struct null_uplink *null = calloc(1, sizeof *null);
    struct null_queue *counters =
        aligned_alloc(_Alignof(struct null_queue), queues * sizeof counters[0]);
    if (!null || !counters) {
        free(null);
        free(counters);
        return NULL;
    }
    for (uint32_t i = 0; i < queues; i++)
        counters[i] = (struct null_queue){0};
    *null = (struct null_uplink){
        .uplink = {.ops = &null_ops,
                   .pool = pool,
                   .queues = queues,
                   .tx_offloads = {true, true, true, true},
                   .no_data = true},
        .queues = counters,
    };
    return &null->uplink;
}
