/* Another uplink for a vif whose guest is connected: queues are closed and opened again on the same
 * rings, and all that the guest has told the vif is there as before. */
#include "tests/backends/vnif/c/control_ring.h"

#define PAGE 900 /* of the guest's, that a request names */

static struct fake_uplink other;

static void close_queues(void)
{
    pv_netback_control_destroy(control);
    pv_netback_queue_destroy(loop.back[0]);
    loop.back[0] = NULL;
}

static void open_queues(void)
{
    struct pv_netback_queue_config queue = loopback_queue_config(&loop, 0);
    struct pv_netback_control_config ring = control_config();
    ring.log = NULL; /* as without a state directory: nothing of it outlives a queue */
    loop.back[0] = pv_netback_queue_create(loop.vif, &queue);
    control = pv_netback_control_create(loop.vif, &ring);
    assert(loop.back[0] && control);
}

static void exchange(void)
{
    close_queues();
    other = loop.uplink;
    other.uplink.users = 0;
    pv_netback_vif_set_uplink(loop.vif, &other.uplink);
    assert(loop.uplink.uplink.users == 0 && other.uplink.users == 1);
    open_queues();
}

static void change_filter(uint8_t type, uint8_t last)
{
    struct netif_extra_info extra = {.type = type};
    memcpy(extra.u.mcast.addr, (uint8_t[]){0x33, 0x33, 0, 0, 0, last}, 6);
    tx_put_request(&loop, DATA, 0, 0, NETTXF_extra_info);
    tx_put_extra(&loop, extra);
    assert(loopback_pump(&loop) == 1);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);
    tx_expect_null(&loop);
}

/* Comes through the other uplink. */
static bool arrives(uint8_t last)
{
    struct pv_packet *packet = pv_packet_alloc(loop.cache, 60);
    packet->length = 60;
    memset(packet->data, 0, 60);
    memcpy(packet->data, (uint8_t[]){0x33, 0x33, 0, 0, 0, last}, 6);
    other.queued[other.queued_count++] = packet;
    return loopback_pump(&loop) == 1;
}

static void test_what_stays(void)
{
    open_control();
    close_queues();
    open_queues();
    pv_netback_vif_set_multicast_control(loop.vif, true);
    change_filter(XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 1);
    ((uint32_t *)loopback_page(&loop, PAGE))[0] = 1;
    assert(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ, 0,
               0) == ok);
    assert(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 1, 0, 0) == ok);
    assert(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, PAGE, 1, 0) == ok);
    *(struct xen_netif_gref *)loopback_page(&loop, PAGE) = (struct xen_netif_gref){.ref = DATA};
    assert(ask(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, PAGE, 1) == ok);
    exchange();

    rx_post(&loop, 0, 2);
    loop.copies = 0;
    assert(!arrives(2) && arrives(1)); /* queue 1 is not there, so it stays on this one */
    rx_expect(&loop, 0, 60);
    assert(loop.copies == 0 && loopback_stats(&loop).static_copies == 1);
    struct pv_packet *packet = uplink_queue(&loop, 60);
    assert(pv_netback_vif_choose_queue(loop.vif, packet, 0) == 1);
    for (uint32_t removed = 0; removed < 2; removed++) {
        put(XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 0, PAGE, 1);
        assert(pv_netback_control_pump(control, 16, loop.now) == 1);
        assert(take(XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING).data == 1 - removed);
    }
    change_filter(XEN_NETIF_EXTRA_TYPE_MCAST_DEL, 1);
    assert(!arrives(1));
    close_control();
    assert(other.uplink.users == 0);
}

int main(void)
{
    test_what_stays();
    return 0;
}
