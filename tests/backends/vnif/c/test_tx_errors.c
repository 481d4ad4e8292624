/* What a guest may not transmit: Linux's table of what costs a packet and what the whole queue. */
#include "tests/backends/vnif/c/loopback.h"

#define MORE NETTXF_more_data
#define EXTRA NETTXF_extra_info

static uint64_t errors(struct loopback *loop, enum pv_netback_error error)
{
    return loopback_stats(loop).errors[error];
}

static uint64_t all_errors(struct loopback *loop)
{
    uint64_t sum = 0;
    for (int i = 0; i < PV_NETBACK_ERROR_COUNT; i++)
        sum += errors(loop, i);
    return sum;
}

/* The packets put so far are answered with an error in each slot, and the next one passes. */
static void expect_dropped(struct loopback *loop, uint32_t slots, enum pv_netback_error error)
{
    assert(loopback_pump(loop) > 0);
    for (uint32_t i = 0; i < slots; i++)
        assert(tx_take(loop).status == NETIF_RSP_ERROR);
    assert(errors(loop, error) == 1 && all_errors(loop) == 1);
    assert(loopback_stats(loop).tx_errors == 1 && loop->uplink.sent_count == 0);
    assert(!is_readable(loop->fault_fd));
    tx_put_request(loop, DATA, 0, 64, 0);
    assert(loopback_pump(loop) == 1);
    tx_expect(loop, DATA, NETIF_RSP_OKAY);
    assert(tx_is_empty(loop));
    loopback_close(loop);
}

/* Nothing is answered, nothing is done any more, and the owner knows. */
static void expect_fatal(struct loopback *loop, enum pv_netback_error error)
{
    assert(loopback_pump(loop) == -EPROTO);
    assert(pv_netback_queue_broken(loop->back[0]) && is_readable(loop->fault_fd));
    assert(errors(loop, error) == 1 && all_errors(loop) == 1);
    assert(tx_is_empty(loop) && loop->uplink.sent_count == 0);
    assert(!pv_netback_queue_arm(loop->back[0]));
    assert(pv_netback_queue_deadline(loop->back[0]) == UINT64_MAX);
    loopback_close(loop);
}

static struct loopback *open_one(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    return &loop;
}

static void put_chain(struct loopback *loop, uint16_t total, uint32_t fragments)
{
    tx_put_request(loop, DATA, 0, total, fragments ? MORE : 0);
    for (uint32_t i = 1; i <= fragments; i++)
        tx_put_request(loop, DATA, 0, 1, i < fragments ? MORE : 0);
}

/* XSA-39: a request index far beyond the ring. */
static void test_xsa_39_overrun(uint32_t req_prod)
{
    struct loopback *loop = open_one();
    loop->front[0].tx.req_prod_pvt = req_prod;
    assert(loopback_pump(loop) == -EPROTO);
    assert(errors(loop, PV_NETBACK_RING_OVERRUN) == 1 && is_readable(loop->fault_fd));
    assert(loop->copy_calls == 0 && loopback_pump(loop) == -EPROTO);
    assert(errors(loop, PV_NETBACK_RING_OVERRUN) == 1);
    loopback_close(loop);
}

static void test_rx_overrun(void)
{
    struct loopback *loop = open_one();
    loop->front[0].rx.req_prod_pvt = 257;
    assert(loopback_pump(loop) == -EPROTO);
    assert(errors(loop, PV_NETBACK_RING_OVERRUN) == 1 && is_readable(loop->fault_fd));
    loopback_close(loop);
}

/* XSA-39: a packet without an end. */
static void test_xsa_39_cut_short(void)
{
    struct loopback *loop = open_one();
    tx_put_request(loop, DATA, 0, 100, MORE);
    tx_put_request(loop, DATA, 0, 10, MORE);
    expect_fatal(loop, PV_NETBACK_CUT_SHORT);
}

/* XSA-90: a guest that goes on after its queue broke reaches nothing, and is told of once. */
static void test_xsa_90_traffic_goes_on(void)
{
    struct loopback *loop = open_one();
    eventfd_t count;
    tx_put_request(loop, DATA, 4096, 64, 0);
    assert(loopback_pump(loop) == -EPROTO && eventfd_read(loop->fault_fd, &count) == 0);
    for (int i = 0; i < 1000; i++) {
        tx_put_request(loop, DATA, 0, 64, 0);
        rx_post(loop, 0, 1);
        uplink_queue(loop, 60);
        assert(loopback_pump(loop) == -EPROTO);
        fake_purge(&loop->uplink.uplink, 0, loop->cache);
    }
    assert(!pv_netback_queue_arm(loop->back[0]));
    assert(loop->front[0].tx.sring->rsp_prod == 0 && loop->front[0].rx.sring->rsp_prod == 0);
    assert(loop->copy_calls == 0 && loop->uplink.sent_count == 0 && loop->uplink.receives == 0);
    assert(all_errors(loop) == 1 && !is_readable(loop->fault_fd));
    loopback_close(loop);
}

