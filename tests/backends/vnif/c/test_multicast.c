/* The guest's multicast filter: requests without packets change it, and it decides what arrives. */
#include "tests/backends/vnif/c/loopback.h"

static const uint8_t address[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t other[6] = {0x33, 0x33, 0, 0, 0, 2};

static int16_t change(struct loopback *loop, uint8_t type, const uint8_t *changed)
{
    struct netif_extra_info extra = {.type = type};
    memcpy(extra.u.mcast.addr, changed, 6);
    tx_put_request(loop, DATA, 0, 0, NETTXF_extra_info);
    tx_put_extra(loop, extra);
    assert(loopback_pump(loop) == 1);
    struct netif_tx_response response = tx_take(loop);
    tx_expect_null(loop);
    assert(response.id == DATA && tx_is_empty(loop));
    return response.status;
}

static bool arrives(struct loopback *loop, const uint8_t *destination)
{
    memcpy(uplink_queue(loop, 60)->data, destination, 6);
    rx_post(loop, 0, 1);
    bool arrived = loopback_pump(loop) == 1;
    if (arrived)
        rx_expect(loop, 0, 60);
    assert(rx_is_empty(loop, 0));
    return arrived;
}

static struct loopback *open_with(bool multicast_control)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.multicast_control = multicast_control;
    loopback_connect(&loop);
    return &loop;
}

static void test_filter(void)
{
    static const uint8_t unicast[6] = {2, 3, 4, 5, 6, 7};
    static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
    struct loopback *loop = open_with(true);
    assert(arrives(loop, unicast) && arrives(loop, broadcast) && !arrives(loop, address));
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, address) == NETIF_RSP_OKAY);
    assert(arrives(loop, address) && !arrives(loop, other));
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, other) == NETIF_RSP_OKAY);
    assert(arrives(loop, address));
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, address) == NETIF_RSP_OKAY);
    assert(!arrives(loop, address) && arrives(loop, broadcast));
    assert(loopback_stats(loop).rx_filtered == 3 && loopback_stats(loop).rx_dropped == 0);
    assert(loop->uplink.sent_count == 0);
    loopback_close(loop);
}

/* Only for a guest that has asked for it, which may change. */
static void test_control(void)
{
    struct loopback *loop = open_with(false);
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, other) == NETIF_RSP_OKAY);
    assert(arrives(loop, address));
    pv_netback_vif_set_multicast_control(loop->vif, true);
    assert(!arrives(loop, address) && arrives(loop, other));
    pv_netback_vif_set_multicast_control(loop->vif, false);
    assert(arrives(loop, address));
    loopback_close(loop);
}

static void test_64_addresses(void)
{
    struct loopback *loop = open_with(true);
    uint8_t many[6] = {0x33, 0x33, 1, 1, 1, 0};
    for (; many[5] < 64; many[5]++)
        assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, many) == NETIF_RSP_OKAY);
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, address) == NETIF_RSP_ERROR);
    assert(loopback_stats(loop).errors[PV_NETBACK_MULTICAST_FULL] == 1);
    many[5] = 20;
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, many) == NETIF_RSP_OKAY);
    assert(!arrives(loop, many));
    for (many[5] = 0; many[5] < 64; many[5]++)
        assert(arrives(loop, many) == (many[5] != 20));
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, address) == NETIF_RSP_OKAY);
    assert(arrives(loop, address));
    loopback_close(loop);
}

/* A successor may carry out again what its predecessor has not answered, so twice is once. */
static void test_a_set(void)
{
    struct loopback *loop = open_with(true);
    for (int i = 0; i < 100; i++)
        assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, address) == NETIF_RSP_OKAY);
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, other) == NETIF_RSP_OKAY);
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, address) == NETIF_RSP_OKAY);
    assert(!arrives(loop, address) && arrives(loop, other));
    loopback_close(loop);
}

/* A successor that finds no log does not filter by what little it has heard. */
static void test_resumed_without_a_log(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.multicast_control = loop.config.resumed = true;
    loopback_connect(&loop);
    assert(change(&loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, other) == NETIF_RSP_OKAY);
    pv_netback_vif_set_multicast_control(loop.vif, true);
    assert(arrives(&loop, address) && arrives(&loop, other));
    loopback_close(&loop);
}

/* The filter is the vif's, not a queue's. */
static void test_all_queues(void)
{
    struct loopback *loop = open_with(true);
    loopback_connect_queue(loop, 1);
    assert(change(loop, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, address) == NETIF_RSP_OKAY);
    assert(pv_netback_queue_pump(loop->back[1], 1, loop->now) == 0);
    pv_netback_queue_destroy(loop->back[0]);
    loop->back[0] = NULL;
    loopback_connect_queue(loop, 0);
    assert(arrives(loop, address) && !arrives(loop, other));
    loopback_close(loop);
}

int main(void)
{
    test_filter();
    test_control();
    test_64_addresses();
    test_a_set();
    test_resumed_without_a_log();
    test_all_queues();
    return 0;
}
