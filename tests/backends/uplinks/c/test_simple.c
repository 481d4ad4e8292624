/* The uplinks that are nothing but an end: null and hairpin. */
#include "tests/backends/uplinks/c/uplink_test.h"

#include <errno.h>

static struct pv_packet_pool *pool;
static struct pv_packet_cache *cache;

static void test_null_swallows(void)
{
    struct pv_uplink *null = pv_null_uplink_create(pool, 2);
    struct pv_packet *packets[3], *got[3];
    for (uint32_t i = 0; i < 3; i++)
        packets[i] = make_frame(cache, 1, 2, i, 100);
    null->ops->send(null, 1, cache, packets, 3, 0);
    assert(null->no_data && null->ops->fd(null, 0) == -1);
    assert(null->ops->receive(null, 1, cache, got, 3, 0) == 0);
    struct pv_uplink_stats stats = stats_of(null);
    assert(stats.tx_packets == 3 && stats.tx_bytes == 300 && stats.tx_dropped == 0);
    assert(pv_packet_pool_used(pool) == 0);
    null->ops->close(null);
}

/* In order, on the queue where they were sent, as the same packets. */
static void test_hairpin_gives_back(void)
{
    struct pv_uplink *hairpin = pv_hairpin_uplink_create(pool, 2);
    struct pv_packet *packets[4], *got[4];
    for (uint32_t i = 0; i < 4; i++)
        packets[i] = make_frame(cache, 1, 2, i, 60 + i);
    packets[3]->csum_blank = true;
    packets[3]->gso_size = 1448;
    hairpin->ops->send(hairpin, 1, cache, packets, 4, 0);
    assert(hairpin->ops->receive(hairpin, 0, cache, got, 4, 0) == 0);
    assert(hairpin->ops->receive(hairpin, 1, cache, got, 3, 0) == 3);
    assert(got[0] == packets[0] && got[1] == packets[1] && got[2] == packets[2]);
    assert(hairpin->ops->receive(hairpin, 1, cache, got + 3, 4, 0) == 1);
    assert(got[3] == packets[3] && got[3]->csum_blank && got[3]->gso_size == 1448);
    pv_packet_release(cache, got, 4);
    struct pv_uplink_stats stats = stats_of(hairpin);
    assert(stats.tx_packets == 4 && stats.rx_packets == 4);
    assert(stats.tx_bytes == 246 && stats.rx_bytes == 246);
    hairpin->ops->close(hairpin);
}

/* A guest that sends and never reads. */
static void test_hairpin_is_bounded(void)
{
    struct pv_uplink *hairpin = pv_hairpin_uplink_create(pool, 1);
    for (uint32_t i = 0; i < PV_UPLINK_WAITING_PACKETS + 10; i++)
        send_one(hairpin, 0, cache, make_frame(cache, 1, 2, i, 60), 0);
    struct pv_uplink_stats stats = stats_of(hairpin);
    assert(stats.tx_packets == PV_UPLINK_WAITING_PACKETS);
    assert(stats.tx_dropped == 10 && stats.rx_dropped == 10);
    assert(pv_packet_pool_used(pool) == PV_UPLINK_WAITING_PACKETS);
    struct pv_packet *first;
    assert(hairpin->ops->receive(hairpin, 0, cache, &first, 1, 0) == 1 && number_of(first) == 0);
    pv_packet_release(cache, &first, 1);
    hairpin->ops->purge(hairpin, 0, cache);
    assert(pv_packet_pool_used(pool) == 0);
    assert(stats_of(hairpin).rx_dropped == 10 + PV_UPLINK_WAITING_PACKETS - 1);
    hairpin->ops->close(hairpin);
}

/* Long packets hold more memory than short ones, and what counts is what they hold. */
static void test_memory_is_bounded(void)
{
    struct pv_uplink *hairpin = pv_hairpin_uplink_create(pool, 1);
    for (uint32_t i = 0; i < 200; i++)
        send_one(hairpin, 0, cache, make_frame(cache, 1, 2, i, 2000), 0);
    uint32_t most = (8u << 20) / PV_PACKET_LARGE_CAPACITY;
    assert(stats_of(hairpin).tx_packets == most && pv_packet_pool_used(pool) == most);
    hairpin->ops->close(hairpin); /* with packets that wait */
    assert(pv_packet_pool_used(pool) == 0);
}

static void test_the_fd_tells_who_has_asked(void)
{
    struct pv_uplink *hairpin = pv_hairpin_uplink_create(pool, 1);
    int fd = hairpin->ops->fd(hairpin, 0);
    struct pv_packet *got;
    send_one(hairpin, 0, cache, make_frame(cache, 1, 2, 0, 60), 0);
    assert(!is_readable(fd)); /* nobody sleeps */
    assert(hairpin->ops->arm(hairpin, 0));
    assert(hairpin->ops->receive(hairpin, 0, cache, &got, 1, 0) == 1);
    pv_packet_release(cache, &got, 1);

    assert(!hairpin->ops->arm(hairpin, 0));
    send_one(hairpin, 0, cache, make_frame(cache, 1, 2, 1, 60), 0);
    assert(is_readable(fd));
    assert(hairpin->ops->receive(hairpin, 0, cache, NULL, 0, 0) == 0); /* the guest has no room */
    assert(!is_readable(fd));
    hairpin->ops->purge(hairpin, 0, cache);

    assert(!hairpin->ops->arm(hairpin, 0));
    assert(hairpin->ops->receive(hairpin, 0, cache, &got, 1, 0) == 0); /* awake by itself */
    send_one(hairpin, 0, cache, make_frame(cache, 1, 2, 2, 60), 0);
    assert(!is_readable(fd));
    hairpin->ops->close(hairpin);
}

static void test_numbers_of_queues(void)
{
    static const uint32_t wrong[] = {0, PV_UPLINK_MAX_QUEUES + 1};
    for (int i = 0; i < 2; i++) {
        errno = 0;
        assert(!pv_null_uplink_create(pool, wrong[i]) && errno == EINVAL);
        errno = 0;
        assert(!pv_hairpin_uplink_create(pool, wrong[i]) && errno == EINVAL);
    }
    struct pv_uplink *uplink = pv_hairpin_uplink_create(pool, PV_UPLINK_MAX_QUEUES);
    assert(uplink->queues == PV_UPLINK_MAX_QUEUES);
    uplink->ops->close(uplink);
}

int main(void)
{
    pool = pv_packet_pool_create();
    cache = pv_packet_cache_create(pool);
    test_null_swallows();
    test_hairpin_gives_back();
    test_hairpin_is_bounded();
    test_memory_is_bounded();
    test_the_fd_tells_who_has_asked();
    test_numbers_of_queues();
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
    return 0;
}
