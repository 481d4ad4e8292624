/* What the guest receives: packets of every shape in its buffers, each response in the slot of the
 * request that it answers. */
#include "tests/backends/vnif/c/loopback.h"

static void expect_data(struct loopback *loop, uint32_t id, uint32_t offset, uint32_t from,
                        uint32_t bytes, uint32_t length)
{
    const uint8_t *page = loopback_page(loop, DATA + id) + offset;
    for (uint32_t i = 0; i < bytes; i++)
        assert(page[i] == (from + i == 0 ? 0 : (uint8_t)((from + i) * 7 + length)));
}

static void test_one_slot(enum pv_abi abi)
{
    static struct loopback loop;
    loopback_init(&loop, abi);
    loopback_connect(&loop);
    rx_post(&loop, 0, 4);
    uplink_queue(&loop, 60);
    uplink_queue(&loop, 1514)->data_validated = true;
    uplink_queue(&loop, 100)->csum_blank = true;
    assert(loopback_pump(&loop) == 3);
    assert(rx_expect(&loop, 0, 60).flags == 0);
    assert(rx_expect(&loop, 0, 1514).flags == NETRXF_data_validated);
    assert(rx_expect(&loop, 0, 100).flags == (NETRXF_data_validated | NETRXF_csum_blank));
    expect_data(&loop, 0, 0, 0, 60, 60);
    expect_data(&loop, 1, 0, 0, 1514, 1514);
    assert(rx_is_empty(&loop, 0) && loop.notified[RX_PORT(0)] == 1);
    struct pv_netback_stats stats = loopback_stats(&loop);
    assert(stats.rx_packets == 3 && stats.rx_bytes == 1674 && stats.rx_slots == 3);
    loopback_close(&loop);
}

/* Each slot but the last says that there is more. */
static void test_pages(uint32_t length)
{
    static struct loopback loop;
    loopback_open(&loop);
    uint32_t pages = (length + 4095) / 4096;
    rx_post(&loop, 0, 40);
    uplink_queue(&loop, length);
    assert(loopback_pump(&loop) == 1);
    for (uint32_t i = 0; i < pages; i++) {
        uint32_t part = i + 1 < pages ? 4096 : length - 4096 * i;
        struct netif_rx_response response = rx_expect(&loop, 0, part);
        assert(response.flags == (i + 1 < pages ? NETRXF_more_data : 0) && response.offset == 0);
        expect_data(&loop, i, 0, 4096 * i, part, length);
    }
    assert(rx_is_empty(&loop, 0) && loopback_stats(&loop).rx_slots == pages);
    loopback_close(&loop);
}

/* Extra infos come behind the first slot, and use up a buffer. */
static void test_gso_and_headroom(uint16_t headroom)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.xdp_headroom = headroom;
    loopback_connect(&loop);
    rx_post(&loop, 0, 40);
    struct pv_packet *packet = uplink_queue(&loop, 9000);
    packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV6;
    packet->gso_size = 1440;
    packet->csum_blank = true;
    assert(loopback_pump(&loop) == 1);
    uint32_t page = 4096 - headroom, id = 0;
    struct netif_rx_response response = rx_expect(&loop, 0, page);
    assert(response.flags ==
           (NETRXF_csum_blank | NETRXF_data_validated | NETRXF_more_data | NETRXF_extra_info));
    assert(response.offset == headroom);
    expect_data(&loop, id++, headroom, 0, page, 9000);
    struct netif_extra_info extra = rx_take_extra(&loop);
    id++;
    assert(extra.type == XEN_NETIF_EXTRA_TYPE_GSO && extra.u.gso.size == 1440);
    assert(extra.u.gso.type == XEN_NETIF_GSO_TYPE_TCPV6 && extra.u.gso.features == 0);
    assert(extra.flags == (headroom ? XEN_NETIF_EXTRA_FLAG_MORE : 0));
    if (headroom) {
        extra = rx_take_extra(&loop);
        id++;
        assert(extra.type == XEN_NETIF_EXTRA_TYPE_XDP && extra.flags == 0);
        assert(extra.u.xdp.headroom == headroom);
    }
    for (uint32_t from = page; from < 9000; from += page) {
        uint32_t part = 9000 - from < page ? 9000 - from : page;
        response = rx_take(&loop, 0);
        assert(response.id == id && response.status == (int)part && response.offset == headroom);
        assert(response.flags == (from + part < 9000 ? NETRXF_more_data : 0));
        expect_data(&loop, id++, headroom, from, part, 9000);
    }
    assert(rx_is_empty(&loop, 0) && loopback_stats(&loop).rx_gso == 1);
    loopback_close(&loop);
}

