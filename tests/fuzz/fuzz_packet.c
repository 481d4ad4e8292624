/* Any bytes as a packet, with any offloads: what reads it stays within it, and what is made of it
 * is consistent. Input: a virtio_net_header, the packet's offloads (4 bytes), the packet. */
#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/hash.h"
#include "pvdrivers/vnif/virtio_net_header.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEGMENTS 64

static struct pv_packet_cache *cache;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    cache = pv_packet_cache_create(pv_packet_pool_create());
    return 0;
}

static void fuzz_parse(const struct pv_packet *packet, struct pv_packet_headers *headers)
{
    pv_packet_parse(packet, headers);
    assert(headers->end <= packet->length && headers->payload <= packet->length);
    assert(!headers->network || headers->version);
    assert(!headers->transport ||
           (headers->transport > headers->network && headers->transport <= headers->end));
    assert(!headers->payload ||
           (headers->payload > headers->transport && headers->payload <= headers->end));
}

/* Whether the IPv4 header's checksum is right, or there is none. */
static bool ip_valid(struct pv_packet *packet)
{
    bool csum_blank = packet->csum_blank;
    packet->csum_blank = true;
    bool valid = pv_packet_checksums_valid(packet);
    packet->csum_blank = csum_blank;
    return valid;
}

static void fuzz_checksums(struct pv_packet *packet)
{
    pv_packet_checksums_valid(packet);
    if (!pv_packet_fill_checksum(packet)) {
        assert(!pv_packet_blank_checksum(packet));
        return;
    }
    assert(pv_packet_checksums_valid(packet) == ip_valid(packet));
    assert(pv_packet_blank_checksum(packet));
}

static void fuzz_hashes(const struct pv_packet *packet, uint32_t types)
{
    static const uint8_t key[PV_HASH_MAX_KEY] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b};
    uint8_t type;
    uint32_t hash;
    pv_packet_flow_hash(packet);
    if (pv_packet_toeplitz(packet, types, key, sizeof(key), &type, &hash))
        assert(type < 4 && types & 1u << type);
}

static void fuzz_segments(const struct pv_packet *packet, const struct pv_packet_headers *headers,
                          bool keep_blank)
{
    struct pv_packet *segments[MAX_SEGMENTS];
    int count = pv_packet_segment(packet, cache, keep_blank, segments, MAX_SEGMENTS);
    if (count < 0)
        return;
    uint32_t at = headers->payload;
    for (int i = 0; i < count; i++) {
        struct pv_packet_headers of_segment;
        fuzz_parse(segments[i], &of_segment);
        uint32_t payload = segments[i]->length - headers->payload;
        assert(of_segment.payload == headers->payload && of_segment.end == segments[i]->length);
        assert(segments[i]->csum_blank == keep_blank && pv_packet_checksums_valid(segments[i]));
        assert(payload <= packet->gso_size && at + payload <= headers->end);
        assert(memcmp(segments[i]->data + headers->payload, packet->data + at, payload) == 0);
        at += payload;
    }
    assert(at == headers->end);
    pv_packet_release(cache, segments, (uint32_t)count);
}

static void fuzz_to_virtio(struct pv_packet *packet)
{
    struct pv_virtio_net_header header;
    struct pv_packet before = *packet;
    if (!pv_virtio_net_header_from_packet(&header, packet))
        return;
    assert(!before.csum_blank || header.csum_start + header.csum_offset + 2u <= packet->length);
    assert(pv_virtio_net_header_to_packet(&header, packet));
    assert(packet->csum_blank == before.csum_blank && packet->gso_type == before.gso_type);
    assert(packet->gso_type == XEN_NETIF_GSO_TYPE_NONE || packet->gso_size == before.gso_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pv_virtio_net_header header;
    uint8_t offloads[4];
    if (size < sizeof(header) + sizeof(offloads) || size > PV_PACKET_MAX_LENGTH)
        return 0;
    memcpy(&header, data, sizeof(header));
    memcpy(offloads, data + sizeof(header), sizeof(offloads));
    data += sizeof(header) + sizeof(offloads);
    size -= sizeof(header) + sizeof(offloads);

    struct pv_packet packet = {.length = (uint32_t)size,
                               .capacity = (uint32_t)size,
                               .users = 1,
                               .csum_blank = offloads[0] & 1,
                               .data_validated = offloads[0] & 2,
                               .gso_type = offloads[1],
                               .gso_size = (uint16_t)(offloads[2] | offloads[3] << 8)};
    packet.data = malloc(size); /* of this size exactly, so that ASan sees a look behind it */
    if (size)
        memcpy(packet.data, data, size);
    struct pv_packet_headers headers;
    fuzz_parse(&packet, &headers);
    fuzz_hashes(&packet, offloads[0] >> 4);
    fuzz_segments(&packet, &headers, offloads[0] & 4);
    fuzz_to_virtio(&packet);
    fuzz_checksums(&packet);
    pv_virtio_net_header_to_packet(&header, &packet);
    free(packet.data);
    return 0;
}
