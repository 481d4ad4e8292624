/* What the network frontend puts on the tx ring, before a backend that behaves. */
#include "frontends/vnif/c/fake_netback.h"

static const enum pv_abi abis[] = {PV_ABI_X86_64, PV_ABI_X86_32, PV_ABI_IA64};

/* Every length around the limits of pages arrives whole, on several rounds through the ring. */
static void test_lengths(enum pv_abi abi)
{
    static const uint32_t lengths[] = {14,    15,    60,    64,    1514,  2111, 2112,
                                       2113,  4095,  4096,  4097,  8192,  8193, 16383,
                                       16384, 16385, 61440, 61441, 65534, 65535};
    struct fake_netback *netback = netback_connect(abi, all_features);
    uint32_t page = netback->guest.hypervisor.page_size;
    uint64_t bytes = 0, slots = 0;
    for (uint32_t round = 0; round < 40; round++) {
        for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
            uint32_t length = lengths[i], seed = round * 100 + (uint32_t)i;
            assert(send_and_release(netback, make_packet(netback, length, seed)) == 1);
            assert(pv_netfront_outstanding(netback->queue) == (length + page - 1) / page);
            netback_serve(netback, length, seed);
            assert(pv_netfront_room(netback->queue) == 256);
            bytes += length;
            slots += (length + page - 1) / page;
        }
    }
    struct pv_netfront_stats stats = netback_stats(netback);
    assert(stats.tx_packets == 40 * sizeof(lengths) / sizeof(*lengths) && stats.tx_slots == slots);
    assert(stats.tx_bytes == bytes && stats.bytes_copied == bytes && stats.tx_errors == 0);
    netback_destroy(netback, 0);
}

static void test_offloads(void)
{
    static struct sent sent;
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct pv_packet *packet = make_packet(netback, 65535, 1);
    packet->csum_blank = true;
    packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV6;
    packet->gso_size = 1440;
    packet->hash_algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
    packet->hash_type = 3;
    packet->hash = 0x12345678;
    assert(send_one(netback, packet) == 1);
    netback_take(netback, &sent);
    assert(sent.length == 65535 && sent.head.size == 65535 && sent.nr_extras == 2);
    assert(sent.nr_fragments == 16); /* with its extras: 18 slots */
    assert(sent.head.flags & NETTXF_csum_blank && sent.head.flags & NETTXF_data_validated);
    assert(sent.extras[0].type == XEN_NETIF_EXTRA_TYPE_GSO && sent.extras[0].u.gso.size == 1440);
    assert(sent.extras[0].u.gso.type == XEN_NETIF_GSO_TYPE_TCPV6 && !sent.extras[0].u.gso.features);
    static const uint8_t hash[] = {XEN_NETIF_EXTRA_TYPE_HASH, 0, 3, 1, 0x78, 0x56, 0x34, 0x12};
    assert(memcmp(&sent.extras[1], hash, sizeof(hash)) == 0);
    answer_packet(netback, &sent, NETIF_RSP_OKAY);

    packet->gso_type = XEN_NETIF_GSO_TYPE_NONE;
    packet->csum_blank = false;
    packet->data_validated = true;
    assert(send_and_release(netback, packet) == 1);
    netback_take(netback, &sent);
    assert(sent.nr_extras == 1 && sent.extras[0].type == XEN_NETIF_EXTRA_TYPE_HASH);
    assert(!(sent.head.flags & NETTXF_csum_blank) && sent.head.flags & NETTXF_data_validated);
    answer_packet(netback, &sent, NETIF_RSP_OKAY);
    assert(pv_netfront_room(netback->queue) == netback->tx.nr_ents);
    assert(netback_stats(netback).tx_gso == 1);
    netback_destroy(netback, 0);
}

/* A hash is a hint: who does not know it is not told. */
static void test_hash_is_left_out(void)
{
    static struct sent sent;
    struct fake_netback *netback =
        netback_connect(PV_ABI_X86_64, (struct pv_netfront_features){.csum_ipv4 = true});
    struct pv_packet *packet = make_packet(netback, 60, 1);
    packet->hash_algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
    assert(send_and_release(netback, packet) == 1);
    netback_take(netback, &sent);
    assert(sent.nr_extras == 0);
    netback_destroy(netback, 0);
}

static void write_ethertype(struct pv_packet *packet, uint16_t type, uint8_t version)
{
    packet->data[12] = (uint8_t)(type >> 8);
    packet->data[13] = (uint8_t)type;
    packet->data[14] = (uint8_t)(version << 4 | 5);
}

/* Nothing of a batch is sent when one packet of it needs what is not agreed. */
static void expect_refused(struct pv_netfront_features features, const struct pv_packet *needs)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, features);
    struct pv_packet *packets[] = {make_packet(netback, 60, 1), make_packet(netback, 60, 2)};
    write_ethertype(packets[1], needs->gso_type == XEN_NETIF_GSO_TYPE_TCPV6 ? 0x86DD : 0x0800,
                    needs->gso_type == XEN_NETIF_GSO_TYPE_TCPV6 ? 6 : 4);
    packets[1]->length = needs->length;
    packets[1]->csum_blank = needs->csum_blank;
    packets[1]->gso_type = needs->gso_type;
    packets[1]->gso_size = needs->gso_size;
    assert(pv_netfront_send(netback->queue, packets, 2) == -EINVAL);
    assert(pv_back_unconsumed_requests(&netback->tx) == 0);
    assert(pv_netfront_outstanding(netback->queue) == 0);
    assert(pv_netfront_send(netback->queue, packets, 1) == 1);
    pv_packet_release(netback->cache, packets, 2);
    netback_destroy(netback, 0);
}

