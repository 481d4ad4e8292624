/* XSA-392: a guest that posts no buffers. What is kept for it is bounded, dropped after a while,
 * and after a longer one the queue counts as stalled. */
#include "tests/backends/vnif/c/loopback.h"

#define S 1000000000ull /* ns */
#define MS 1000000ull

static struct loopback *open_starved(bool rx_notify)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.rx_notify = rx_notify;
    loop.config.queues = 1;
    loop.config.rx_drain_ns = 10 * S;
    loop.config.rx_stall_ns = 60 * S;
    loopback_connect(&loop);
    loop.now = 5 * S;
    return &loop;
}

static uint64_t deadline(struct loopback *loop)
{
    assert(!pv_netback_queue_arm(loop->back[0]));
    return pv_netback_queue_deadline(loop->back[0]);
}

static bool take_fault(struct loopback *loop)
{
    eventfd_t count;
    return eventfd_read(loop->fault_fd, &count) == 0;
}

static void test_xsa_392_424(void)
{
    struct loopback *loop = open_starved(true);
    for (int i = 0; i < 100; i++)
        uplink_queue(loop, 60);
    assert(loopback_pump(loop) == 0);
    assert(loop->uplink.first_queued == 1); /* one, to know that there are any */
    assert(deadline(loop) == 15 * S && loop->front[0].rx.sring->req_event == 1);
    loop->now = 15 * S - 1;
    assert(loopback_pump(loop) == 0 && loop->uplink.purges == 0);
    loop->now = 15 * S;
    assert(loopback_pump(loop) == 0 && loop->uplink.purges == 1);
    assert(pv_packet_pool_used(loop->uplink.uplink.pool) == 0);
    assert(loopback_stats(loop).rx_dropped == 1); /* and the rest is in the uplink's statistics */
    assert(deadline(loop) == 25 * S && !pv_netback_vif_stalled(loop->vif));

    uplink_queue(loop, 60);
    for (; loop->now < 65 * S; loop->now += 10 * S)
        assert(loopback_pump(loop) == 0);
    assert(!pv_netback_vif_stalled(loop->vif) && !take_fault(loop));
    assert(loopback_pump(loop) == 0 && pv_netback_vif_stalled(loop->vif) && take_fault(loop));
    assert(loopback_stats(loop).rx_stalls == 1 && deadline(loop) == 75 * S);

    rx_post(loop, 0, 1);
    uplink_queue(loop, 61);
    loop->now = 66 * S;
    assert(loopback_pump(loop) == 1 && !pv_netback_vif_stalled(loop->vif) && take_fault(loop));
    rx_expect(loop, 0, 61);
    assert(deadline(loop) == UINT64_MAX);
    loopback_close(loop);
}

/* A guest that takes packets, if slowly, is none that has stopped. */
static void test_progress(void)
{
    struct loopback *loop = open_starved(true);
    uplink_queue(loop, 60);
    for (int i = 0; i < 50; i++) {
        uplink_queue(loop, 60);
        rx_post(loop, 0, 1);
        assert(loopback_pump(loop) == 1); /* and another one waits */
        assert(deadline(loop) == loop->now + 10 * S);
        loop->now += 9 * S;
    }
    assert(loop->uplink.purges == 0 && loopback_stats(loop).rx_stalls == 0);
    loopback_close(loop);
}

/* What is sent to it does not wake a queue that can do nothing with it. */
static void test_uplink_is_not_watched(void)
{
    struct loopback *loop = open_starved(true);
    int fd = pv_netback_queue_pollable(loop->back[0])->fd;
    assert(loopback_pump(loop) == 0 && !pv_netback_queue_arm(loop->back[0]));
    assert(!is_readable(fd));
    eventfd_write(loop->uplink.eventfd, 1);
    assert(is_readable(fd));
    uplink_queue(loop, 60);
    uplink_queue(loop, 60);
    assert(loopback_pump(loop) == 0 && !pv_netback_queue_arm(loop->back[0]));
    assert(!is_readable(fd));
    uint32_t receives = loop->uplink.receives;
    rx_post(loop, 0, 2);
    assert(loopback_pump(loop) == 2 && loop->uplink.receives > receives);
    assert(!pv_netback_queue_arm(loop->back[0]) && is_readable(fd));
    loopback_close(loop);
}

/* Buffers that came behind the last look and that the guest has not told of: it was not asked to.
 */
static void test_buffers_before_sleep(void)
{
    struct loopback *loop = open_starved(true);
    rx_post(loop, 0, 1);
    uplink_queue(loop, 60);
    uplink_queue(loop, 5000);
    assert(loopback_pump(loop) == 1);
    rx_post(loop, 0, 1);
    assert(!pv_front_push_requests(&loop->front[0].rx));
    assert(!pv_netback_queue_arm(loop->back[0])); /* one page too little */
    rx_post(loop, 0, 1);
    assert(pv_front_push_requests(&loop->front[0].rx));
    assert(loopback_pump(loop) == 1);

    uplink_queue(loop, 5000);
    assert(loopback_pump(loop) == 0);
    rx_post(loop, 0, 2);
    assert(!pv_front_push_requests(&loop->front[0].rx));
    assert(pv_netback_queue_arm(loop->back[0]));
    assert(loopback_pump(loop) == 1);
    loopback_close(loop);
}

