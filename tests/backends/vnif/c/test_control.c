/* The control ring: what the guest may say about its hash, in which order, and what it is told. */
#include "tests/backends/vnif/c/control_ring.h"

#define PAGE 900 /* of the guest's, that a request names */

static uint32_t set_algorithm(uint32_t algorithm)
{
    return ask(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, algorithm, 0, 0);
}

static uint32_t set_flags(uint32_t flags)
{
    return ask(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, flags, 0, 0);
}

static uint32_t set_key(grant_ref_t ref, uint32_t size)
{
    return ask(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, ref, size, 0);
}

static uint32_t set_mapping_size(uint32_t size)
{
    return ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, size, 0, 0);
}

static uint32_t set_mapping(grant_ref_t ref, uint32_t count, uint32_t offset)
{
    return ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, ref, count, offset);
}

static void write_mapping(uint32_t count, uint32_t queue)
{
    uint32_t *page = (uint32_t *)loopback_page(&loop, PAGE);
    for (uint32_t i = 0; i < count; i++)
        page[i] = queue;
}

/* The key and the hashes of Microsoft's verification suite. */
static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

/* 66.9.149.187:2794 to 161.142.100.80:1766. */
static struct pv_packet *queue_known_packet(void)
{
    struct pv_packet *packet = uplink_queue(&loop, 60);
    write_frame(packet->data, 60, 6);
    memcpy(packet->data + 26, "\x42\x09\x95\xbb\xa1\x8e\x64\x50\x0a\xea\x06\xe6", 12);
    packet->data[0] = 0;
    return packet;
}

static void enable_hash(uint32_t types)
{
    memcpy(loopback_page(&loop, PAGE), key, sizeof key);
    assert(set_algorithm(XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ) == ok);
    assert(set_key(PAGE, sizeof key) == ok);
    assert(set_flags(types) == ok);
}

static void test_orders_and_limits(void)
{
    open_control();
    assert(ask(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0) == unsupported);
    assert(set_flags(1) == invalid); /* before the algorithm */
    assert(set_algorithm(2) == invalid);
    assert(set_algorithm(XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ) == ok);
    put(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0);
    put(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, 0, 0, 0);
    assert(pv_netback_control_pump(control, 16, loop.now) == 2);
    assert(take(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS).data == 15);
    assert(take(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE).data == 128);
    assert(set_flags(15) == ok && set_flags(16) == invalid && set_flags(UINT32_MAX) == invalid);
    assert(set_flags(0) == ok);
    assert(set_mapping_size(128) == ok && set_mapping_size(129) == invalid);
    assert(ask(XEN_NETIF_CTRL_TYPE_INVALID, 0, 0, 0) == unsupported);
    assert(ask(11, 0, 0, 0) == unsupported && ask(65535, 0, 0, 0) == unsupported);
    struct pv_netback_control_stats stats;
    pv_netback_control_get_stats(control, &stats);
    assert(stats.requests == 15 && stats.failures == 9);
    assert(stats.notifications_sent + stats.notifications_suppressed >= 14);
    close_control();
}

/* XSA-270: sizes and offsets that leave their tables, or wrap. */
static void test_xsa_270(void)
{
    open_control();
    assert(set_key(PAGE, 40) == ok && set_key(PAGE, 41) == overflow);
    assert(set_key(PAGE, UINT32_MAX) == overflow && set_key(60000, 40) == invalid);
    assert(set_key(60000, 0) == ok); /* clears it, and needs no page */
    write_mapping(128, 1);
    assert(set_mapping_size(100) == ok);
    assert(set_mapping(PAGE, 100, 0) == ok && set_mapping(PAGE, 1, 99) == ok);
    assert(set_mapping(PAGE, 101, 0) == invalid && set_mapping(PAGE, 2, 99) == invalid);
    assert(set_mapping(PAGE, 1, 100) == invalid && set_mapping(PAGE, 0, 100) == ok);
    assert(set_mapping(PAGE, 2, UINT32_MAX) == invalid);
    assert(set_mapping(PAGE, UINT32_MAX, 2) == invalid);
    assert(set_mapping(PAGE, 0x40000001, 0) == invalid); /* whose bytes wrap */
    assert(set_mapping(60000, 1, 0) == invalid);
    write_mapping(1, QUEUES); /* a queue that there is not */
    assert(set_mapping(PAGE, 1, 0) == invalid);
    close_control();
}