static void test_what_is_not_agreed(void)
{
    struct pv_netfront_features features = all_features;
    expect_refused(features, &(struct pv_packet){.length = 13});
    expect_refused(features, &(struct pv_packet){.length = 65536});
    expect_refused(features, &(struct pv_packet){.length = 60, .gso_type = 3, .gso_size = 1});
    expect_refused(features, &(struct pv_packet){.length = 60, .gso_type = 1, .gso_size = 0});
    features.sg = false;
    expect_refused(features, &(struct pv_packet){.length = 4097});
    features = all_features;
    features.gso_tcpv4 = false;
    expect_refused(features, &(struct pv_packet){.length = 60, .gso_type = 1, .gso_size = 1});
    features = all_features;
    features.gso_tcpv6 = false;
    expect_refused(features, &(struct pv_packet){.length = 60, .gso_type = 2, .gso_size = 1});
    features = all_features;
    features.csum_ipv4 = false;
    expect_refused(features, &(struct pv_packet){.length = 60, .csum_blank = true});
    features = all_features;
    features.csum_ipv6 = false;
    expect_refused(features, &(struct pv_packet){
                                 .length = 60, .csum_blank = true, .gso_type = 2, .gso_size = 1});
}

static void test_checksum_of_the_other_version(void)
{
    struct pv_netfront_features features = {.csum_ipv6 = true};
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, features);
    struct pv_packet *packet = make_packet(netback, 60, 1);
    packet->csum_blank = true;
    write_ethertype(packet, 0x86DD, 6);
    assert(send_one(netback, packet) == 1);
    write_ethertype(packet, 0x0800, 4);
    assert(send_and_release(netback, packet) == -EINVAL);
    netback_destroy(netback, 0);
}

/* What does not fit waits, packets are never cut, and order is kept. */
static void test_full_ring(void)
{
    static struct sent sent;
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct pv_packet *packets[300];
    for (uint32_t i = 0; i < 300; i++)
        packets[i] = make_packet(netback, 60, i);
    assert(pv_netfront_send(netback->queue, packets, 250) == 250);
    struct pv_packet *long_one = make_packet(netback, 6 * 4096 + 1, 9); /* 7 slots, 6 are free */
    assert(send_one(netback, long_one) == 0);
    assert(pv_netfront_room(netback->queue) == 6);
    assert(pv_netfront_send(netback->queue, packets + 250, 50) == 6);
    assert(pv_netfront_send(netback->queue, packets + 256, 44) == 0);
    assert(netback_stats(netback).tx_no_room == 3);
    for (uint32_t i = 0; i < 256; i++) {
        netback_take(netback, &sent);
        assert(sent.length == 60);
        expect_data(sent.data, 60, i);
        answer_packet(netback, &sent, NETIF_RSP_OKAY);
    }
    assert(pv_back_unconsumed_requests(&netback->tx) == 0);
    assert(pv_netfront_send(netback->queue, packets + 256, 44) == 44);
    for (uint32_t i = 256; i < 300; i++)
        netback_serve(netback, 60, i);
    assert(send_one(netback, long_one) == 1);
    netback_serve(netback, 6 * 4096 + 1, 9);
    pv_packet_release(netback->cache, &long_one, 1);
    pv_packet_release(netback->cache, packets, 300);
    netback_destroy(netback, 0);
}

/* An extra info needs a slot too. */
static void test_extras_on_a_full_ring(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct pv_packet *packet = make_packet(netback, 60, 1);
    for (int i = 0; i < 255; i++)
        assert(send_one(netback, packet) == 1);
    packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
    packet->gso_size = 6;
    assert(send_one(netback, packet) == 0 && pv_netfront_room(netback->queue) == 1);
    netback_serve(netback, 60, 1);
    assert(send_and_release(netback, packet) == 1 && pv_netfront_room(netback->queue) == 0);
    netback_destroy(netback, 0);
}

/* IA-64's ring has 1024 slots, but no more pages than others. */
static void test_pages_are_bounded(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_IA64, all_features);
    assert(netback->tx.nr_ents == 1024 && netback->guest.granted == 2 + 2 * 256);
    struct pv_packet *packet = make_packet(netback, 65535, 1); /* of four pages */
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++)
            assert(send_one(netback, packet) == 1);
        assert(send_one(netback, packet) == 0 && pv_netfront_room(netback->queue) == 0);
        for (int i = 0; i < 64; i++)
            netback_serve(netback, 65535, 1);
    }
    pv_packet_release(netback->cache, &packet, 1);
    netback_destroy(netback, 0);
}