/* As many packets are taken as there are buffers; what does not fit waits, and nothing overtakes.
 */
static void test_waits_for_buffers(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    for (uint32_t i = 0; i < 10; i++)
        uplink_queue(&loop, 60 + i);
    uplink_queue(&loop, 10000);
    uplink_queue(&loop, 80);
    rx_post(&loop, 0, 4);
    assert(loopback_pump(&loop) == 4);
    for (uint32_t i = 0; i < 4; i++)
        rx_expect(&loop, 0, 60 + i);
    assert(loop.uplink.first_queued <= 5);
    rx_post(&loop, 0, 8);
    assert(loopback_pump(&loop) == 6); /* two are left, and the next needs three */
    for (uint32_t i = 4; i < 10; i++)
        rx_expect(&loop, 0, 60 + i);
    assert(rx_is_empty(&loop, 0));
    /* Asked to be notified at the next buffer, though there are some. */
    assert(!pv_netback_queue_arm(loop.back[0]));
    assert(loop.front[0].rx.sring->req_event == 13);
    rx_post(&loop, 0, 1);
    pv_front_push_requests(&loop.front[0].rx);
    assert(loopback_pump(&loop) == 1);
    rx_expect(&loop, 0, 4096);
    rx_expect(&loop, 0, 4096);
    rx_expect(&loop, 0, 10000 - 8192);
    rx_post(&loop, 0, 1);
    assert(loopback_pump(&loop) == 1);
    rx_expect(&loop, 0, 80);
    loopback_close(&loop);
}

/* A guest with buffers and nothing to wait for is not asked to notify. */
static void test_no_needless_event(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    rx_post(&loop, 0, 100);
    loopback_pump(&loop);
    assert(!pv_netback_queue_arm(loop.back[0]));
    assert(loop.front[0].rx.sring->req_event == 1);
    assert(pv_netback_queue_deadline(loop.back[0]) == UINT64_MAX);
    uplink_queue(&loop, 60);
    assert(pv_netback_queue_arm(loop.back[0])); /* the uplink has something */
    assert(loopback_pump(&loop) == 1);
    loop.uplink.due = 77;
    assert(pv_netback_queue_deadline(loop.back[0]) == 77);
    loopback_close(&loop);
}

/* A page that cannot be written to is answered so, and harms no other packet. */
static void test_bad_grant(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    loop.bad_ref = DATA + 1;
    rx_post(&loop, 0, 3);
    uplink_queue(&loop, 60);
    uplink_queue(&loop, 61);
    uplink_queue(&loop, 62);
    assert(loopback_pump(&loop) == 3);
    rx_expect(&loop, 0, 60);
    struct netif_rx_response response = rx_take(&loop, 0);
    assert(response.id == 1 && response.status == NETIF_RSP_ERROR);
    rx_expect(&loop, 0, 62);
    assert(loopback_stats(&loop).rx_grant_errors == 1);
    loopback_close(&loop);
}

/* Of a packet of many slots the one that failed says so; its extra infos stay what they are. */
static void test_bad_grant_of_a_fragment(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.xdp_headroom = 256;
    loopback_connect(&loop);
    loop.bad_ref = DATA + 4; /* the third of data, behind two extra infos */
    rx_post(&loop, 0, 10);
    struct pv_packet *packet = uplink_queue(&loop, 9000);
    packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
    packet->gso_size = 1448;
    uplink_queue(&loop, 60);
    assert(loopback_pump(&loop) == 2);
    rx_expect(&loop, 0, 3840);
    assert(rx_take_extra(&loop).type == XEN_NETIF_EXTRA_TYPE_GSO);
    assert(rx_take_extra(&loop).type == XEN_NETIF_EXTRA_TYPE_XDP);
    rx_expect(&loop, 0, 3840);
    assert(rx_take(&loop, 0).status == NETIF_RSP_ERROR);
    assert(rx_expect(&loop, 0, 60).flags == NETRXF_extra_info);
    assert(loopback_stats(&loop).rx_grant_errors == 1);
    rx_take_extra(&loop);
    loopback_close(&loop);
}

