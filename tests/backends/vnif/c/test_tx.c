/* What the guest transmits: packets of every shape reach the uplink, and each slot is answered. */
#include "tests/backends/vnif/c/loopback.h"

static void fill_page(struct loopback *loop, grant_ref_t ref, uint8_t seed)
{
    uint8_t *page = loopback_page(loop, ref);
    for (uint32_t i = 0; i < loop->page_size; i++)
        page[i] = (uint8_t)(seed + i * 3);
}

static const struct pv_packet *sent(const struct loopback *loop, uint32_t i, uint32_t length)
{
    assert(i < loop->uplink.sent_count);
    const struct pv_packet *packet = loop->uplink.sent[i];
    assert(packet->length == length);
    return packet;
}

static void test_empty(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    assert(loopback_pump(&loop) == 0);
    assert(tx_is_empty(&loop) && loop.uplink.sends == 0 && loop.copy_calls == 0);
    loopback_close(&loop);
}

static void test_one_slot(enum pv_abi abi)
{
    static struct loopback loop;
    loopback_init(&loop, abi);
    loopback_connect(&loop);
    fill_page(&loop, DATA, 1);
    tx_put_request(&loop, DATA, 100, 60, 0);
    assert(loopback_pump(&loop) == 1);
    const struct pv_packet *packet = sent(&loop, 0, 60);
    assert(memcmp(packet->data, loopback_page(&loop, DATA) + 100, 60) == 0);
    assert(!packet->csum_blank && !packet->data_validated && packet->gso_type == 0);
    assert(packet->hash_algorithm == 0);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);
    assert(tx_is_empty(&loop) && loop.notified[TX_PORT(0)] == 1);
    struct pv_netback_stats stats = loopback_stats(&loop);
    assert(stats.tx_packets == 1 && stats.tx_bytes == 60 && stats.tx_slots == 1);
    assert(stats.tx_errors == 0 && stats.grant_copies == 1 && stats.bytes_copied == 60);
    loopback_close(&loop);
}

/* The first request's size is the packet's; the others' are their own. */
static void test_fragments(uint32_t count)
{
    static struct loopback loop;
    loopback_open(&loop);
    uint16_t first = 20, each = 7;
    uint16_t total = (uint16_t)(first + each * count);
    for (uint32_t i = 0; i <= count; i++)
        fill_page(&loop, DATA + i, (uint8_t)i);
    tx_put_request(&loop, DATA, 10, total, NETTXF_more_data);
    for (uint32_t i = 1; i <= count; i++)
        tx_put_request(&loop, DATA + i, (uint16_t)(4096 - each), each,
                       i < count ? NETTXF_more_data : 0);
    assert(loopback_pump(&loop) == 1);
    const uint8_t *data = sent(&loop, 0, total)->data;
    assert(memcmp(data, loopback_page(&loop, DATA) + 10, first) == 0);
    for (uint32_t i = 1; i <= count; i++)
        assert(memcmp(data + first + (i - 1) * each, loopback_page(&loop, DATA + i) + 4096 - each,
                      each) == 0);
    for (uint32_t i = 0; i <= count; i++)
        tx_expect(&loop, DATA + i, NETIF_RSP_OKAY);
    assert(tx_is_empty(&loop));
    loopback_close(&loop);
}

/* A copy between pages that do not begin alike is two for a hypervisor. */
static void test_pages_are_copied_to_pages(uint16_t offset)
{
    static struct loopback loop;
    loopback_open(&loop);
    uint16_t headers = 66, second = (uint16_t)(4096 - offset);
    uint16_t total = (uint16_t)(headers + second + 2 * 4096);
    for (uint32_t i = 0; i < 4; i++)
        fill_page(&loop, DATA + i, (uint8_t)i);
    tx_put_request(&loop, DATA, 10, total, NETTXF_more_data);
    tx_put_request(&loop, DATA + 1, offset, second, NETTXF_more_data);
    tx_put_request(&loop, DATA + 2, 0, 4096, NETTXF_more_data);
    tx_put_request(&loop, DATA + 3, 0, 4096, 0);
    assert(loopback_pump(&loop) == 1);
    const uint8_t *data = sent(&loop, 0, total)->data, *pages = data + headers + second;
    assert(memcmp(data, loopback_page(&loop, DATA) + 10, headers) == 0);
    assert(memcmp(data + headers, loopback_page(&loop, DATA + 1) + offset, second) == 0);
    for (uint32_t i = 0; i < 2; i++)
        assert(memcmp(pages + i * 4096, loopback_page(&loop, DATA + 2 + i), 4096) == 0);
    assert((uintptr_t)pages % 4096 == 0);
    loopback_close(&loop);
}