/* A request that fails changes nothing. */
static void test_failure_changes_nothing(void)
{
    open_control();
    enable_hash(XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP);
    write_mapping(4, 1);
    assert(set_mapping_size(4) == ok && set_mapping(PAGE, 4, 0) == ok);
    write_mapping(4, 0);
    ((uint32_t *)loopback_page(&loop, PAGE))[3] = QUEUES;
    assert(set_mapping(PAGE, 4, 0) == invalid && set_key(60000, 40) == invalid);
    struct pv_packet *packet = queue_known_packet();
    assert(pv_netback_vif_choose_queue(loop.vif, packet, 0) == 1);
    rx_post(&loop, 0, 3);
    close_control();
}

/* The guest learns the hash of what it receives: the most specific type that it has asked for. */
static void test_hash_extra(uint32_t types, uint8_t type, uint32_t value)
{
    open_control();
    enable_hash(types);
    rx_post(&loop, 0, 10);
    struct pv_packet *packet = queue_known_packet();
    packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV4; /* another extra info before it */
    packet->gso_size = 100;
    assert(loopback_pump(&loop) == 1);
    assert(rx_expect(&loop, 0, 60).flags & NETRXF_extra_info);
    struct netif_extra_info extra = rx_take_extra(&loop);
    assert(extra.type == XEN_NETIF_EXTRA_TYPE_GSO && extra.flags == XEN_NETIF_EXTRA_FLAG_MORE);
    extra = rx_take_extra(&loop);
    assert(extra.type == XEN_NETIF_EXTRA_TYPE_HASH && extra.flags == 0);
    assert(extra.u.hash.type == type && extra.u.hash.algorithm == 1);
    for (int i = 0; i < 4; i++)
        assert(extra.u.hash.value[i] == (uint8_t)(value >> 8 * i));
    assert(rx_is_empty(&loop, 0));
    close_control();
}

/* A packet without such a hash has none, nor after the guest has turned it off. */
static void test_no_hash(void)
{
    open_control();
    enable_hash(XEN_NETIF_CTRL_HASH_TYPE_IPV6);
    rx_post(&loop, 0, 10);
    queue_known_packet();
    assert(loopback_pump(&loop) == 1);
    assert(rx_expect(&loop, 0, 60).flags == 0);
    assert(set_flags(15) == ok && set_algorithm(XEN_NETIF_CTRL_HASH_ALGORITHM_NONE) == ok);
    queue_known_packet();
    assert(loopback_pump(&loop) == 1);
    assert(rx_expect(&loop, 0, 60).flags == 0);
    close_control();
}

/* The mapping says which queue a packet belongs to, wherever it has been received. */
static void test_steering(void)
{
    open_control();
    loopback_connect_queue(&loop, 1);
    enable_hash(XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP); /* the packet's is 0x51ccc178 */
    write_mapping(128, 0);
    ((uint32_t *)loopback_page(&loop, PAGE))[0x51ccc178 % 100] = 1;
    assert(set_mapping_size(100) == ok && set_mapping(PAGE, 100, 0) == ok);
    rx_post(&loop, 0, 4);
    rx_post(&loop, 1, 4);
    pv_front_push_requests(&loop.front[1].rx);
    assert(pv_netback_queue_pump(loop.back[1], 64, loop.now) == 0);
    assert(!pv_netback_queue_arm(loop.back[1]));
    int fd = pv_netback_queue_pollable(loop.back[1])->fd;
    assert(!is_readable(fd));
    queue_known_packet();
    uplink_queue(&loop, 60); /* no IP: the mapping's first */
    assert(loopback_pump(&loop) == 1);
    assert(loopback_stats(&loop).steered == 1 && is_readable(fd));
    rx_expect(&loop, 0, 60);
    assert(pv_netback_queue_arm(loop.back[1])); /* it is there */
    assert(pv_netback_queue_pump(loop.back[1], 64, loop.now) == 1 && !is_readable(fd));
    assert(rx_expect(&loop, 1, 60).flags == NETRXF_extra_info);
    struct pv_packet *packet = queue_known_packet();
    assert(pv_netback_vif_choose_queue(loop.vif, packet, 0) == 1);
    close_control();
}

