/* A vif with more queues than its uplink, as when a guest goes on with another uplink: an uplink's
 * queue is still used by one thread at a time, and one of them takes what comes. */
#include "pvdrivers/ring/barrier.h"
#include "tests/backends/vnif/c/loopback.h"

#include <pthread.h>
#include <sched.h>

#define ROUNDS 2000

static struct loopback loop;
static uint32_t users;

static void enter(void)
{
    assert(pv_fetch_add(&users, 1) == 0);
    sched_yield();
}

static void leave(void)
{
    pv_fetch_sub(&users, 1);
}

static void send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)uplink, (void)now;
    assert(queue == 0);
    enter();
    pv_packet_release(cache, packets, count);
    leave();
}

static uint32_t receive(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                        struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)uplink, (void)cache, (void)packets, (void)count, (void)now;
    assert(queue == 0);
    enter();
    leave();
    return 0;
}

static bool arm(struct pv_uplink *uplink, uint32_t queue)
{
    (void)uplink, (void)queue;
    enter();
    leave();
    return false;
}

static uint64_t deadline(struct pv_uplink *uplink, uint32_t queue)
{
    arm(uplink, queue);
    return UINT64_MAX;
}

static const struct pv_uplink_ops ops = {.name = "one queue",
                                         .send = send,
                                         .receive = receive,
                                         .arm = arm,
                                         .fd = fake_fd,
                                         .deadline = deadline};

static int notify(struct pv_evtchn *handle, evtchn_port_t port)
{
    (void)handle, (void)port;
    return 0;
}

static int copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies, unsigned count)
{
    (void)hypervisor;
    for (unsigned i = 0; i < count; i++)
        copies[i].status = GNTST_okay;
    return 0;
}

static void *run_queue(void *argument)
{
    uint32_t queue = (uint32_t)(uintptr_t)argument;
    struct pv_front_ring *tx = &loop.front[queue].tx;
    for (int round = 0; round < ROUNDS; round++) {
        const struct netif_tx_request request = {.gref = DATA, .size = 64};
        memcpy(pv_front_request_slot(tx, tx->req_prod_pvt++), &request, sizeof request);
        pv_front_push_requests(tx);
        assert(pv_netback_queue_pump(loop.back[queue], 64, 1) == 1);
        assert(!pv_netback_queue_arm(loop.back[queue]));
        assert(pv_netback_queue_deadline(loop.back[queue]) == UINT64_MAX);
        tx->rsp_cons = tx->req_prod_pvt;
    }
    return NULL;
}

static void test_one_thread_at_a_time(void)
{
    pthread_t threads[QUEUES];
    struct pv_hypervisor_ops hypervisor_ops = fake_ops;
    hypervisor_ops.gnttab_copy = copy;
    hypervisor_ops.evtchn_notify = notify;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.hypervisor.ops = &hypervisor_ops;
    loop.uplink.uplink.ops = &ops;
    loop.uplink.uplink.queues = 1;
    loopback_connect(&loop);
    loopback_connect_queue(&loop, 1);
    for (uint32_t i = 0; i < QUEUES; i++)
        assert(pthread_create(&threads[i], NULL, run_queue, (void *)(uintptr_t)i) == 0);
    for (uint32_t i = 0; i < QUEUES; i++)
        assert(pthread_join(threads[i], NULL) == 0);
    loopback_close(&loop);
}

/* Armed for the one that is asleep, the uplink is not disarmed by the look of another, which may
 * then not arm it: it has no buffers, is broken, or ends. */
static void test_the_other_leaves_it_armed(void)
{
    loopback_init(&loop, PV_ABI_X86_64);
    loop.uplink.uplink.queues = 1;
    loopback_connect(&loop);
    loopback_connect_queue(&loop, 1);
    rx_post(&loop, 0, 4);
    assert(loopback_pump(&loop) == 0 && !pv_netback_queue_arm(loop.back[0]));
    uint32_t receives = loop.uplink.receives;
    assert(pv_netback_queue_pump(loop.back[1], 64, loop.now) == 0);
    uplink_queue(&loop, 60);
    eventfd_write(loop.uplink.eventfd, 1);
    assert(pv_netback_queue_pump(loop.back[1], 64, loop.now) == 0);
    assert(!pv_netback_queue_arm(loop.back[1]) && loop.uplink.receives == receives);
    assert(!is_readable(pv_netback_queue_pollable(loop.back[1])->fd));
    assert(is_readable(pv_netback_queue_pollable(loop.back[0])->fd));
    assert(loopback_pump(&loop) == 1);
    rx_expect(&loop, 0, 60);
    loopback_close(&loop);
}

/* An uplink that holds back what another queue sends, as a filter does, has something to do at a
 * time that the sleeping one does not know. */
static void test_what_is_sent_changes_the_deadline(void)
{
    struct front *front = &loop.front[1];
    loopback_init(&loop, PV_ABI_X86_64);
    loop.uplink.uplink.queues = 1;
    loopback_connect(&loop);
    loopback_connect_queue(&loop, 1);
    assert(!pv_netback_queue_arm(loop.back[0]));
    assert(pv_netback_queue_deadline(loop.back[0]) == UINT64_MAX);
    const struct netif_tx_request request = {.gref = DATA, .size = 64};
    memcpy(pv_front_request_slot(&front->tx, front->tx.req_prod_pvt++), &request, sizeof request);
    pv_front_push_requests(&front->tx);
    loop.uplink.due = 1000;
    assert(pv_netback_queue_pump(loop.back[1], 64, loop.now) == 1);
    assert(pv_netback_queue_deadline(loop.back[1]) == UINT64_MAX);
    assert(is_readable(pv_netback_queue_pollable(loop.back[0])->fd));
    assert(pv_netback_queue_deadline(loop.back[0]) == 1000);
    loopback_close(&loop);
}

int main(void)
{
    test_one_thread_at_a_time();
    test_the_other_leaves_it_armed();
    test_what_is_sent_changes_the_deadline();
    return 0;
}
