/* The limit of what a guest transmits: Linux's windows, and what a change of it does. */
#include "backends/vnif/netback_private.h"
#include "tests/backends/vnif/c/loopback.h"

#define MS 1000000u /* ns */

/* ---- by itself ------------------------------------------------------------------------------- */

static uint64_t take_all(struct netback_credit *credit, uint32_t size, uint64_t now)
{
    uint64_t taken = 0;
    while (taken < 100000000 && netback_credit_take(credit, size, now))
        taken += size;
    return taken;
}

static void test_windows(void)
{
    struct netback_credit credit = {.deadline = UINT64_MAX};
    netback_credit_set(&credit, 200000, 50000, 7 * MS);
    assert(take_all(&credit, 1000, 7 * MS) == 200000);
    assert(credit.deadline == 57 * MS);
    assert(take_all(&credit, 1000, 57 * MS - 1) == 0);
    assert(take_all(&credit, 1000, 57 * MS) == 200000);
    assert(take_all(&credit, 1000, 300 * MS) == 200000); /* no more is saved up than a window's */
    assert(credit.deadline == 350 * MS);
}

/* So that a limit below a large packet's size does not stop it for good. */
static void test_burst(void)
{
    struct netback_credit credit = {.deadline = UINT64_MAX};
    netback_credit_set(&credit, 10000, 1000, 0);
    uint64_t now = 0, windows = 0;
    while (!netback_credit_take(&credit, 65535, now)) {
        assert(credit.deadline > now);
        now = credit.deadline;
        windows++;
    }
    assert(windows == 6); /* ten thousand at first, and the rest in six more */
    while (credit.left < 131072 && now < 1000 * MS)
        netback_credit_take(&credit, 200000, now += MS);
    assert(credit.left == 131072);
}

static void test_change(void)
{
    struct netback_credit credit = {.deadline = UINT64_MAX};
    assert(take_all(&credit, 1000, 0) == 100000000); /* no limit at first */
    netback_credit_set(&credit, 300000, 50000, 10 * MS);
    assert(take_all(&credit, 1000, 10 * MS) == 300000);
    netback_credit_set(&credit, 200000, 10000, 20 * MS);
    assert(credit.deadline == UINT64_MAX && take_all(&credit, 1000, 20 * MS) == 200000);
    netback_credit_set(&credit, 400000, 1000000, 20 * MS);
    assert(take_all(&credit, 1000, 20 * MS) == 0 && credit.deadline == 1020 * MS);
    netback_credit_set(&credit, 0, 50000, 20 * MS);
    assert(take_all(&credit, 1000, 20 * MS) == 100000000);
    netback_credit_set(&credit, 1000, 0, 20 * MS); /* without a time it is none */
    assert(take_all(&credit, 1000, 20 * MS) == 100000000);
}

static void test_no_overflow(void)
{
    struct netback_credit credit = {.deadline = UINT64_MAX};
    netback_credit_set(&credit, UINT64_MAX, 1, 0);
    for (uint64_t now = 0; now < 100; now++)
        assert(netback_credit_take(&credit, 65535, now));
    netback_credit_set(&credit, UINT64_MAX, UINT64_MAX, 0);
    assert(netback_credit_take(&credit, 65535, 5));
}

/* ---- in a queue ------------------------------------------------------------------------------ */

static struct loopback *open_with(uint64_t bytes, uint64_t usec)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.now = 100 * MS;
    loop.config.rate_bytes = bytes;
    loop.config.rate_usec = usec;
    loopback_connect(&loop);
    return &loop;
}