/* A queue that takes nothing does not make the others' memory grow. */
static void test_mailbox_is_bounded(void)
{
    open_control();
    loopback_connect_queue(&loop, 1);
    enable_hash(15);
    write_mapping(1, 1);
    assert(set_mapping_size(1) == ok && set_mapping(PAGE, 1, 0) == ok);
    rx_post(&loop, 0, 200);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 100; i++)
            queue_known_packet();
        while (loop.uplink.first_queued < loop.uplink.queued_count)
            assert(loopback_pump(&loop) == 0);
    }
    assert(pv_packet_pool_used(loop.uplink.uplink.pool) == 256);
    assert(loopback_stats(&loop).steered == 256);
    assert(loopback_stats(&loop).rx_dropped == 10000 - 256);
    close_control();
}

static uint8_t queue_log[1 << 14] __attribute__((aligned(128)));

static void connect_queue_with_log(void)
{
    struct pv_netback_queue_config config = loopback_queue_config(&loop, 0);
    config.log = queue_log;
    config.log_size = sizeof queue_log;
    loop.back[0] = pv_netback_queue_create(loop.vif, &config);
    assert(loop.back[0]);
}

/* The settings outlive the process, and what was answered is not lost. */
static void test_settings_survive(void)
{
    open_control();
    pv_netback_queue_destroy(loop.back[0]);
    connect_queue_with_log();
    enable_hash(XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP);
    write_mapping(8, 1);
    assert(set_mapping_size(8) == ok && set_mapping(PAGE, 8, 0) == ok);
    pv_netback_control_destroy(control);
    pv_netback_queue_destroy(loop.back[0]);
    pv_netback_vif_destroy(loop.vif);
    loop.vif = pv_netback_vif_create(&loop.config);
    loop.back[0] = NULL;
    struct pv_packet *packet = queue_known_packet();
    assert(pv_netback_vif_choose_queue(loop.vif, packet, 0) == 0);
    struct pv_netback_control_config config = control_config();
    put(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, 0, 0, 0);
    assert(pv_netback_control_resumable(loop.vif, &config) == 0);
    connect_queue_with_log();
    connect_control();
    assert(pv_netback_vif_choose_queue(loop.vif, packet, 0) == 1);
    assert(pv_netback_control_pump(control, 16, loop.now) == 1);
    assert(take(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE).data == 128);
    assert(loop.notified[CONTROL_PORT] > 0);

    pv_netback_control_destroy(control);
    config.log = NULL;
    put(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, 0, 0, 0);
    assert(pv_netback_control_resumable(loop.vif, &config) == -EBUSY);
    config.log = control_log;
    config.port++;
    assert(pv_netback_control_resumable(loop.vif, &config) == -ESTALE);
    config.log_size = 100;
    assert(pv_netback_control_resumable(loop.vif, &config) == -EINVAL);
    control = NULL;
    close_control();
}

static void test_overrun(void)
{
    open_control();
    front.req_prod_pvt = 129;
    pv_front_push_requests(&front);
    assert(pv_netback_control_pump(control, 16, loop.now) == -EPROTO);
    assert(pv_netback_control_broken(control) && is_readable(loop.fault_fd));
    assert(!pv_netback_control_arm(control));
    close_control();
}

static void test_arm_and_budget(void)
{
    open_control();
    assert(!pv_netback_control_arm(control));
    for (int i = 0; i < 5; i++)
        put(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, 0, 0, 0);
    assert(pv_netback_control_arm(control));
    assert(pv_netback_control_pump(control, 3, loop.now) == 3);
    assert(pv_netback_control_pump(control, 3, loop.now) == 2);
    assert(!pv_netback_control_arm(control));
    pv_netback_control_stop(control);
    put(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, 0, 0, 0);
    assert(pv_netback_control_pump(control, 3, loop.now) == 0 && !pv_netback_control_arm(control));
    close_control();
}

int main(void)
{
    assert(pv_netback_control_log_size(PV_ABI_X86_64) <= sizeof control_log);
    assert(pv_netback_control_log_size(PV_ABI_IA64) % 128 == 0);
    for (uint32_t index = 0; index < 2; index++) {
        assert(pv_netback_log_size(PV_ABI_X86_64, index) % 128 == 0);
        assert(pv_netback_log_size(PV_ABI_IA64, index) % 128 == 0);
    }
    test_orders_and_limits();
    test_xsa_270();
    test_failure_changes_nothing();
    test_hash_extra(15, 1, 0x51ccc178);
    test_hash_extra(XEN_NETIF_CTRL_HASH_TYPE_IPV4, 0, 0x323e8fc2);
    test_no_hash();
    test_steering();
    test_mailbox_is_bounded();
    test_settings_survive();
    test_overrun();
    test_arm_and_budget();
    return 0;
}
