/* What an end does not take is done in between: checksums, and cutting GSO packets up. */
#include "pvdrivers/vnif/headers.h"
#include "tests/backends/vnif/c/loopback.h"

static void put_gso(struct loopback *loop, uint16_t length, uint16_t flags, uint16_t mss)
{
    struct netif_extra_info gso = {.type = XEN_NETIF_EXTRA_TYPE_GSO};
    gso.u.gso.type = XEN_NETIF_GSO_TYPE_TCPV4;
    gso.u.gso.size = mss;
    write_frame(loopback_page(loop, DATA), length, 6);
    tx_put_request(loop, DATA, 0, length, (uint16_t)(NETTXF_extra_info | flags));
    tx_put_extra(loop, gso);
}

/* The bytes of a packet behind its 54 bytes of headers, as write_frame writes them. */
static void expect_payload(const struct pv_packet *packet, uint32_t from)
{
    for (uint32_t i = 54; i < packet->length; i++)
        assert(packet->data[i] == (uint8_t)((from + i) * 13));
}

static void test_tx_checksum_is_filled(uint8_t protocol)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.uplink.uplink.tx_offloads = (struct pv_uplink_offloads){0};
    loopback_connect(&loop);
    struct pv_packet frame = {.data = loopback_page(&loop, DATA), .length = 100, .capacity = 4096};
    write_frame(frame.data, 100, protocol);
    assert(pv_packet_blank_checksum(&frame));
    tx_put_request(&loop, DATA, 0, 100, NETTXF_csum_blank);
    tx_put_request(&loop, DATA, 0, 100, 0); /* this one's is not blank, so nothing is done to it */
    assert(loopback_pump(&loop) == 2);
    const struct pv_packet *packet = loop.uplink.sent[0];
    assert(!packet->csum_blank && packet->data_validated && pv_packet_checksums_valid(packet));
    assert(memcmp(packet->data, frame.data, 100) != 0);
    assert(memcmp(loop.uplink.sent[1]->data, frame.data, 100) == 0);
    assert(loopback_stats(&loop).checksums_filled == 1);
    loopback_close(&loop);
}

/* What is no TCP or UDP packet has no checksum to be blank: Linux's netback drops it too. */
static void test_tx_no_checksum(bool csum)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.uplink.uplink.tx_offloads.csum_ipv4 = loop.uplink.uplink.tx_offloads.csum_ipv6 = csum;
    loopback_connect(&loop);
    tx_put_request(&loop, DATA, 0, 60, NETTXF_csum_blank); /* no IP */
    write_frame(loopback_page(&loop, DATA + 1), 60, 1);    /* ICMP */
    tx_put_request(&loop, DATA + 1, 0, 60, NETTXF_csum_blank);
    tx_put_request(&loop, DATA + 1, 0, 60, NETTXF_data_validated);
    assert(loopback_pump(&loop) == 3 && loop.uplink.sent_count == 1);
    tx_expect(&loop, DATA, NETIF_RSP_ERROR);
    tx_expect(&loop, DATA + 1, NETIF_RSP_ERROR);
    tx_expect(&loop, DATA + 1, NETIF_RSP_OKAY);
    struct pv_netback_stats stats = loopback_stats(&loop);
    assert(stats.errors[PV_NETBACK_BAD_CHECKSUM] == 2 && stats.checksums_filled == 0);
    loopback_close(&loop);
}

/* A GSO packet whose checksum is not blank gets one, as in Linux's netback. */
static void test_tx_gso_gets_blank_checksum(void)
{
    static struct loopback loop;
    loopback_open(&loop);
    put_gso(&loop, 4000, 0, 1000);
    assert(loopback_pump(&loop) == 1);
    struct pv_packet *packet = loop.uplink.sent[0];
    assert(packet->csum_blank && packet->gso_size == 1000);
    assert(pv_packet_fill_checksum(packet) && pv_packet_checksums_valid(packet));
    loopback_close(&loop);
}

