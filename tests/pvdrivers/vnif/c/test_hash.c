/* Toeplitz against the vectors that Microsoft publishes ("Verifying the RSS Hash Calculation"), and
 * which packets go together. */
#include "pvdrivers/vnif/hash.h"

#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/c/frames.h"

#include <arpa/inet.h>

static const uint8_t key[PV_HASH_MAX_KEY] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const struct {
    int family;
    const char *source, *destination;
    uint16_t source_port, destination_port;
    uint32_t ip, tcp;
} vectors[] = {
    {AF_INET, "66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178},
    {AF_INET, "199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea},
    {AF_INET, "24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a},
    {AF_INET, "38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f},
    {AF_INET, "153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2},
    {AF_INET6, "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5, 0x40207d3d},
    {AF_INET6, "3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c, 0xdde51bbf},
    {AF_INET6, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024,
     0x4b61e985, 0x02d1feef},
};
#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

#define ALL_TYPES 15

/* A TCP packet of a vector. `fragment` is IPv4's field. */
static struct pv_packet *tcp_packet(size_t vector, uint16_t fragment)
{
    static const uint8_t ipv4[] = {MACS, IPV4, IPV4_START(5, 40, 0, IPPROTO_TCP), ADDRESSES,
                                   TCP(5)};
    static const uint8_t ipv6[] = {MACS, IPV6, IPV6_START(20, IPPROTO_TCP), TCP(5)};
    bool is_ipv4 = vectors[vector].family == AF_INET;
    struct pv_packet *packet =
        is_ipv4 ? frame_new(ipv4, sizeof(ipv4)) : frame_new(ipv6, sizeof(ipv6));
    uint8_t *addresses = packet->data + (is_ipv4 ? 26 : 22),
            *tcp = packet->data + packet->length - 20;
    inet_pton(vectors[vector].family, vectors[vector].source, addresses);
    inet_pton(vectors[vector].family, vectors[vector].destination, addresses + (is_ipv4 ? 4 : 16));
    memcpy(tcp, &(uint16_t){htons(vectors[vector].source_port)}, 2);
    memcpy(tcp + 2, &(uint16_t){htons(vectors[vector].destination_port)}, 2);
    if (is_ipv4)
        memcpy(packet->data + 20, &(uint16_t){htons(fragment)}, 2);
    return packet;
}

static void check(const struct pv_packet *packet, uint32_t types, uint8_t type, uint32_t hash)
{
    uint8_t its_type = 0xff;
    uint32_t its_hash;
    assert(pv_packet_toeplitz(packet, types, key, sizeof(key), &its_type, &its_hash));
    assert(its_type == type && its_hash == hash);
}

static void test_published_vectors(void)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct pv_packet *packet = tcp_packet(i, 0);
        uint8_t ip = vectors[i].family == AF_INET ? 0 : 2, type;
        uint32_t hash;
        check(packet, ALL_TYPES, ip + 1, vectors[i].tcp);
        check(packet, 1u << (ip + 1), ip + 1, vectors[i].tcp);
        check(packet, 1u << ip, ip, vectors[i].ip);
        assert(
            !pv_packet_toeplitz(packet, ALL_TYPES & ~(3u << ip), key, sizeof(key), &type, &hash));
        assert(!pv_packet_toeplitz(packet, 0, key, sizeof(key), &type, &hash));
        frame_free(packet);
    }
}

static void test_a_short_key_ends_with_zeros(void)
{
    uint8_t input[36], padded[PV_HASH_MAX_KEY] = {0};
    for (uint8_t i = 0; i < sizeof(input); i++)
        input[i] = (uint8_t)(i * 7 + 1);
    for (uint32_t length = 0; length <= PV_HASH_MAX_KEY; length++) {
        uint8_t *exact = malloc(length ? length : 1); /* ASan sees a look behind it */
        memcpy(exact, key, length);
        memcpy(padded, key, length);
        assert(pv_toeplitz(exact, length, input, sizeof(input)) ==
               pv_toeplitz(padded, sizeof(padded), input, sizeof(input)));
        free(exact);
    }
    assert(pv_toeplitz(key, 0, input, sizeof(input)) == 0);
    assert(pv_toeplitz(key, sizeof(key), input, 0) == 0);
}

/* All fragments of a packet have one hash, whichever it is, though the first has ports. */
static void test_fragments_stay_together(void)
{
    struct pv_packet *first = tcp_packet(0, 0x2000), *last = tcp_packet(0, 0x0010);
    check(first, ALL_TYPES, 0, vectors[0].ip);
    check(last, ALL_TYPES, 0, vectors[0].ip);
    memset(last->data + 34, 0xee, 20); /* its bytes there are no ports */
    assert(pv_packet_flow_hash(first) == pv_packet_flow_hash(last));
    frame_free(first);
    frame_free(last);
}

static void test_a_flow_has_one_hash(void)
{
    struct pv_packet *one = tcp_packet(0, 0), *other = tcp_packet(0, 0);
    other->data[34 + 7] ^= 1; /* another sequence number */
    assert(pv_packet_flow_hash(one) == pv_packet_flow_hash(other));
    frame_free(one);
    frame_free(other);
}

/* A thousand flows that differ in one port spread over queues: none has double its share. */
static void test_flows_spread(void)
{
    for (uint32_t queues = 2; queues <= 8; queues++) {
        uint32_t of_queue[8] = {0};
        for (uint16_t port = 0; port < 1000; port++) {
            struct pv_packet *packet = tcp_packet(0, 0);
            memcpy(packet->data + 34, &(uint16_t){htons(port)}, 2);
            of_queue[pv_packet_flow_hash(packet) % queues]++;
            frame_free(packet);
        }
        for (uint32_t queue = 0; queue < queues; queue++)
            assert(of_queue[queue] > 500 / queues && of_queue[queue] < 2000 / queues);
    }
}

int main(void)
{
    test_published_vectors();
    test_a_short_key_ends_with_zeros();
    test_fragments_stay_together();
    test_a_flow_has_one_hash();
    test_flows_spread();
    return 0;
}
