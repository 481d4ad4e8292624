/* Queues on threads of their own: packets that the guest's mapping moves between them, settings
 * that change meanwhile, counters that are read. */
#include "backends/vnif/netback_private.h"
#include "tests/backends/vnif/c/loopback.h"

#include <pthread.h>
#include <sched.h>

#define PACKETS 20000u

static struct loopback loop;
static uint32_t next_packet, wanted, received[QUEUES], stop;

/* ---- a hypervisor that counts nothing, and whose guest looks at no data -----------------------
 */

static int copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies, unsigned count)
{
    (void)hypervisor;
    for (unsigned i = 0; i < count; i++) {
        if (copies[i].flags & GNTCOPY_source_gref)
            memset(copies[i].dest.address, 0, copies[i].len);
        copies[i].status = GNTST_okay;
    }
    return 0;
}

static int notify(struct pv_evtchn *handle, evtchn_port_t port)
{
    (void)handle, (void)port;
    return 0;
}

/* ---- an uplink ------------------------------------------------------------------------------- */

/* Packets of many flows for one queue, until there are no more. */
static uint32_t make_packets(struct pv_uplink *uplink, uint32_t queue,
                             struct pv_packet_cache *cache, struct pv_packet **packets,
                             uint32_t count, uint64_t now)
{
    uint32_t given = 0, limit = pv_read_once(&wanted);
    (void)uplink, (void)now;
    for (; queue == 0 && given < count && next_packet < limit; given++, next_packet++) {
        packets[given] = pv_packet_alloc(cache, 60);
        packets[given]->length = 60;
        write_frame(packets[given]->data, 60, 6);
        memcpy(packets[given]->data + 34, &next_packet, 2); /* the port */
    }
    return given;
}

static void drop_packets(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                         struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)uplink, (void)queue, (void)now;
    pv_packet_release(cache, packets, count);
}

static bool arm_nothing(struct pv_uplink *uplink, uint32_t queue)
{
    (void)uplink, (void)queue;
    return false;
}

static const struct pv_uplink_ops uplink_ops = {.name = "threads",
                                                .send = drop_packets,
                                                .receive = make_packets,
                                                .arm = arm_nothing,
                                                .fd = fake_fd};

/* ---- threads --------------------------------------------------------------------------------- */

static void take_packets(uint32_t queue)
{
    while (!rx_is_empty(&loop, queue)) {
        struct netif_rx_response response = rx_take(&loop, queue);
        if (response.flags & NETRXF_extra_info) { /* the hash, in the next slot */
            rx_take(&loop, queue);
            rx_post(&loop, queue, 1);
        }
        rx_post(&loop, queue, 1);
        pv_write_once(&received[queue], received[queue] + 1);
    }
}

/* A queue, and the guest's end of it. */
static void *run_queue(void *argument)
{
    uint32_t queue = (uint32_t)(uintptr_t)argument;
    struct front *front = &loop.front[queue];
    rx_post(&loop, queue, 256);
    while (!pv_load_acquire(&stop)) {
        const struct netif_tx_request request = {.gref = DATA, .size = 64};
        memcpy(pv_front_request_slot(&front->tx, front->tx.req_prod_pvt++), &request,
               sizeof request);
        pv_front_push_requests(&front->tx);
        pv_front_push_requests(&front->rx);
        assert(pv_netback_queue_pump(loop.back[queue], 64, 1) >= 0);
        pv_netback_queue_arm(loop.back[queue]);
        front->tx.rsp_cons = front->tx.req_prod_pvt;
        take_packets(queue);
    }
    return NULL;
}

/* Everything that may be changed from any thread, and everything that may be asked. */
static void disturb(uint32_t round)
{
    struct pv_netback_stats stats;
    pv_netback_vif_set_rate(loop.vif, round % 3 ? 0 : 1u << 30, 1000);
    pv_netback_vif_set_xdp_headroom(loop.vif, 0);
    pv_netback_vif_set_multicast_control(loop.vif, round % 2);
    pv_netback_vif_stalled(loop.vif);
    for (uint32_t i = 0; i < QUEUES; i++)
        pv_netback_queue_get_stats(loop.back[i], &stats);
}

static void enable_hash(void)
{
    static const uint32_t mapping[] = {0, 1, 1, 0};
    struct netback_settings *settings = netback_settings_change(loop.vif);
    settings->hash = (struct netback_hash){.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ,
                                           .types = XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP,
                                           .key_size = 40,
                                           .key = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e},
                                           .mapping_size = 4};
    memset(settings->hash.key + 7, 0xa7, 33);
    memcpy(settings->hash.mapping, mapping, sizeof mapping);
    netback_settings_changed(loop.vif);
}

static uint32_t all_received(void)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < QUEUES; i++) {
        struct pv_netback_stats stats;
        pv_netback_queue_get_stats(loop.back[i], &stats);
        sum += pv_read_once(&received[i]) + (uint32_t)stats.rx_dropped; /* a mailbox was full */
    }
    return sum;
}

int main(void)
{
    pthread_t threads[QUEUES];
    struct pv_hypervisor_ops ops = fake_ops;
    ops.gnttab_copy = copy;
    ops.evtchn_notify = notify;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.hypervisor.ops = &ops;
    loop.uplink.uplink.ops = &uplink_ops;
    loopback_connect(&loop);
    loopback_connect_queue(&loop, 1);
    enable_hash();
    for (uint32_t i = 0; i < QUEUES; i++)
        assert(pthread_create(&threads[i], NULL, run_queue, (void *)(uintptr_t)i) == 0);
    do {
        pv_write_once(&wanted, wanted + PACKETS);
        for (uint32_t round = 0; all_received() < wanted; round++) {
            disturb(round);
            sched_yield();
        }
    } while (!pv_read_once(&received[0]) || !pv_read_once(&received[1])); /* it was held up */
    pv_store_release(&stop, 1);
    for (uint32_t i = 0; i < QUEUES; i++)
        assert(pthread_join(threads[i], NULL) == 0);
    assert(all_received() == wanted);
    assert(loopback_stats(&loop).steered > 0);
    loopback_close(&loop);
    return 0;
}