/* The guest tells when it has posted what the packet needs, not at each buffer before. */
static void test_asks_for_as_many_as_it_needs(void)
{
    struct loopback *loop = open_starved(true);
    rx_post(loop, 0, 2);
    uplink_queue(loop, 17000);
    assert(loopback_pump(loop) == 0 && !pv_netback_queue_arm(loop->back[0]));
    for (uint32_t posted = 3; posted < 5; posted++) {
        rx_post(loop, 0, 1);
        assert(!pv_front_push_requests(&loop->front[0].rx));
    }
    rx_post(loop, 0, 1);
    assert(pv_front_push_requests(&loop->front[0].rx));
    assert(loopback_pump(loop) == 1);
    loopback_close(loop);
}

/* Less headroom may make enough of the buffers that there are. */
static void test_less_headroom(void)
{
    struct loopback *loop = open_starved(true);
    int fd = pv_netback_queue_pollable(loop->back[0])->fd;
    pv_netback_vif_set_xdp_headroom(loop->vif, 256);
    rx_post(loop, 0, 1);
    uplink_queue(loop, 4000); /* takes two pages and an extra info */
    assert(loopback_pump(loop) == 0 && !pv_netback_queue_arm(loop->back[0]));
    assert(!is_readable(fd));
    pv_netback_vif_set_xdp_headroom(loop->vif, 0);
    assert(is_readable(fd) && loopback_pump(loop) == 1);
    loopback_close(loop);
}

/* A guest that does not tell of its buffers is looked at every 30 ms, and never stalled. */
static void test_no_rx_notify(void)
{
    struct loopback *loop = open_starved(false);
    uplink_queue(loop, 60);
    assert(loopback_pump(loop) == 0 && deadline(loop) == 5 * S + 30 * MS);
    loop->now = 5 * S + 30 * MS;
    assert(loopback_pump(loop) == 0 && deadline(loop) == 5 * S + 60 * MS);
    loop->now += 1000 * S;
    loopback_pump(loop);
    assert(!pv_netback_vif_stalled(loop->vif) && loopback_stats(loop).rx_stalls == 0);
    loopback_close(loop);
}

/* Times of 0 are none. */
static void test_for_ever(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    uplink_queue(&loop, 60);
    assert(loopback_pump(&loop) == 0 && deadline(&loop) == UINT64_MAX);
    loop.now = 1000000 * S;
    assert(loopback_pump(&loop) == 0 && loop.uplink.purges == 0);
    assert(!pv_netback_vif_stalled(loop.vif));
    rx_post(&loop, 0, 1);
    assert(loopback_pump(&loop) == 1);
    loopback_close(&loop);
}

/* Stalled is a vif of which all queues are; a queue that ends is none. */
static void test_all_queues(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.rx_stall_ns = S;
    loopback_connect(&loop);
    loopback_connect_queue(&loop, 1);
    uplink_queue(&loop, 60);
    for (loop.now = S; loop.now <= 3 * S; loop.now += S) {
        loopback_pump(&loop);
        pv_netback_queue_pump(loop.back[1], 64, loop.now);
    }
    assert(loopback_stats(&loop).rx_stalls == 1 && !pv_netback_vif_stalled(loop.vif));
    loopback_close(&loop);
}

/* XSA-374: an end in the middle of all that leaves nothing behind. */
static void test_xsa_374_destroyed(void)
{
    struct loopback *loop = open_starved(true);
    uplink_queue(loop, 65000);
    rx_post(loop, 0, 3);
    assert(loopback_pump(loop) == 0);
    loop->now += 100 * S;
    assert(loopback_pump(loop) == 0 && pv_netback_vif_stalled(loop->vif));
    pv_netback_queue_stop(loop->back[0]);
    rx_post(loop, 0, 100);
    assert(loopback_pump(loop) == 0 && !pv_netback_queue_arm(loop->back[0]));
    pv_netback_queue_destroy(loop->back[0]);
    loop->back[0] = NULL;
    assert(!pv_netback_vif_stalled(loop->vif));
    assert(rx_is_empty(loop, 0));
    loopback_close(loop);
}

int main(void)
{
    test_xsa_392_424();
    test_progress();
    test_uplink_is_not_watched();
    test_buffers_before_sleep();
    test_asks_for_as_many_as_it_needs();
    test_less_headroom();
    test_no_rx_notify();
    test_for_ever();
    test_all_queues();
    test_xsa_374_destroyed();
    return 0;
}