static void test_slot_counts(void)
{
    struct loopback *loop = open_one();
    put_chain(loop, 100, 18);
    assert(loopback_pump(loop) == 1 && loop->uplink.sent_count == 1 && all_errors(loop) == 0);
    loopback_close(loop);

    loop = open_one();
    put_chain(loop, 100, 19);
    expect_dropped(loop, 20, PV_NETBACK_TOO_MANY_SLOTS);
    loop = open_one();
    put_chain(loop, 100, 20);
    expect_dropped(loop, 21, PV_NETBACK_TOO_MANY_SLOTS);
    loop = open_one();
    put_chain(loop, 100, 21);
    expect_fatal(loop, PV_NETBACK_FATAL_COUNT);
}

static void test_fragment_too_large(void)
{
    struct loopback *loop = open_one();
    tx_put_request(loop, DATA, 0, 100, MORE);
    tx_put_request(loop, DATA, 0, 60, MORE);
    tx_put_request(loop, DATA, 0, 41, 0);
    expect_dropped(loop, 3, PV_NETBACK_BAD_SIZE);
}

static void test_crosses_page(void)
{
    struct loopback *loop = open_one();
    tx_put_request(loop, DATA, 4033, 64, 0);
    expect_fatal(loop, PV_NETBACK_CROSSES_PAGE);
    loop = open_one();
    tx_put_request(loop, DATA, 65535, 65535, 0);
    expect_fatal(loop, PV_NETBACK_CROSSES_PAGE);
    loop = open_one();
    tx_put_request(loop, DATA, 0, 100, MORE);
    tx_put_request(loop, DATA, 4096, 1, 0);
    expect_fatal(loop, PV_NETBACK_CROSSES_PAGE);
    loop = open_one(); /* to its very end */
    tx_put_request(loop, DATA, 4032, 64, 0);
    assert(loopback_pump(loop) == 1 && all_errors(loop) == 0);
    loopback_close(loop);
    /* Even in a packet that is to be dropped. */
    loop = open_one();
    tx_put_request(loop, DATA, 0, 100, MORE);
    tx_put_request(loop, DATA, 0, 101, MORE);
    tx_put_request(loop, DATA, 4096, 1, 0);
    expect_fatal(loop, PV_NETBACK_CROSSES_PAGE);
}

/* The page is the guest's. */
static void test_crosses_page_of_ia64(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_IA64);
    loopback_connect(&loop);
    tx_put_request(&loop, DATA, 16384 - 64, 64, 0);
    assert(loopback_pump(&loop) == 1 && loop.uplink.sent_count == 1);
    loopback_close(&loop);
    loopback_init(&loop, PV_ABI_IA64);
    loopback_connect(&loop);
    tx_put_request(&loop, DATA, 16384 - 63, 64, 0);
    expect_fatal(&loop, PV_NETBACK_CROSSES_PAGE);
}

static void test_too_short(void)
{
    struct loopback *loop = open_one();
    tx_put_request(loop, DATA, 0, 13, 0);
    expect_dropped(loop, 1, PV_NETBACK_TOO_SHORT);
    loop = open_one();
    tx_put_request(loop, DATA, 0, 14, 0);
    assert(loopback_pump(loop) == 1 && all_errors(loop) == 0);
    loopback_close(loop);
}

static void test_bad_extra(uint8_t type)
{
    struct loopback *loop = open_one();
    tx_put_request(loop, DATA, 0, 100, EXTRA);
    tx_put_extra(loop, (struct netif_extra_info){.type = type});
    expect_fatal(loop, PV_NETBACK_BAD_EXTRA);
}

static void test_missing_extra(uint32_t present)
{
    struct loopback *loop = open_one();
    tx_put_request(loop, DATA, 0, 100, EXTRA);
    for (uint32_t i = 0; i < present; i++)
        tx_put_extra(loop, (struct netif_extra_info){.type = XEN_NETIF_EXTRA_TYPE_HASH,
                                                     .flags = XEN_NETIF_EXTRA_FLAG_MORE});
    expect_fatal(loop, PV_NETBACK_BAD_EXTRA);
}

static struct netif_extra_info gso_extra(uint8_t type, uint16_t size)
{
    struct netif_extra_info gso = {.type = XEN_NETIF_EXTRA_TYPE_GSO};
    gso.u.gso.type = type;
    gso.u.gso.size = size;
    return gso;
}