/* XSA-448: an empty fragment, and a first slot that the fragments leave nothing to, with grants
 * that are none. XSA-423, XSA-432: headers spread over slots of one byte. */
static void test_xsa_423_432_448(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    tx_put_request(&loop, 60000, 0, 60, NETTXF_more_data);
    tx_put_request(&loop, 60001, 0, 0, NETTXF_more_data);
    tx_put_request(&loop, DATA, 0, 60, 0);
    assert(loopback_pump(&loop) == 1);
    assert(memcmp(sent(&loop, 0, 60)->data, loopback_page(&loop, DATA), 60) == 0);
    tx_expect(&loop, 60000, NETIF_RSP_OKAY);
    tx_expect(&loop, 60001, NETIF_RSP_OKAY);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);

    for (uint8_t i = 0; i < 18; i++)
        loopback_page(&loop, DATA + i)[5] = i;
    tx_put_request(&loop, DATA, 5, 18, NETTXF_more_data);
    for (uint16_t i = 1; i < 18; i++)
        tx_put_request(&loop, DATA + i, 5, 1, i < 17 ? NETTXF_more_data : 0);
    assert(loopback_pump(&loop) == 1);
    for (uint8_t i = 0; i < 18; i++)
        assert(sent(&loop, 1, 18)->data[i] == i);
    loopback_close(&loop);
}

/* The guest writes other slots over those of the packets under way. */
static int copy_and_change(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies,
                           unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    struct pv_front_ring *ring = &loop->front[0].tx;
    const struct netif_tx_request other = {
        .gref = 60000, .offset = 65535, .flags = 0xffff, .id = 60000, .size = 65535};
    int result = fake_copy(hypervisor, copies, count);
    for (uint32_t i = 0; i < ring->nr_ents; i++)
        memcpy(pv_front_request_slot(ring, i), &other, sizeof other);
    return result;
}

/* XSA-155: what a slot said when it was read counts, for the check, the packet and the answer. */
static void test_xsa_155_slots_change(void)
{
    static struct loopback loop;
    struct pv_hypervisor_ops ops = fake_ops;
    ops.gnttab_copy = copy_and_change;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.hypervisor.ops = &ops;
    loopback_connect(&loop);
    const struct netif_extra_info hash = {.type = XEN_NETIF_EXTRA_TYPE_HASH};
    fill_page(&loop, DATA, 1);
    fill_page(&loop, DATA + 1, 2);
    tx_put_request(&loop, DATA, 0, 100, NETTXF_more_data | NETTXF_extra_info);
    tx_put_extra(&loop, hash);
    tx_put_request(&loop, DATA + 1, 7, 40, 0);
    tx_put_request(&loop, DATA + 2, 0, 13, 0); /* too short: refused before any copy */
    assert(loopback_pump(&loop) == 2 && loop.uplink.sent_count == 1);
    const uint8_t *data = sent(&loop, 0, 100)->data;
    assert(memcmp(data, loopback_page(&loop, DATA), 60) == 0);
    assert(memcmp(data + 60, loopback_page(&loop, DATA + 1) + 7, 40) == 0);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);
    struct netif_tx_response null = tx_take(&loop);
    assert(null.status == NETIF_RSP_NULL && null.id == hash.type);
    tx_expect(&loop, DATA + 1, NETIF_RSP_OKAY);
    tx_expect(&loop, DATA + 2, NETIF_RSP_ERROR);
    loopback_close(&loop);
}