/* What waits stays on the ring, rx goes on, and the queue asks to be pumped in time. */
static void test_throttled_queue(void)
{
    struct loopback *loop = open_with(10000, 50000);
    for (int i = 0; i < 15; i++)
        tx_put_request(loop, DATA, 0, 1000, 0);
    rx_post(loop, 0, 1);
    uplink_queue(loop, 60);
    assert(loopback_pump(loop) == 10 + 1 && loop->uplink.sent_count == 10);
    assert(!pv_netback_queue_arm(loop->back[0]));
    assert(pv_netback_queue_deadline(loop->back[0]) == 150 * MS);
    loop->now = 149 * MS;
    assert(loopback_pump(loop) == 0);
    loop->now = 150 * MS;
    assert(loopback_pump(loop) == 5 && loop->uplink.sent_count == 15);
    assert(loopback_stats(loop).throttled == 1);
    assert(pv_netback_queue_deadline(loop->back[0]) == UINT64_MAX);
    for (int i = 0; i < 15; i++)
        tx_expect(loop, DATA, NETIF_RSP_OKAY);
    loopback_close(loop);
}

/* A packet of several slots is taken whole or not at all. */
static void test_throttled_packet(void)
{
    struct loopback *loop = open_with(1500, 50000);
    tx_put_request(loop, DATA, 0, 1000, 0);
    tx_put_request(loop, DATA + 1, 0, 600, NETTXF_more_data);
    tx_put_request(loop, DATA + 2, 0, 100, 0);
    assert(loopback_pump(loop) == 1);
    tx_expect(loop, DATA, NETIF_RSP_OKAY);
    assert(tx_is_empty(loop));
    loop->now += 50 * MS;
    assert(loopback_pump(loop) == 1 && loop->uplink.sent[1]->length == 600);
    tx_expect(loop, DATA + 1, NETIF_RSP_OKAY);
    tx_expect(loop, DATA + 2, NETIF_RSP_OKAY);
    loopback_close(loop);
}

/* A guest that takes back the packet that waits: there is nothing to be pumped in time for. */
static void test_nobody_waits(void)
{
    struct loopback *loop = open_with(1000, 50000);
    struct pv_front_ring *ring = &loop->front[0].tx;
    tx_put_request(loop, DATA, 0, 1000, 0);
    tx_put_request(loop, DATA, 0, 1000, 0);
    assert(loopback_pump(loop) == 1 && !pv_netback_queue_arm(loop->back[0]));
    assert(pv_netback_queue_deadline(loop->back[0]) == 150 * MS);
    ring->sring->req_prod = --ring->req_prod_pvt;
    loop->now = 150 * MS;
    assert(loopback_pump(loop) == 0 && !pv_netback_queue_arm(loop->back[0]));
    assert(pv_netback_queue_deadline(loop->back[0]) == UINT64_MAX);
    tx_put_request(loop, DATA, 0, 1000, 0);
    assert(pv_front_push_requests(ring)); /* it was asked to tell of the next one */
    assert(loopback_pump(loop) == 1);
    loopback_close(loop);
}

/* A change wakes a queue that waits for the old limit. */
static void test_live_change(void)
{
    struct loopback *loop = open_with(1000, 1000000000);
    for (int i = 0; i < 4; i++)
        tx_put_request(loop, DATA, 0, 1000, 0);
    assert(loopback_pump(loop) == 1 && !pv_netback_queue_arm(loop->back[0]));
    int fd = pv_netback_queue_pollable(loop->back[0])->fd;
    assert(!is_readable(fd));
    pv_netback_vif_set_rate(loop->vif, 0, 0);
    assert(is_readable(fd));
    assert(loopback_pump(loop) == 3 && !is_readable(fd));
    pv_netback_vif_set_rate(loop->vif, 1000, 50000);
    for (int i = 0; i < 4; i++)
        tx_put_request(loop, DATA, 0, 1000, 0);
    assert(loopback_pump(loop) == 1);
    loopback_close(loop);
}

int main(void)
{
    test_windows();
    test_burst();
    test_change();
    test_no_overflow();
    test_throttled_queue();
    test_throttled_packet();
    test_nobody_waits();
    test_live_change();
    return 0;
}