static void test_bad_gso(uint8_t type, uint16_t size)
{
    struct loopback *loop = open_one();
    tx_put_request(loop, DATA, 0, 100, EXTRA);
    tx_put_extra(loop, gso_extra(type, size));
    expect_fatal(loop, PV_NETBACK_BAD_GSO);
}

static void test_gso_of_no_tcp(uint8_t type, uint8_t protocol)
{
    struct loopback *loop = open_one();
    write_frame(loopback_page(loop, DATA), 2000, protocol);
    tx_put_request(loop, DATA, 0, 2000, EXTRA | NETTXF_csum_blank);
    tx_put_extra(loop, gso_extra(type, 1000));
    assert(loopback_pump(loop) == 1);
    tx_expect(loop, DATA, NETIF_RSP_ERROR);
    tx_expect_null(loop);
    assert(errors(loop, PV_NETBACK_BAD_GSO_PACKET) == 1 && loop->uplink.sent_count == 0);
    loopback_close(loop);
}

/* XSA-362, XSA-367: a page that cannot be had costs its packet, in the middle of others. */
static void test_xsa_362_367_bad_grant(void)
{
    struct loopback *loop = open_one();
    loop->bad_ref = DATA + 2;
    tx_put_request(loop, DATA, 0, 64, 0);
    tx_put_request(loop, DATA + 1, 0, 64, MORE);
    tx_put_request(loop, DATA + 2, 0, 10, 0);
    tx_put_request(loop, DATA + 3, 0, 64, 0);
    assert(loopback_pump(loop) == 3);
    tx_expect(loop, DATA, NETIF_RSP_OKAY);
    tx_expect(loop, DATA + 1, NETIF_RSP_ERROR);
    tx_expect(loop, DATA + 2, NETIF_RSP_ERROR);
    tx_expect(loop, DATA + 3, NETIF_RSP_OKAY);
    assert(loop->uplink.sent_count == 2 && errors(loop, PV_NETBACK_BAD_GRANT) == 1);
    loopback_close(loop);
}

/* What was good before a fatal packet is sent and answered. */
static void test_before_a_fatal_one(void)
{
    struct loopback *loop = open_one();
    tx_put_request(loop, DATA, 0, 64, 0);
    tx_put_request(loop, DATA, 4096, 64, 0);
    tx_put_request(loop, DATA + 1, 0, 64, 0);
    assert(loopback_pump(loop) == -EPROTO && loop->uplink.sent_count == 1);
    tx_expect(loop, DATA, NETIF_RSP_OKAY);
    assert(tx_is_empty(loop));
    loopback_close(loop);
}

/* XSA-39: a million bad packets cost nothing that stays. */
static void test_xsa_39_many_bad_packets(void)
{
    struct loopback *loop = open_one();
    for (int round = 0; round < 4000; round++) {
        for (uint32_t i = 0; i < 256; i++)
            tx_put_request(loop, DATA, 0, (uint16_t)(i % 14), 0);
        assert(loopback_pump(loop) == 256);
        loop->front[0].tx.rsp_cons = loop->front[0].tx.req_prod_pvt;
    }
    assert(errors(loop, PV_NETBACK_TOO_SHORT) == 4000 * 256 && loop->uplink.sent_count == 0);
    assert(pv_packet_pool_used(loop->uplink.uplink.pool) == 0);
    loopback_close(loop);
}

/* A capture tells a packet that was dropped by its reason, and takes others for sent. */
static void test_every_error_has_words(void)
{
    for (int i = 0; i < PV_NETBACK_ERROR_COUNT; i++)
        assert(pv_netback_error_text(i) && *pv_netback_error_text(i));
}

int main(void)
{
    test_every_error_has_words();
    test_xsa_39_overrun(257);
    test_xsa_39_overrun(0x80000000);
    test_xsa_39_overrun(UINT32_MAX);
    test_rx_overrun();
    test_xsa_39_cut_short();
    test_xsa_90_traffic_goes_on();
    test_slot_counts();
    test_fragment_too_large();
    test_crosses_page();
    test_crosses_page_of_ia64();
    test_too_short();
    test_bad_extra(XEN_NETIF_EXTRA_TYPE_NONE);
    test_bad_extra(6);
    test_bad_extra(255);
    test_missing_extra(0);
    test_missing_extra(3);
    test_bad_gso(XEN_NETIF_GSO_TYPE_TCPV4, 0);
    test_bad_gso(XEN_NETIF_GSO_TYPE_NONE, 1000);
    test_bad_gso(3, 1000);
    test_gso_of_no_tcp(XEN_NETIF_GSO_TYPE_TCPV4, 17);
    test_gso_of_no_tcp(XEN_NETIF_GSO_TYPE_TCPV6, 6);
    test_xsa_362_367_bad_grant();
    test_before_a_fatal_one();
    test_xsa_39_many_bad_packets();
    return 0;
}