/* A packet whose slots go on at the ring's beginning, where its indices begin again too. */
static void test_wraps(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    struct pv_sring *ring = (struct pv_sring *)loopback_page(&loop, TX_RING(0));
    ring->req_prod = ring->rsp_prod = UINT32_MAX - 2;
    loopback_connect(&loop);
    for (uint32_t i = 0; i < 3; i++)
        fill_page(&loop, DATA + i, (uint8_t)i);
    for (int round = 0; round < 2; round++) {
        tx_put_request(&loop, DATA, 0, 90, NETTXF_more_data | NETTXF_extra_info);
        tx_put_extra(&loop, (struct netif_extra_info){.type = XEN_NETIF_EXTRA_TYPE_XDP,
                                                      .flags = XEN_NETIF_EXTRA_FLAG_MORE});
        tx_put_extra(&loop, (struct netif_extra_info){.type = XEN_NETIF_EXTRA_TYPE_XDP});
        tx_put_request(&loop, DATA + 1, 0, 20, NETTXF_more_data);
        tx_put_request(&loop, DATA + 2, 0, 30, 0);
        assert(loopback_pump(&loop) == 1);
        const uint8_t *data = sent(&loop, (uint32_t)round, 90)->data;
        assert(memcmp(data, loopback_page(&loop, DATA), 40) == 0);
        assert(memcmp(data + 40, loopback_page(&loop, DATA + 1), 20) == 0);
        assert(memcmp(data + 60, loopback_page(&loop, DATA + 2), 30) == 0);
        tx_expect(&loop, DATA, NETIF_RSP_OKAY);
        tx_expect_null(&loop);
        tx_expect_null(&loop);
        tx_expect(&loop, DATA + 1, NETIF_RSP_OKAY);
        tx_expect(&loop, DATA + 2, NETIF_RSP_OKAY);
        assert(tx_is_empty(&loop));
    }
    loopback_close(&loop);
}

static void test_extras(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    struct netif_extra_info gso = {.type = XEN_NETIF_EXTRA_TYPE_GSO,
                                   .flags = XEN_NETIF_EXTRA_FLAG_MORE};
    gso.u.gso.type = XEN_NETIF_GSO_TYPE_TCPV4;
    gso.u.gso.size = 1000;
    struct netif_extra_info hash = {.type = XEN_NETIF_EXTRA_TYPE_HASH,
                                    .flags = XEN_NETIF_EXTRA_FLAG_MORE};
    hash.u.hash.type = 1;
    hash.u.hash.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
    memcpy(hash.u.hash.value, "\x78\x56\x34\x12", 4);
    struct netif_extra_info xdp = {.type = XEN_NETIF_EXTRA_TYPE_XDP};
    write_frame(loopback_page(&loop, DATA), 4000, 6);
    tx_put_request(&loop, DATA, 0, 4000, NETTXF_extra_info | NETTXF_csum_blank | NETTXF_more_data);
    tx_put_extra(&loop, gso);
    tx_put_extra(&loop, hash);
    tx_put_extra(&loop, xdp);
    tx_put_request(&loop, DATA + 1, 0, 1, 0);
    assert(loopback_pump(&loop) == 1);
    const struct pv_packet *packet = sent(&loop, 0, 4000);
    assert(packet->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 && packet->gso_size == 1000);
    assert(packet->csum_blank && packet->data_validated);
    assert(packet->hash_type == 1 && packet->hash == 0x12345678);
    assert(packet->hash_algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);
    tx_expect_null(&loop);
    tx_expect_null(&loop);
    tx_expect_null(&loop);
    tx_expect(&loop, DATA + 1, NETIF_RSP_OKAY);
    assert(tx_is_empty(&loop) && loopback_stats(&loop).tx_gso == 1);
    loopback_close(&loop);
}

