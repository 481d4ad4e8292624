/* What the network frontend takes from the rx ring, before a backend that behaves. */
#include "frontends/vnif/c/fake_netback.h"

/* A packet as a backend writes it: full pages, then the rest. */
static void put_packet(struct fake_netback *netback, uint32_t length, uint32_t seed)
{
    uint32_t page = netback->guest.hypervisor.page_size;
    for (uint32_t from = 0; from < length; from += page) {
        uint32_t left = length - from, bytes = left < page ? left : page;
        put_fragment(netback, seed, from, (uint16_t)bytes, 0, left > page ? NETRXF_more_data : 0);
    }
    push_rx(netback);
}

/* Several rounds through the ring, with packets of one slot and of many. */
static void test_lengths(enum pv_abi abi)
{
    static const uint32_t lengths[] = {14,   60,    1514,  4096,  4097, 9014,
                                       8192, 16384, 16385, 65535, 64,   1500};
    struct fake_netback *netback = netback_connect(abi, all_features);
    uint64_t bytes = 0;
    for (uint32_t round = 0; round < 60; round++) {
        for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
            uint32_t seed = round * 50 + (uint32_t)i;
            put_packet(netback, lengths[i], seed);
            expect_packet(netback, lengths[i], seed);
            bytes += lengths[i];
        }
    }
    struct pv_netfront_stats stats = netback_stats(netback);
    assert(stats.rx_packets == 60 * 12 && stats.rx_bytes == bytes && stats.rx_dropped == 0);
    netback_destroy(netback, 0);
}

/* The caller's room bounds what is taken; the rest stays for the next call. */
static void test_batches(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct pv_packet *packets[64];
    for (uint32_t i = 0; i < 100; i++)
        put_packet(netback, 60 + i, i);
    for (uint32_t done = 0; done < 100;) {
        int count = pv_netfront_receive(netback->queue, packets, 7);
        assert(count == (done < 98 ? 7 : 2));
        for (int i = 0; i < count; i++, done++) {
            assert(packets[i]->length == 60 + done);
            expect_data(packets[i]->data, 60 + done, done);
        }
        pv_packet_release(netback->cache, packets, (uint32_t)count);
    }
    assert(pv_netfront_receive(netback->queue, packets, 64) == 0);
    netback_destroy(netback, 0);
}

/* At every moment the backend has three fourths of the buffers, and all lie in the ring's order. */
static void test_buffers(uint32_t asked, uint32_t posted)
{
    struct pv_netfront_config config = {.rx_buffers = asked};
    struct fake_netback *netback = netback_create(PV_ABI_X86_64, config);
    assert(pv_netfront_connect(netback->queue, &all_features) == 0);
    assert((uint32_t)pv_back_unconsumed_requests(&netback->rx) == posted);
    assert(netback->guest.granted == 2 + 256 + posted);
    for (uint32_t i = 0; i < 700; i++) {
        put_packet(netback, 60, i);
        expect_packet(netback, 60, i);
        assert((uint32_t)pv_back_unconsumed_requests(&netback->rx) * 4 >= posted * 3);
    }
    assert(netback_stats(netback).grants_made == netback->guest.granted);
    netback_destroy(netback, 0);
}

static void test_flags(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    put_fragment(netback, 1, 0, 60, 0, 0);
    put_fragment(netback, 1, 0, 60, 64, NETRXF_data_validated);
    put_fragment(netback, 1, 0, 60, 4036, NETRXF_data_validated | NETRXF_csum_blank);
    push_rx(netback);
    struct pv_packet *packets[3];
    assert(pv_netfront_receive(netback->queue, packets, 3) == 3);
    for (int i = 0; i < 3; i++) {
        assert(packets[i]->data_validated == (i > 0) && packets[i]->csum_blank == (i > 1));
        assert(packets[i]->gso_type == 0 && packets[i]->hash_algorithm == 0);
        expect_data(packets[i]->data, 60, 1);
    }
    pv_packet_release(netback->cache, packets, 3);
    netback_destroy(netback, 0);
}

static struct netif_extra_info gso_extra(uint8_t type, uint16_t size, uint8_t flags)
{
    struct netif_extra_info extra = {.type = XEN_NETIF_EXTRA_TYPE_GSO, .flags = flags};
    extra.u.gso.type = type;
    extra.u.gso.size = size;
    return extra;
}

static struct netif_extra_info xdp_extra(uint16_t headroom, uint8_t flags)
{
    struct netif_extra_info extra = {.type = XEN_NETIF_EXTRA_TYPE_XDP, .flags = flags};
    extra.u.xdp.headroom = headroom;
    return extra;
}