/* Responses in another order than requests: no page is used while it is in flight. */
static void test_responses_in_any_order(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    static struct sent in_flight[64];
    uint32_t seeds[64], count = 0, seed = 0;
    srand(1);
    for (int step = 0; step < 4000; step++) {
        if (count < 64 && rand() % 2) {
            uint32_t length = rand() % 4 ? 60 : 5000;
            assert(send_and_release(netback, make_packet(netback, length, ++seed)) == 1);
            netback_take(netback, &in_flight[count]);
            seeds[count++] = seed;
        } else if (count > 0) {
            uint32_t i = (uint32_t)rand() % count;
            /* Its pages still hold it, though others have been sent since. */
            expect_data(in_flight[i].data, in_flight[i].length, seeds[i]);
            answer_packet(netback, &in_flight[i], step % 5 ? NETIF_RSP_OKAY : NETIF_RSP_DROPPED);
            in_flight[i] = in_flight[--count];
            seeds[i] = seeds[count];
        }
        bool used[256] = {false};
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t j = 0; j < in_flight[i].nr_fragments; j++) {
                assert(!used[in_flight[i].ids[j]]);
                used[in_flight[i].ids[j]] = true;
            }
    }
    while (count > 0)
        answer_packet(netback, &in_flight[--count], NETIF_RSP_OKAY);
    assert(pv_netfront_room(netback->queue) == netback->tx.nr_ents);
    assert(netback_stats(netback).tx_errors > 0);
    netback_destroy(netback, 0);
}

/* Small packets of one batch begin in different sets of a cache. */
static void test_packets_are_spread(void)
{
    static struct sent sent;
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct pv_packet *packets[32];
    bool line[64] = {false};
    for (uint32_t i = 0; i < 32; i++)
        packets[i] = make_packet(netback, 1514, i);
    assert(pv_netfront_send(netback->queue, packets, 32) == 32);
    for (uint32_t i = 0; i < 32; i++) {
        netback_take(netback, &sent);
        assert(sent.head.offset % 64 == 0 && !line[sent.head.offset / 64]);
        line[sent.head.offset / 64] = true;
    }
    pv_packet_release(netback->cache, packets, 32);
    netback_destroy(netback, 0);
}

static void test_multicast(void)
{
    static const uint8_t address[6] = {0x33, 0x33, 0, 0, 0, 1};
    static struct sent sent;
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    for (int i = 0; i < 2; i++) {
        assert(pv_netfront_multicast(netback->queue, address, i == 0) == 0);
        netback_take(netback, &sent);
        assert(sent.length == 0 && sent.nr_extras == 1 && sent.nr_fragments == 1);
        assert(sent.extras[0].type ==
               (i == 0 ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD : XEN_NETIF_EXTRA_TYPE_MCAST_DEL));
        assert(memcmp(sent.extras[0].u.mcast.addr, address, 6) == 0);
        answer_packet(netback, &sent, i == 0 ? NETIF_RSP_OKAY : NETIF_RSP_ERROR);
    }
    struct pv_netfront_stats stats = netback_stats(netback);
    assert(pv_netfront_room(netback->queue) == 256 && stats.tx_packets == 0);
    struct pv_packet *packet = make_packet(netback, 60, 1);
    for (int i = 0; i < 255; i++)
        assert(send_one(netback, packet) == 1);
    assert(pv_netfront_multicast(netback->queue, address, true) == -EAGAIN);
    pv_packet_release(netback->cache, &packet, 1);
    netback_destroy(netback, 0);
}

/* One notification for a batch, and none for a backend that is awake. */
static void test_notifications(void)
{
    struct fake_netback *netback = netback_connect(PV_ABI_X86_64, all_features);
    struct pv_packet *packets[] = {make_packet(netback, 60, 1), make_packet(netback, 60, 2)};
    assert(pv_netfront_send(netback->queue, packets, 0) == 0 && netback->guest.notifications == 0);
    assert(pv_netfront_send(netback->queue, packets, 2) == 2 && netback->guest.notifications == 1);
    assert(pv_netfront_send(netback->queue, packets, 2) == 2 && netback->guest.notifications == 1);
    for (uint32_t i = 0; i < 4; i++)
        netback_serve(netback, 60, i % 2 + 1);
    assert(!pv_back_final_check(&netback->tx));
    assert(pv_netfront_send(netback->queue, packets, 1) == 1 && netback->guest.notifications == 2);
    struct pv_netfront_stats stats = netback_stats(netback);
    assert(stats.notifications_sent == 2 && stats.notifications_suppressed == 1);
    pv_packet_release(netback->cache, packets, 2);
    netback_destroy(netback, 0);
}

int main(void)
{
    for (size_t i = 0; i < sizeof(abis) / sizeof(*abis); i++)
        test_lengths(abis[i]);
    test_offloads();
    test_hash_is_left_out();
    test_what_is_not_agreed();
    test_checksum_of_the_other_version();
    test_full_ring();
    test_extras_on_a_full_ring();
    test_pages_are_bounded();
    test_responses_in_any_order();
    test_packets_are_spread();
    test_multicast();
    test_notifications();
    return 0;
}