static void test_tx_segments(bool csum)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.uplink.uplink.tx_offloads = (struct pv_uplink_offloads){.csum_ipv4 = csum};
    loopback_connect(&loop);
    tx_put_request(&loop, DATA + 1, 0, 61, 0);
    put_gso(&loop, 54 + 3500, NETTXF_csum_blank, 1000);
    tx_put_request(&loop, DATA + 1, 0, 62, 0);
    assert(loopback_pump(&loop) == 3);
    assert(loop.uplink.sent_count == 6); /* in order */
    assert(loop.uplink.sent[0]->length == 61 && loop.uplink.sent[5]->length == 62);
    for (uint32_t i = 0; i < 4; i++) {
        struct pv_packet *packet = loop.uplink.sent[1 + i];
        assert(packet->length == 54 + (i < 3 ? 1000 : 500));
        assert(packet->csum_blank == csum && packet->gso_type == XEN_NETIF_GSO_TYPE_NONE);
        assert(!csum || pv_packet_fill_checksum(packet));
        assert(pv_packet_checksums_valid(packet));
        expect_payload(packet, 1000 * i);
    }
    tx_expect(&loop, DATA + 1, NETIF_RSP_OKAY);
    tx_expect(&loop, DATA, NETIF_RSP_OKAY);
    tx_expect_null(&loop);
    tx_expect(&loop, DATA + 1, NETIF_RSP_OKAY);
    struct pv_netback_stats stats = loopback_stats(&loop);
    assert(stats.tx_packets == 3 && stats.tx_gso == 1);
    loopback_close(&loop);
}

/* Segments of one byte would be many thousands: no guest needs them. */
static void test_tx_too_many_segments(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.uplink.uplink.tx_offloads = (struct pv_uplink_offloads){0};
    loopback_connect(&loop);
    put_gso(&loop, 4000, NETTXF_csum_blank, 1);
    assert(loopback_pump(&loop) == 1);
    tx_expect(&loop, DATA, NETIF_RSP_ERROR);
    tx_expect_null(&loop);
    assert(loopback_stats(&loop).errors[PV_NETBACK_BAD_GSO_PACKET] == 1);
    loopback_close(&loop);
}

#define CUT_LENGTH (54 + 60000u) /* of a packet that is cut up into four */
#define CUT_SIZE 16000

static void put_large_gso(struct loopback *loop)
{
    const struct netif_extra_info gso = {
        .type = XEN_NETIF_EXTRA_TYPE_GSO,
        .u.gso = {.type = XEN_NETIF_GSO_TYPE_TCPV4, .size = CUT_SIZE}};
    write_frame(loopback_page(loop, DATA), CUT_LENGTH, 6);
    tx_put_request(loop, DATA, 0, CUT_LENGTH,
                   NETTXF_csum_blank | NETTXF_extra_info | NETTXF_more_data);
    tx_put_extra(loop, gso);
    for (int i = 0; i < 3; i++)
        tx_put_request(loop, DATA + 1, 0, 16384, i < 2 ? NETTXF_more_data : 0);
}

/* What a pump copies is bounded, and the bytes of a packet that is cut up are copied twice. */
static void test_tx_segments_count_twice(bool cut)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_IA64);
    loop.uplink.uplink.tx_offloads.gso_tcpv4 = !cut;
    loopback_connect(&loop);
    for (int i = 0; i < 150; i++)
        put_large_gso(&loop);
    uint32_t all = (4 << 20) / CUT_LENGTH + 1;
    assert(loopback_pump(&loop) == (int)(cut ? (all + 1) / 2 : all));
    loopback_close(&loop);
}

static struct pv_packet *queue_frame(struct loopback *loop, uint32_t length, uint8_t protocol)
{
    struct pv_packet *packet = uplink_queue(loop, length);
    write_frame(packet->data, length, protocol);
    return packet;
}

static void queue_gso(struct loopback *loop, uint32_t length, uint16_t mss)
{
    struct pv_packet *packet = queue_frame(loop, length, 6);
    packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
    packet->gso_size = mss;
    assert(pv_packet_blank_checksum(packet));
}

/* A packet that others hold too is left as it is. */
static void test_rx_checksum_is_filled(bool shared)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.csum_ipv4 = false;
    loopback_connect(&loop);
    rx_post(&loop, 0, 4);
    struct pv_packet *packet = queue_frame(&loop, 100, 17);
    assert(pv_packet_blank_checksum(packet) && packet->csum_blank);
    uint8_t before[100];
    memcpy(before, packet->data, 100);
    if (shared)
        pv_packet_hold(packet, 1);
    assert(loopback_pump(&loop) == 1);
    assert(rx_expect(&loop, 0, 100).flags == NETRXF_data_validated);
    struct pv_packet received = {.data = loopback_page(&loop, DATA), .length = 100};
    assert(pv_packet_checksums_valid(&received) && memcmp(received.data, before, 100) != 0);
    if (shared) {
        assert(packet->csum_blank && memcmp(packet->data, before, 100) == 0);
        pv_packet_release(loop.cache, &packet, 1);
    }
    assert(loopback_stats(&loop).checksums_filled == 1);
    loopback_close(&loop);
}