static void test_extras(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct netif_extra_info hash = {.type = XEN_NETIF_EXTRA_TYPE_HASH};
    hash.u.hash.type = 1;
    hash.u.hash.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
    memcpy(hash.u.hash.value, "\x78\x56\x34\x12", 4);
    put_fragment(netback, 5, 0, 4096, 0,
                 NETRXF_csum_blank | NETRXF_data_validated | NETRXF_extra_info | NETRXF_more_data);
    put_extra(netback, gso_extra(XEN_NETIF_GSO_TYPE_TCPV4, 1448, XEN_NETIF_EXTRA_FLAG_MORE));
    put_extra(netback, hash);
    put_fragment(netback, 5, 4096, 4096, 0, NETRXF_more_data);
    put_fragment(netback, 5, 8192, 100, 7, 0);
    push_rx(netback);
    struct pv_packet *packet = receive_one(netback);
    assert(packet->length == 8292 && packet->csum_blank && packet->data_validated);
    assert(packet->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 && packet->gso_size == 1448);
    assert(packet->hash_algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
    assert(packet->hash_type == 1 && packet->hash == 0x12345678);
    expect_data(packet->data, 8292, 5);
    pv_packet_release(netback->cache, &packet, 1);
    put_packet(netback, 60, 6); /* the next one has none of it, though it may be the same memory */
    packet = receive_one(netback);
    assert(!packet->gso_type && !packet->hash_algorithm && !packet->csum_blank);
    pv_packet_release(netback->cache, &packet, 1);
    assert(netback_stats(netback).rx_gso == 1);
    netback_destroy(netback, 0);
}

/* The headroom in the offset, or as Linux's backend writes it: offset 0, and part of the status. */
static void test_xdp_headroom(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct netif_rx_request request;
    put_fragment(netback, 3, 0, 1500, 256, NETRXF_extra_info);
    put_extra(netback, xdp_extra(256, 0));
    push_rx(netback);
    expect_packet(netback, 1500, 3);

    uint32_t from = 0;
    for (uint32_t length = 5000; from < length;) {
        uint8_t *page = next_buffer(netback, &request);
        uint32_t bytes = length - from < 3840 ? length - from : 3840;
        for (uint32_t i = 0; i < bytes; i++)
            page[256 + i] = pattern(4, from + i);
        bool first = from == 0;
        from += bytes;
        struct netif_rx_response response = {.id = request.id, .status = (int16_t)(256 + bytes)};
        if (first)
            response.flags = NETRXF_extra_info | NETRXF_more_data;
        put_response(netback, &response);
        if (first)
            put_extra(netback, xdp_extra(256, 0));
    }
    push_rx(netback);
    expect_packet(netback, 5000, 4);
    netback_destroy(netback, 0);
}

/* The id is no place to look: extras overwrite it, and old backends leave what they like. */
static void test_id_is_ignored(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct netif_rx_request request;
    memset(next_buffer(netback, &request), 0x5A, 60);
    struct netif_rx_response response = {.id = 0xFFFF, .status = 60};
    put_response(netback, &response);
    push_rx(netback);
    struct pv_packet *packet = receive_one(netback);
    assert(packet->data[0] == 0x5A && packet->data[59] == 0x5A);
    pv_packet_release(netback->cache, &packet, 1);
    netback_destroy(netback, 0);
}

/* Whoever sleeps is woken by the next packet, and for room only when asked. */
static void test_arm(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct pv_packet *packet = make_packet(netback, 60, 1);
    static struct sent sent;
    assert(send_and_release(netback, packet) == 1);
    netback_take(netback, &sent);
    assert(!pv_netfront_has_news(netback->queue) && !pv_netfront_arm(netback->queue, true));
    struct netif_tx_response response = {sent.ids[0], NETIF_RSP_OKAY};
    memcpy(pv_back_response_slot(&netback->tx, netback->tx.rsp_prod_pvt++), &response, 4);
    assert(pv_back_push_responses(&netback->tx)); /* it asked for this */
    assert(pv_netfront_has_news(netback->queue) && pv_netfront_arm(netback->queue, true));
    assert(!pv_netfront_arm(netback->queue, false));
    put_fragment(netback, 1, 0, 60, 0, 0);
    assert(pv_back_push_responses(&netback->rx));
    assert(pv_netfront_arm(netback->queue, false) && pv_netfront_has_news(netback->queue));
    expect_packet(netback, 60, 1);
    assert(!pv_netfront_has_news(netback->queue));
    put_fragment(netback, 1, 0, 60, 0, 0);
    assert(!pv_back_push_responses(&netback->rx)); /* it is awake */
    expect_packet(netback, 60, 1);
    netback_destroy(netback, 0);
}

int main(void)
{
    test_lengths(PV_ABI_X86_64);
    test_lengths(PV_ABI_X86_32);
    test_lengths(PV_ABI_IA64);
    test_batches();
    test_buffers(0, 256);
    test_buffers(1000, 256);
    test_buffers(100, 64);
    test_buffers(1, 1);
    test_flags();
    test_extras();
    test_xdp_headroom();
    test_id_is_ignored();
    test_arm();
    return 0;
}
