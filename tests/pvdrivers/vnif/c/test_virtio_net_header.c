/* A packet's offloads and virtio's header say the same, and what contradicts its packet is refused.
 */
#include "pvdrivers/vnif/virtio_net_header.h"

#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/c/frames.h"

#include <netinet/in.h>

#define NEEDS_CSUM PV_VIRTIO_NET_NEEDS_CSUM
#define TCPV4 XEN_NETIF_GSO_TYPE_TCPV4
#define TCPV6 XEN_NETIF_GSO_TYPE_TCPV6

static const uint8_t tcp4[90] = {MACS, IPV4, IPV4_START(5, 76, 0, IPPROTO_TCP), ADDRESSES, TCP(8)};
static const uint8_t tcp6[94] = {MACS, VLAN, IPV6, IPV6_START(36, IPPROTO_TCP), TCP(5)};
static const uint8_t udp4[46] = {MACS, IPV4, IPV4_START(5, 32, 0, IPPROTO_UDP), ADDRESSES,
                                 UDP_BYTES(12)};
static const uint8_t icmp[42] = {MACS, IPV4, IPV4_START(5, 28, 0, IPPROTO_ICMP), ADDRESSES};
static const uint8_t fragment[46] = {MACS, IPV4, IPV4_START(5, 32, 0x2000, IPPROTO_UDP), ADDRESSES,
                                     UDP_BYTES(12)};

static bool equal(const struct pv_virtio_net_header *a, const struct pv_virtio_net_header *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* There and back. */
static void check(struct pv_packet *packet, struct pv_virtio_net_header should)
{
    struct pv_virtio_net_header is;
    assert(pv_virtio_net_header_from_packet(&is, packet));
    assert(equal(&is, &should));
    struct pv_packet *back = frame_new(packet->data, packet->length);
    assert(pv_virtio_net_header_to_packet(&is, back));
    assert(back->csum_blank == packet->csum_blank);
    assert(back->data_validated == packet->data_validated);
    assert(back->gso_type == packet->gso_type && back->gso_size == packet->gso_size);
    assert(memcmp(back->data, packet->data, packet->length) == 0);
    frame_free(back);
    frame_free(packet);
}

static struct pv_packet *offloaded(const uint8_t *bytes, uint32_t length, bool csum_blank,
                                   uint8_t gso_type, uint16_t gso_size)
{
    struct pv_packet *packet = frame_new(bytes, length);
    packet->csum_blank = packet->data_validated = csum_blank;
    packet->gso_type = gso_type;
    packet->gso_size = gso_size;
    return packet;
}
#define OFFLOADED(bytes, ...) offloaded(bytes, sizeof(bytes), __VA_ARGS__)

static void test_there_and_back(void)
{
    check(OFFLOADED(icmp, false, 0, 0), (struct pv_virtio_net_header){0});
    struct pv_packet *validated = OFFLOADED(udp4, false, 0, 0);
    validated->data_validated = true;
    check(validated, (struct pv_virtio_net_header){.flags = PV_VIRTIO_NET_DATA_VALID});
    check(OFFLOADED(udp4, true, 0, 0),
          (struct pv_virtio_net_header){.flags = NEEDS_CSUM, .csum_start = 34, .csum_offset = 6});
    check(OFFLOADED(tcp4, true, TCPV4, 8), (struct pv_virtio_net_header){.flags = NEEDS_CSUM,
                                                                         .gso_type = 1,
                                                                         .hdr_len = 66,
                                                                         .gso_size = 8,
                                                                         .csum_start = 34,
                                                                         .csum_offset = 16});
    struct pv_virtio_net_header of_tcp6 = {.flags = NEEDS_CSUM,
                                           .gso_type = 4,
                                           .hdr_len = 78,
                                           .gso_size = 5,
                                           .csum_start = 58,
                                           .csum_offset = 16};
    check(OFFLOADED(tcp6, true, TCPV6, 5), of_tcp6);
    struct pv_packet *reduced = OFFLOADED(tcp6, true, TCPV6, 5);
    reduced->data[58 + 13] |= 0x80; /* CWR */
    of_tcp6.gso_type |= PV_VIRTIO_NET_GSO_ECN;
    check(reduced, of_tcp6);
}

static void test_what_headers_do_not_allow(void)
{
    struct pv_packet *packets[] = {
        OFFLOADED(icmp, true, 0, 0),      OFFLOADED(fragment, true, 0, 0),
        OFFLOADED(tcp4, false, TCPV4, 8), OFFLOADED(tcp4, true, TCPV4, 0),
        OFFLOADED(tcp4, true, TCPV6, 8),  OFFLOADED(tcp6, true, TCPV4, 8),
        OFFLOADED(udp4, true, TCPV4, 8),  OFFLOADED(tcp4, true, 3, 8),
        offloaded(tcp4, 50, true, 0, 0), /* cut short */
    };
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        struct pv_virtio_net_header header;
        assert(!pv_virtio_net_header_from_packet(&header, packets[i]));
        frame_free(packets[i]);
    }
}

static void test_headers_that_contradict_their_packets(void)
{
    static const struct pv_virtio_net_header headers[] = {
        {.flags = NEEDS_CSUM, .csum_start = 65535, .csum_offset = 65535},
        {.flags = NEEDS_CSUM, .csum_start = 34, .csum_offset = 55}, /* 1 byte of it is behind */
        {.flags = NEEDS_CSUM, .csum_start = 34, .csum_offset = 16, .gso_type = 1},
        {.gso_type = 1, .gso_size = 8},
        {.flags = NEEDS_CSUM, .csum_start = 34, .csum_offset = 16, .gso_type = 4, .gso_size = 8},
        {.flags = NEEDS_CSUM, .csum_start = 34, .csum_offset = 16, .gso_type = 3, .gso_size = 8},
        {.flags = NEEDS_CSUM, .csum_start = 34, .csum_offset = 16, .gso_type = 0x80},
        {.flags = NEEDS_CSUM, .csum_start = 36, .csum_offset = 16, .gso_type = 1, .gso_size = 8},
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct pv_packet *packet = frame_new(tcp4, sizeof(tcp4));
        assert(!pv_virtio_net_header_to_packet(&headers[i], packet));
        frame_free(packet);
    }
}

/* The kernel may leave the checksum of a packet in a tunnel blank; a frontend would look for the
 * outer one. */
static void test_a_checksum_in_another_place_is_filled(void)
{
    uint8_t bytes[80] = {MACS,
                         IPV4,
                         IPV4_START(5, 66, 0, 4),
                         ADDRESSES,
                         IPV4_START(5, 32, 0, IPPROTO_UDP),
                         ADDRESSES,
                         UDP_BYTES(12),
                         1,
                         2,
                         3,
                         4};
    bytes[60] = 0x12, bytes[61] = 0x34; /* stands for the pseudo header's sum */
    struct pv_packet *packet = frame_new(bytes, 66);
    struct pv_virtio_net_header header = {.flags = NEEDS_CSUM, .csum_start = 54, .csum_offset = 6};
    assert(pv_virtio_net_header_to_packet(&header, packet));
    assert(!packet->csum_blank && packet->data_validated);
    /* 0x1388 + 0x0035 + 0x000c + 0x1234 + 0x0102 + 0x0304 is 0x2a03 */
    assert(packet->data[60] == 0xd5 && packet->data[61] == 0xfc);
    frame_free(packet);
}

int main(void)
{
    test_there_and_back();
    test_what_headers_do_not_allow();
    test_headers_that_contradict_their_packets();
    test_a_checksum_in_another_place_is_filled();
    return 0;
}