static void test_flags(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    write_frame(loopback_page(&loop, DATA), 100, 17);
    static const struct {
        uint16_t flags;
        bool csum_blank, data_validated;
    } rows[] = {{0, false, false},
                {NETTXF_data_validated, false, true},
                {NETTXF_csum_blank, true, true},
                {NETTXF_csum_blank | NETTXF_data_validated, true, true}};
    for (uint32_t i = 0; i < 4; i++) {
        tx_put_request(&loop, DATA, 0, 100, rows[i].flags);
        assert(loopback_pump(&loop) == 1);
        const struct pv_packet *packet = sent(&loop, i, 100);
        assert(packet->csum_blank == rows[i].csum_blank);
        assert(packet->data_validated == rows[i].data_validated);
    }
    loopback_close(&loop);
}

/* A full ring, several times round: in order, in batches, and one copy of each packet. */
static void test_many(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    for (int round = 0; round < 5; round++) {
        uint32_t free_slots = pv_front_free_requests(&loop.front[0].tx);
        assert(free_slots == 256);
        for (uint32_t i = 0; i < free_slots; i++) {
            loopback_page(&loop, DATA + i)[0] = (uint8_t)i;
            tx_put_request(&loop, DATA + i, 0, 64, 0);
        }
        assert(loopback_pump(&loop) == 256);
        for (uint32_t i = 0; i < free_slots; i++) {
            assert(sent(&loop, i, 64)->data[0] == (uint8_t)i);
            tx_expect(&loop, DATA + i, NETIF_RSP_OKAY);
        }
        uplink_forget(&loop);
    }
    assert(loop.copies == 5 * 256 && loop.copy_calls == 5 * 4 && loop.uplink.sends == 5 * 4);
    loopback_close(&loop);
}

static void test_budget(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    for (uint32_t i = 0; i < 10; i++)
        tx_put_request(&loop, DATA, 0, 64, 0);
    pv_front_push_requests(&loop.front[0].tx);
    assert(pv_netback_queue_pump(loop.back[0], 3, 1) == 3 && loop.uplink.sent_count == 3);
    assert(pv_netback_queue_arm(loop.back[0])); /* there is more */
    assert(pv_netback_queue_pump(loop.back[0], 100, 1) == 7);
    assert(!pv_netback_queue_arm(loop.back[0]));
    loopback_close(&loop);
}

/* An uplink that looks at no byte is sent packets without copies. */
static void test_no_data(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.uplink.uplink.no_data = true;
    loopback_connect(&loop);
    tx_put_request(&loop, DATA, 0, 1000, NETTXF_csum_blank | NETTXF_more_data);
    tx_put_request(&loop, 60000, 0, 100, 0);
    assert(loopback_pump(&loop) == 1 && sent(&loop, 0, 1000)->csum_blank);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);
    assert(loop.copy_calls == 0);
    loopback_close(&loop);
}

/* The guest's event index decides, and one event is enough for a pump with a shared channel. */
static void test_notifications(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.split = false;
    loopback_connect(&loop);
    assert(pv_netback_queue_pollable(loop.back[0])->second_port == 0);
    struct pv_sring *tx = loop.front[0].tx.sring;
    tx->rsp_event = 5;
    tx_put_request(&loop, DATA, 0, 64, 0);
    loopback_pump(&loop);
    assert(loop.notified[TX_PORT(0)] == 0);
    assert(loopback_stats(&loop).notifications_suppressed == 1);
    tx->rsp_event = 2;
    tx_put_request(&loop, DATA, 0, 64, 0);
    rx_post(&loop, 0, 1);
    uplink_queue(&loop, 60);
    loopback_pump(&loop);
    assert(loop.notified[TX_PORT(0)] == 1 && loop.notified[RX_PORT(0)] == 0);
    assert(loopback_stats(&loop).notifications_sent == 1);
    loopback_close(&loop);
}

int main(void)
{
    test_empty();
    test_one_slot(PV_ABI_X86_64);
    test_one_slot(PV_ABI_X86_32);
    test_one_slot(PV_ABI_IA64);
    test_fragments(1);
    test_fragments(XEN_NETIF_NR_SLOTS_MIN);
    test_pages_are_copied_to_pages(0);
    test_pages_are_copied_to_pages(100);
    test_xsa_423_432_448();
    test_xsa_155_slots_change();
    test_wraps();
    test_extras();
    test_flags();
    test_many();
    test_budget();
    test_no_data();
    test_notifications();
    return 0;
}
