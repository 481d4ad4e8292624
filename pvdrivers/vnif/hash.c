#include "pvdrivers/vnif/hash.h"

#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/wire.h"

#include <netinet/in.h>

#define WORD 4u /* bytes */

/* For each of 32 bits of input that is 1, the 32 bits of the key that begin with the bit of that
 * number, all at the top of a result. `key` is what begins with the first. */
static uint64_t toeplitz_word(uint64_t key, uint32_t input)
{
    uint64_t even = 0, odd = 0; /* neither waits for the other */
    uint64_t bits = (uint64_t)input << 32;
#pragma GCC unroll 16
    for (int bit = 0; bit < 32; bit += 2) {
        even ^= key << bit & -(bits << bit >> 63);
        odd ^= key << (bit + 1) & -(bits << (bit + 1) >> 63);
    }
    return even ^ odd;
}

uint32_t pv_toeplitz(const uint8_t *key, uint32_t key_length, const uint8_t *input, uint32_t length)
{
    uint8_t padded[PV_HASH_MAX_KEY + sizeof(uint64_t)] = {0};
    uint64_t hash = 0;
    memcpy(padded, key, key_length);
    for (uint32_t at = 0; at < length && at < PV_HASH_MAX_KEY; at += WORD) {
        uint32_t word = 0; /* bits that are 0 add nothing */
        memcpy(&word, input + at, length - at < WORD ? length - at : WORD);
        hash ^= toeplitz_word(load_be64(padded + at), be32toh(word));
    }
    return (uint32_t)(hash >> 32);
}

static bool has_ports(const struct pv_packet_headers *headers)
{
    return headers->payload != 0 && !headers->fragment;
}

/* What a packet's flow is told by: source and destination address, and behind them both ports. */
struct tuple {
    uint8_t bytes[IPV6_ADDRESSES_BYTES + 4];
    uint32_t addresses; /* bytes */
};

static void take_tuple(const struct pv_packet *packet, const struct pv_packet_headers *headers,
                       struct tuple *tuple)
{
    bool is_ipv4 = headers->version == 4;
    tuple->addresses = is_ipv4 ? IPV4_ADDRESSES_BYTES : IPV6_ADDRESSES_BYTES;
    memcpy(tuple->bytes,
           packet->data + headers->network + (is_ipv4 ? IPV4_ADDRESSES : IPV6_ADDRESSES),
           tuple->addresses);
    if (has_ports(headers))
        memcpy(tuple->bytes + tuple->addresses, packet->data + headers->transport, 4);
}

bool pv_packet_toeplitz(const struct pv_packet *packet, uint32_t types, const uint8_t *key,
                        uint32_t key_length, uint8_t *type, uint32_t *hash)
{
    struct pv_packet_headers headers;
    struct tuple tuple;
    pv_packet_parse(packet, &headers);
    if (headers.version == 0)
        return false;
    bool is_ipv4 = headers.version == 4;
    uint32_t of_ip = is_ipv4 ? XEN_NETIF_CTRL_HASH_TYPE_IPV4 : XEN_NETIF_CTRL_HASH_TYPE_IPV6;
    uint32_t of_tcp =
        is_ipv4 ? XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP : XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP;
    bool with_ports = types & of_tcp && headers.protocol == IPPROTO_TCP && has_ports(&headers);
    if (!with_ports && !(types & of_ip))
        return false;
    take_tuple(packet, &headers, &tuple);
    *type = (uint8_t)__builtin_ctz(with_ports ? of_tcp : of_ip);
    *hash = pv_toeplitz(key, key_length, tuple.bytes, tuple.addresses + (with_ports ? 4 : 0));
    return true;
}

/* Mixes so that every bit of the result depends on every bit of both. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15; /* 2^64 divided by the golden ratio */
    return hash ^ hash >> 32;
}

static uint32_t hash_bytes(const uint8_t *bytes, uint32_t length)
{
    uint64_t hash = length;
    for (uint32_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, length - at < 8 ? length - at : 8);
        hash = mix(hash, word);
    }
    return (uint32_t)mix(hash, 0);
}

uint32_t pv_packet_flow_hash(const struct pv_packet *packet)
{
    struct pv_packet_headers headers;
    struct tuple tuple;
    pv_packet_parse(packet, &headers);
    if (headers.version == 0)
        return hash_bytes(packet->data, packet->length < 12 ? packet->length : 12);
    take_tuple(packet, &headers, &tuple);
    return hash_bytes(tuple.bytes, tuple.addresses + (has_ports(&headers) ? 4 : 0));
}
