/*
 * All filters over each other, on an uplink whose two queues two threads use, while a third reads
 * the counters and gives the guest packets of its own. What each does is in test_filters.py; here
 * nothing may be lost, doubled or touched by two at once.
 */
#include "tests/backends/uplinks/c/uplink_test.h"

#include "pvdrivers/ring/barrier.h"

#include <pthread.h>

#define QUEUES 2u
#define BATCHES 2000u
#define BATCH 16u

static struct pv_packet_pool *pool;
static struct pv_uplink *external, *top;
static uint64_t sent;          /* packets that have come to the external uplink */
static uint32_t busy = QUEUES; /* threads */

/* Keeps one in four, as somebody behind an uplink may, and gives it back to the guest. */
static int take(struct pv_uplink *uplink, uint32_t queue, struct pv_packet **packets,
                uint32_t count)
{
    (void)queue;
    for (uint32_t i = 0; i < count; i += 4) {
        pv_packet_hold(packets[i], 1);
        pv_external_uplink_deliver(uplink, NULL, &packets[i], 1);
    }
    return pv_fetch_add_64(&sent, count) % 64 == 0 ? -1 : 0;
}

static struct pv_uplink *stack_filters(struct pv_uplink *uplink)
{
    struct pv_uplink_filter_config config = {
        .seed = 3, .directions = PV_UPLINK_BOTH, .probability = 0.2};
    uplink = pv_uplink_loss_create(uplink, &config);
    uplink = pv_uplink_corrupt_create(uplink, &config);
    uplink = pv_uplink_duplicate_create(uplink, &config);
    uplink = pv_uplink_reorder_create(uplink, &config, 3);
    uplink = pv_uplink_delay_create(uplink, &config, 2, 5);
    return pv_uplink_rate_create(uplink, &config, 50000000000, 0); /* a packet a ns or so */
}

struct end {
    uint32_t queue;
    uint64_t sent, received;
};

static void *use(void *argument)
{
    struct end *end = argument;
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        struct pv_packet *packets[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) {
            packets[i] = make_frame(cache, 1, 2, batch * BATCH + i, i % 8 ? 64 : 2000);
            packets[i]->csum_blank = i % 2;
        }
        uint64_t now = 100 * batch;
        top->ops->send(top, end->queue, cache, packets, BATCH, now);
        end->sent += BATCH;
        uint32_t count = top->ops->receive(top, end->queue, cache, packets, BATCH, now);
        for (uint32_t i = 0; i < count; i++)
            assert(packets[i]->length == 64 || packets[i]->length == 2000);
        pv_packet_release(cache, packets, count);
        end->received += count;
        top->ops->arm(top, end->queue);
        assert(top->ops->deadline(top, end->queue) > now);
        if (batch % 256 == 0)
            top->ops->purge(top, end->queue, cache);
    }
    pv_packet_cache_destroy(cache);
    pv_fetch_sub(&busy, 1);
    return NULL;
}

int main(void)
{
    pool = pv_packet_pool_create();
    external = pv_external_uplink_create(
        pool, QUEUES, &(struct pv_uplink_offloads){true, true, true, true}, take);
    top = stack_filters(external);
    assert(top && top->queues == QUEUES && top->tx_offloads.gso_tcpv6);
    top->ops->set_carrier(top, QUEUES);

    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    struct end ends[QUEUES] = {{.queue = 0}, {.queue = 1}};
    pthread_t threads[QUEUES];
    for (uint32_t i = 0; i < QUEUES; i++)
        assert(pthread_create(&threads[i], NULL, use, &ends[i]) == 0);
    struct pv_uplink_stats stats = {0}, before;
    do {
        before = stats;
        stats = stats_of(top);
        assert(stats.tx_packets >= before.tx_packets && stats.rx_dropped >= before.rx_dropped);
        struct pv_packet *packet = make_frame(cache, 3, 2, 0, 64);
        pv_external_uplink_deliver(external, cache, &packet, 1);
    } while (pv_load_acquire(&busy) > 0);
    for (uint32_t i = 0; i < QUEUES; i++) {
        assert(pthread_join(threads[i], NULL) == 0);
        assert(ends[i].received > 0);
    }
    stats = stats_of(top);
    assert(stats.errors > 0 && stats.rx_packets > 0);
    /* What was lost is not more than all, and what came twice makes up for some of it. */
    assert(sent > 0 && stats.tx_dropped < 2 * (ends[0].sent + ends[1].sent));
    assert(pv_packet_pool_used(pool) > 0); /* the lanes' */
    top->ops->close(top);
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
    return 0;
}
