/* The uplink that frames come from without end. */
#include "tools/pvbench/load/packet_source.h"
#include "tools/pvbench/load/packets_private.h"

#include <assert.h>
#include <string.h>

#define BATCH 32u

static struct pv_packet_pool *pool;
static struct pv_packet_cache *cache;
static struct pv_packet *packets[BATCH];

static struct pv_uplink *create(uint64_t rate)
{
    struct pv_packet_source_config config = {.pool = pool,
                                             .queues = 2,
                                             .size = 67,
                                             .rate = rate,
                                             .destination = {0, 0x16, 0x3e, 1, 2, 3}};
    return pv_packet_source_create(&config);
}

static uint32_t take(struct pv_uplink *uplink, uint32_t queue, uint32_t count, uint64_t now)
{
    uint32_t made = uplink->ops->receive(uplink, queue, cache, packets, count, now);
    assert(made <= count);
    return made;
}

static uint32_t discard(struct pv_uplink *uplink, uint32_t count, uint64_t now)
{
    uint32_t made = take(uplink, 0, count, now);
    pv_packet_release(cache, packets, made);
    return made;
}

/* Each queue's frames are numbered from 0, and are what the packet workload takes for good. */
static void test_frames(void)
{
    struct pv_uplink *uplink = create(0);
    uint64_t expected[2] = {0, 0};
    for (uint32_t round = 0; round < 6; round++) {
        uint32_t queue = round % 2, made = take(uplink, queue, BATCH, round);
        assert(made == BATCH && uplink->ops->arm(uplink, queue));
        for (uint32_t i = 0; i < made; i++) {
            uint64_t number;
            assert(packets[i]->length == 67 && packets[i]->data[1] == 0x16);
            assert(pv_frame_check(packets[i], &number) == PV_FRAME_GOOD);
            assert(number == pv_frame_number((uint8_t)queue, expected[queue]++));
        }
        pv_packet_release(cache, packets, made);
    }
    struct pv_uplink_stats stats;
    uplink->ops->get_stats(uplink, &stats);
    assert(stats.rx_packets == 6 * BATCH && stats.rx_bytes == 6 * BATCH * 67);
    assert(stats.rx_dropped == 0 && stats.tx_packets == 0);
    uplink->ops->close(uplink);
}

/* 1000 frames a second: one each millisecond, the first at once. */
static void test_rate(void)
{
    const uint64_t ms = NS_PER_S / 1000, begin = 5 * NS_PER_S;
    struct pv_uplink *uplink = create(1000);
    assert(uplink->ops->deadline(uplink, 0) == UINT64_MAX && uplink->ops->arm(uplink, 0));
    assert(discard(uplink, BATCH, begin) == 1);
    assert(!uplink->ops->arm(uplink, 0) && uplink->ops->deadline(uplink, 0) == begin + ms);
    assert(discard(uplink, BATCH, begin + ms - 1) == 0);
    assert(discard(uplink, BATCH, begin + ms) == 1);
    /* What is a little late is made up for, and counts from the beginning. */
    assert(discard(uplink, BATCH, begin + 5 * ms + ms / 2) == 4);
    assert(uplink->ops->deadline(uplink, 0) == begin + 6 * ms);
    /* After a second without room there is no flood. */
    assert(discard(uplink, BATCH, begin + 1006 * ms) == 1);
    uplink->ops->close(uplink);
}

static void test_what_is_sent_goes_nowhere(void)
{
    struct pv_uplink *uplink = create(0);
    packets[0] = pv_packet_alloc(cache, 100);
    packets[0]->length = 100;
    uplink->ops->send(uplink, 1, cache, packets, 1, 0);
    struct pv_uplink_stats stats;
    uplink->ops->get_stats(uplink, &stats);
    assert(stats.tx_packets == 1 && stats.tx_bytes == 100);
    uplink->ops->close(uplink);
    assert(pv_packet_pool_used(pool) == 0);
}

static void test_configuration(void)
{
    struct pv_packet_source_config
        config = {.pool = pool, .queues = 1, .size = 60},
        wrong[] = {
            {.pool = pool, .queues = 0, .size = 60},
            {.pool = pool, .queues = PV_UPLINK_MAX_QUEUES + 1, .size = 60},
            {.pool = pool, .queues = 1, .size = PV_PACKET_WORKLOAD_MIN_SIZE - 1},
            {.pool = pool, .queues = 1, .size = PV_PACKET_MAX_LENGTH + 1},
        };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        assert(!pv_packet_source_create(&wrong[i]) && errno == EINVAL);
    }
    struct pv_uplink *uplink = pv_packet_source_create(&config);
    assert(uplink);
    uplink->ops->close(uplink);
}

int main(void)
{
    pool = pv_packet_pool_create();
    cache = pv_packet_cache_create(pool);
    test_frames();
    test_rate();
    test_what_is_sent_goes_nowhere();
    test_configuration();
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
    return 0;
}