static void test_rx_segments(bool csum)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.gso_tcpv4 = false;
    loop.config.csum_ipv4 = csum;
    loopback_connect(&loop);
    rx_post(&loop, 0, 40);
    for (int i = 0; i < 3; i++)
        queue_gso(&loop, 54 + 2500, 1000);
    assert(loopback_pump(&loop) == 9);
    for (uint32_t i = 0; i < 9; i++) {
        uint32_t length = 54 + (i % 3 < 2 ? 1000 : 500);
        uint16_t flags = rx_expect(&loop, 0, length).flags;
        assert(!(flags & NETRXF_csum_blank) == !csum && flags & NETRXF_data_validated);
        struct pv_packet received = {
            .data = loopback_page(&loop, DATA + i), .length = length, .csum_blank = csum};
        assert(pv_packet_checksums_valid(&received));
        expect_payload(&received, 1000 * (i % 3));
    }
    assert(loopback_stats(&loop).rx_segmented == 3 && loopback_stats(&loop).rx_packets == 9);
    loopback_close(&loop);
}

/* Large packets to a guest that takes none: all arrive, a few at a time. */
static void test_rx_many_segments(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.sg = loop.config.gso_tcpv4 = loop.config.gso_tcpv6 = false;
    loopback_connect(&loop);
    for (int i = 0; i < 32; i++)
        queue_gso(&loop, 54 + 60000, 1000);
    uint32_t received = 0;
    rx_post(&loop, 0, 256);
    for (int pumped; (pumped = loopback_pump(&loop)) > 0;) {
        received += (uint32_t)pumped;
        for (int i = 0; i < pumped; i++)
            rx_expect(&loop, 0, 1054);
        rx_post(&loop, 0, (uint32_t)pumped);
    }
    assert(received == 32 * 60 && loopback_stats(&loop).rx_dropped == 0);
    loopback_close(&loop);
}

/* Each of these becomes as many segments as a packet may become: none is dropped for want of room.
 */
static void test_rx_tiny_segments(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.gso_tcpv4 = false;
    loopback_connect(&loop);
    for (int i = 0; i < 20; i++)
        queue_gso(&loop, 54 + 512 * 8, 8);
    uint32_t received = 0;
    rx_post(&loop, 0, 256);
    for (int pumped; (pumped = loopback_pump(&loop)) > 0;) {
        for (int i = 0; i < pumped; i++)
            rx_expect(&loop, 0, 54 + 8);
        received += (uint32_t)pumped;
        rx_post(&loop, 0, (uint32_t)pumped);
    }
    assert(received == 20 * 512 && loopback_stats(&loop).rx_dropped == 0);
    loopback_close(&loop);
}

static void test_rx_segments_count_twice(bool cut)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_IA64);
    loop.config.gso_tcpv4 = !cut;
    loopback_connect(&loop);
    for (int i = 0; i < 150; i++)
        queue_gso(&loop, CUT_LENGTH, CUT_SIZE);
    rx_post(&loop, 0, 900);
    assert(loopback_pump(&loop) > 0);
    uint64_t bytes = loopback_stats(&loop).rx_bytes, most = cut ? 2 << 20 : 4 << 20;
    assert(bytes > most - 4 * CUT_LENGTH && bytes <= most + 4 * CUT_LENGTH);
    loopback_close(&loop);
}

/* Segments that do not fit a page cannot be given to a guest that takes one page only. */
static void test_rx_segments_too_long(void)
{
    static struct loopback loop;
    loopback_init(&loop, PV_ABI_X86_64);
    loop.config.sg = false;
    loopback_connect(&loop);
    rx_post(&loop, 0, 40);
    queue_gso(&loop, 54 + 10000, 5000);
    assert(loopback_pump(&loop) == 0 && rx_is_empty(&loop, 0));
    assert(loopback_stats(&loop).rx_dropped == 2);
    loopback_close(&loop);
}

int main(void)
{
    test_tx_checksum_is_filled(6);
    test_tx_checksum_is_filled(17);
    test_tx_no_checksum(false);
    test_tx_no_checksum(true);
    test_tx_gso_gets_blank_checksum();
    test_tx_segments(true);
    test_tx_segments(false);
    test_tx_too_many_segments();
    test_rx_checksum_is_filled(false);
    test_rx_checksum_is_filled(true);
    test_rx_segments(true);
    test_rx_segments(false);
    test_rx_many_segments();
    test_rx_tiny_segments();
    for (int cut = 0; cut < 2; cut++) {
        test_tx_segments_count_twice(cut);
        test_rx_segments_count_twice(cut);
    }
    test_rx_segments_too_long();
    return 0;
}
