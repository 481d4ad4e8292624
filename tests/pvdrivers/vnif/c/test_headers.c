/* What a packet's headers say; and whatever its bytes are, nothing behind them is read. */
#include "pvdrivers/vnif/headers.h"

#include "pvdrivers/vnif/c/frames.h"
#include "pvdrivers/vnif/hash.h"
#include "pvdrivers/vnif/virtio_net_header.h"

#include <netinet/in.h>

static const struct {
    const char *name;
    struct pv_packet_headers headers;
    uint32_t length;
    uint8_t bytes[200];
} cases[] = {
    {"no IP", {.ethertype = 0x0806}, 42, {MACS, 0x08, 0x06}},
    {"TCP, a frame's padding behind it",
     {0x0800, 14, 34, 54, 54, 4, IPPROTO_TCP, false},
     60,
     {MACS, IPV4, IPV4_START(5, 40, 0x4000, IPPROTO_TCP), ADDRESSES, TCP(5)}},
    {"IPv4 and TCP options",
     {0x0800, 14, 42, 74, 78, 4, IPPROTO_TCP, false},
     78,
     {MACS, IPV4, IPV4_START(7, 64, 0, IPPROTO_TCP), ADDRESSES, 1, 1, 1, 1, 1, 1, 1, 0, TCP(8)}},
    {"a VLAN tag",
     {0x0800, 18, 38, 46, 50, 4, IPPROTO_UDP, false},
     50,
     {MACS, VLAN, IPV4, IPV4_START(5, 32, 0, IPPROTO_UDP), ADDRESSES, UDP_BYTES(12)}},
    {"a tag in a service provider's tag",
     {0x86dd, 22, 62, 70, 74, 6, IPPROTO_UDP, false},
     74,
     {MACS, SERVICE_VLAN, VLAN, IPV6, IPV6_START(12, IPPROTO_UDP), UDP_BYTES(12)}},
    {"a tag that is cut short", {.ethertype = 0x8100}, 17, {MACS, VLAN, 0x08}},
    {"IPv6, TCP",
     {0x86dd, 14, 54, 74, 75, 6, IPPROTO_TCP, false},
     75,
     {MACS, IPV6, IPV6_START(21, IPPROTO_TCP), TCP(5)}},
    {"extension headers",
     {0x86dd, 14, 94, 114, 114, 6, IPPROTO_TCP, false},
     114,
     {MACS, IPV6, IPV6_START(60, IPPROTO_HOPOPTS),
      /* 8 bytes, 16 bytes, 16 bytes that have been routed to their end */
      IPPROTO_DSTOPTS, 0, 1, 4, 0, 0, 0, 0, IPPROTO_ROUTING, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, IPPROTO_TCP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, TCP(5)}},
    {"an authentication header, which counts 4 bytes",
     {0x86dd, 14, 78, 86, 86, 6, IPPROTO_UDP, false},
     86,
     {MACS,        IPV6, IPV6_START(32, IPPROTO_AH),
      IPPROTO_UDP, 4,    0,
      0,           0,    0,
      0,           0,    0,
      0,           0,    0,
      0,           0,    0,
      0,           0,    0,
      0,           0,    0,
      0,           0,    0,
      UDP_BYTES(8)}},
    {"routed to a later destination",
     {0x86dd, 14, 0, 0, 90, 6, IPPROTO_ROUTING, false},
     90,
     {MACS, IPV6, IPV6_START(36, IPPROTO_ROUTING), IPPROTO_TCP, 1, 0, 1}},
    {"an extension header longer than the packet",
     {0x86dd, 14, 0, 0, 74, 6, IPPROTO_HOPOPTS, false},
     74,
     {MACS, IPV6, IPV6_START(20, IPPROTO_HOPOPTS), IPPROTO_TCP, 2}},
    {"IPv4's first fragment",
     {0x0800, 14, 34, 42, 42, 4, IPPROTO_UDP, true},
     42,
     {MACS, IPV4, IPV4_START(5, 28, 0x2000, IPPROTO_UDP), ADDRESSES, UDP_BYTES(2000)}},
    {"IPv4's later fragment",
     {0x0800, 14, 0, 0, 42, 4, IPPROTO_UDP, true},
     42,
     {MACS, IPV4, IPV4_START(5, 28, 0x0010, IPPROTO_UDP), ADDRESSES, UDP_BYTES(8)}},
    {"IPv6's first fragment",
     {0x86dd, 14, 62, 70, 70, 6, IPPROTO_UDP, true},
     70,
     {MACS, IPV6, IPV6_START(16, IPPROTO_FRAGMENT), IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 9,
      UDP_BYTES(2000)}},
    {"IPv6's later fragment",
     {0x86dd, 14, 0, 0, 70, 6, IPPROTO_UDP, true},
     70,
     {MACS, IPV6, IPV6_START(16, IPPROTO_FRAGMENT), IPPROTO_UDP, 0, 0, 8, 0, 0, 0, 9,
      UDP_BYTES(8)}},
    {"a fragment header of a whole packet",
     {0x86dd, 14, 62, 70, 70, 6, IPPROTO_UDP, false},
     70,
     {MACS, IPV6, IPV6_START(16, IPPROTO_FRAGMENT), IPPROTO_UDP, 0, 0, 0, 0, 0, 0, 9,
      UDP_BYTES(8)}},
    {"neither TCP nor UDP",
     {0x0800, 14, 34, 0, 42, 4, IPPROTO_ICMP, false},
     42,
     {MACS, IPV4, IPV4_START(5, 28, 0, IPPROTO_ICMP), ADDRESSES}},
    {"an IPv4 header shorter than any",
     {0x0800, 14, 0, 0, 0, 4, IPPROTO_TCP, false},
     60,
     {MACS, IPV4, IPV4_START(4, 40, 0, IPPROTO_TCP), ADDRESSES, TCP(5)}},
    {"longer by its header than it is",
     {0x0800, 14, 0, 0, 0, 4, IPPROTO_TCP, false},
     60,
     {MACS, IPV4, IPV4_START(5, 47, 0, IPPROTO_TCP), ADDRESSES, TCP(5)}},
    {"another version than the Ethernet header says",
     {.ethertype = 0x86dd},
     60,
     {MACS, IPV6, IPV4_START(5, 40, 0, IPPROTO_TCP), ADDRESSES, TCP(5)}},
    {"a TCP header shorter than any",
     {0x0800, 14, 34, 0, 54, 4, IPPROTO_TCP, false},
     54,
     {MACS, IPV4, IPV4_START(5, 40, 0, IPPROTO_TCP), ADDRESSES, TCP(4)}},
    {"TCP options behind the packet's end",
     {0x0800, 14, 34, 0, 54, 4, IPPROTO_TCP, false},
     54,
     {MACS, IPV4, IPV4_START(5, 40, 0, IPPROTO_TCP), ADDRESSES, TCP(6)}},
    {"UDP longer than the packet",
     {0x0800, 14, 34, 0, 42, 4, IPPROTO_UDP, false},
     42,
     {MACS, IPV4, IPV4_START(5, 28, 0, IPPROTO_UDP), ADDRESSES, UDP_BYTES(9)}},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void test_cases(void)
{
    for (size_t i = 0; i < CASES; i++) {
        struct pv_packet *packet = frame_new(cases[i].bytes, cases[i].length);
        struct pv_packet_headers is, should = cases[i].headers;
        pv_packet_parse(packet, &is);
        bool equal = is.ethertype == should.ethertype && is.network == should.network &&
                     is.transport == should.transport && is.payload == should.payload &&
                     is.end == should.end && is.version == should.version &&
                     is.protocol == should.protocol && is.fragment == should.fragment;
        if (!equal)
            __builtin_printf("%s: %x %u %u %u %u %u %u %u\n", cases[i].name, is.ethertype,
                             is.network, is.transport, is.payload, is.end, is.version, is.protocol,
                             is.fragment);
        assert(equal);
        frame_free(packet);
    }
}

/* Everything that reads a packet. */
static void read_all_of(struct pv_packet *packet, struct pv_packet_cache *cache)
{
    struct pv_packet_headers headers;
    struct pv_virtio_net_header header;
    struct pv_packet *segments[8];
    uint8_t type, key[PV_HASH_MAX_KEY] = {1};
    uint32_t hash;
    pv_packet_parse(packet, &headers);
    pv_packet_flow_hash(packet);
    pv_packet_toeplitz(packet, 15, key, sizeof(key), &type, &hash);
    for (int round = 0; round < 4; round++) {
        packet->csum_blank = round & 1;
        packet->gso_type = round & 2 ? (headers.version == 6) + 1 : 0;
        packet->gso_size = 7;
        pv_packet_checksums_valid(packet);
        pv_virtio_net_header_from_packet(&header, packet);
        int count = pv_packet_segment(packet, cache, false, segments, 8);
        if (count > 0)
            pv_packet_release(cache, segments, (uint32_t)count);
    }
    if (pv_packet_fill_checksum(packet))
        assert(!packet->csum_blank && pv_packet_blank_checksum(packet));
}

static void test_nothing_behind_the_end_is_read(void)
{
    struct pv_packet_pool *pool = pv_packet_pool_create();
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    for (size_t i = 0; i < CASES; i++)
        for (uint32_t length = 0; length <= cases[i].length; length++) {
            struct pv_packet *packet = frame_new(cases[i].bytes, length);
            read_all_of(packet, cache);
            frame_free(packet);
        }
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
}

/* A packet made of nothing else must not be walked through to its end. */
static void test_how_many_tags_and_extension_headers(void)
{
    static uint8_t bytes[PV_PACKET_MAX_LENGTH];
    static const uint8_t macs[] = {MACS}, tag[] = {VLAN};
    struct pv_packet_headers headers;
    for (uint32_t tags = 7; tags <= 9; tags++) {
        memcpy(bytes, macs, 12);
        for (uint32_t i = 0; i < tags; i++)
            memcpy(bytes + 12 + 4 * i, tag, 4);
        memcpy(bytes + 12 + 4 * tags,
               (uint8_t[]){IPV4, IPV4_START(5, 28, 0, IPPROTO_UDP), ADDRESSES, UDP_BYTES(8)}, 30);
        struct pv_packet *packet = frame_new(bytes, 42 + 4 * tags);
        pv_packet_parse(packet, &headers);
        assert(headers.network == (tags <= 8 ? 14 + 4 * tags : 0));
        frame_free(packet);
    }
    for (uint32_t extensions = 7; extensions <= 9; extensions++) {
        uint32_t payload = 8 * extensions + 8;
        memcpy(bytes, (uint8_t[]){MACS, IPV6, IPV6_START(payload, IPPROTO_DSTOPTS)}, 54);
        memset(bytes + 54, 0, payload);
        for (uint32_t i = 0; i < extensions; i++)
            bytes[54 + 8 * i] = i + 1 < extensions ? IPPROTO_DSTOPTS : IPPROTO_UDP;
        memcpy(bytes + 54 + 8 * extensions, (uint8_t[]){UDP_BYTES(8)}, 8);
        struct pv_packet *packet = frame_new(bytes, 54 + payload);
        pv_packet_parse(packet, &headers);
        assert(headers.transport == (extensions <= 8 ? 54 + 8 * extensions : 0));
        frame_free(packet);
    }
}

int main(void)
{
    test_cases();
    test_nothing_behind_the_end_is_read();
    test_how_many_tags_and_extension_headers();
    return 0;
}