/* XSA-216: the guest finds its packet and nothing else of the backend's memory: no byte behind it
 * in the page, and none in what an extra info does not use. */
static void test_xsa_216_nothing_but_the_packet(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.xdp_headroom = 256;
    loopback_connect(&loop);
    memset(loopback_page(&loop, DATA), 0xee, 4096);
    rx_post(&loop, 0, 10);
    struct pv_packet *packet = uplink_queue(&loop, 100);
    packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
    packet->gso_size = 0x5a8;
    assert(loopback_pump(&loop) == 1);
    rx_expect(&loop, 0, 100);
    for (uint32_t i = 0; i < 4096; i++)
        assert(i - 256 < 100 || loopback_page(&loop, DATA)[i] == 0xee);
    struct netif_extra_info gso = rx_take_extra(&loop), xdp = rx_take_extra(&loop);
    assert(memcmp(&gso, "\x01\x01\xa8\x05\x01\0\0\0", 8) == 0);
    assert(memcmp(&xdp, "\x05\0\0\x01\0\0\0\0", 8) == 0);
    loopback_close(&loop);
}

/* What an uplink must not give is dropped. */
static void test_bad_lengths(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.sg = false;
    loop.config.xdp_headroom = 96;
    loopback_connect(&loop);
    rx_post(&loop, 0, 40);
    uplink_queue(&loop, 13);
    uplink_queue(&loop, 4001);
    uplink_queue(&loop, 4000);
    assert(loopback_pump(&loop) == 1);
    assert(rx_take(&loop, 0).status == 4000);
    assert(loopback_stats(&loop).rx_dropped == 2);
    loopback_close(&loop);
}

/* Rings full of packets of all lengths, their indices coming round. */
static void test_many(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    struct pv_sring *rx = (struct pv_sring *)loopback_page(&loop, RX_RING(0));
    rx->req_prod = rx->rsp_prod = UINT32_MAX - 300;
    loopback_connect(&loop);
    rx_post(&loop, 0, 256);
    uint32_t length = 14;
    for (int round = 0; round < 300; round++) {
        uint32_t lengths[5];
        for (int i = 0; i < 5; i++) {
            lengths[i] = length;
            uplink_queue(&loop, length);
            length = 14 + (length * 31 + 7) % 40000;
        }
        while (loopback_pump(&loop) > 0)
            ;
        for (int i = 0; i < 5; i++)
            for (uint32_t from = 0; from < lengths[i]; from += 4096) {
                uint32_t part = lengths[i] - from < 4096 ? lengths[i] - from : 4096;
                uint32_t id = loop.front[0].rx.rsp_cons & 255;
                struct netif_rx_response response = rx_expect(&loop, 0, part);
                assert(!(response.flags & NETRXF_more_data) == (from + part == lengths[i]));
                expect_data(&loop, id, 0, from, part, lengths[i]);
                rx_post(&loop, 0, 1);
            }
        assert(rx_is_empty(&loop, 0));
    }
    loopback_close(&loop);
}

int main(void)
{
    test_one_slot(PV_ABI_X86_64);
    test_one_slot(PV_ABI_IA64);
    test_pages(4096);
    test_pages(4097);
    test_pages(65535);
    test_gso_and_headroom(0);
    test_gso_and_headroom(256);
    test_waits_for_buffers();
    test_no_needless_event();
    test_bad_grant();
    test_bad_grant_of_a_fragment();
    test_xsa_216_nothing_but_the_packet();
    test_bad_lengths();
    test_many();
    return 0;
}
