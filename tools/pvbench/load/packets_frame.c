/* The frames of a packet workload. */
#include "tools/pvbench/load/packets_private.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <string.h>

#define MAGIC 0x7076u
#define STEP 0x9E3779B97F4A7C15ull /* odd, so that a word that has moved is noticed */
#define FIRST_PORT 49152u          /* plus the stream: a receiver's hash tells them apart */
#define PORT 7u                    /* echo */

struct headers {
    struct ether_header ethernet;
    struct iphdr ip;
    struct udphdr udp;
} __attribute__((packed));

/* Behind the headers, and before the pattern. */
struct tag {
    uint16_t magic, length; /* bytes of the frame */
    uint64_t number;
} __attribute__((packed));

#define PATTERN_START (sizeof(struct headers) + sizeof(struct tag))

static_assert(sizeof(struct headers) == PV_FRAME_HEADERS, "bytes of all headers");
static_assert(PATTERN_START <= PV_PACKET_WORKLOAD_MIN_SIZE, "a frame has room for its tag");

static uint16_t ip_checksum(const uint8_t *ip)
{
    uint16_t words[sizeof(struct iphdr) / 2];
    uint32_t sum = 0;
    memcpy(words, ip, sizeof(words));
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        sum += words[i];
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

void pv_frame_make_headers(const struct pv_packet_workload_config *config, uint8_t stream,
                           struct pv_frame_headers *made)
{
    struct headers headers = {
        .ethernet.ether_type = htons(ETHERTYPE_IP),
        .ip = {.ihl = 5,
               .version = 4,
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .tot_len = htons((uint16_t)(config->size - sizeof(headers.ethernet))),
               .saddr = htonl(0xC6120001u), /* 198.18.0.1: for benchmarks, RFC 2544 */
               .daddr = htonl(0xC6130001u)},
        .udp = {.source = htons((uint16_t)(FIRST_PORT + stream)),
                .dest = htons(PORT),
                .len = htons(
                    (uint16_t)(config->size - sizeof(headers.ethernet) - sizeof(headers.ip)))},
    };
    memcpy(headers.ethernet.ether_shost, config->source, ETH_ALEN);
    memcpy(headers.ethernet.ether_dhost, config->destination, ETH_ALEN);
    headers.ip.check = ip_checksum((const uint8_t *)&headers + offsetof(struct headers, ip));
    memcpy(made, &headers, sizeof(headers));
}

void pv_frame_init(struct pv_packet *packet, uint32_t size, const struct pv_frame_headers *headers)
{
    packet->length = size;
    memcpy(packet->data, headers, sizeof(*headers));
}

static uint64_t first_word(uint64_t number)
{
    uint64_t word = (number + 1) * 0xBF58476D1CE4E5B9ull;
    return word ^ word >> 31;
}

void pv_frame_fill(struct pv_packet *packet, uint64_t number)
{
    struct tag tag = {MAGIC, (uint16_t)packet->length, number};
    uint64_t word = first_word(number);
    uint32_t at = PATTERN_START;
    memcpy(packet->data + sizeof(struct headers), &tag, sizeof(tag));
    for (; at + sizeof(word) <= packet->length; at += sizeof(word), word += STEP)
        memcpy(packet->data + at, &word, sizeof(word));
    memcpy(packet->data + at, &word, packet->length - at);
}

enum pv_frame pv_frame_check(const struct pv_packet *packet, uint64_t *number)
{
    struct tag tag;
    if (packet->length < PATTERN_START)
        return PV_FRAME_FOREIGN;
    memcpy(&tag, packet->data + sizeof(struct headers), sizeof(tag));
    if (tag.magic != MAGIC)
        return PV_FRAME_FOREIGN;
    *number = tag.number;
    uint64_t word = first_word(tag.number), difference = 0, found;
    uint32_t at = PATTERN_START;
    for (; at + sizeof(word) <= packet->length; at += sizeof(word), word += STEP) {
        memcpy(&found, packet->data + at, sizeof(found));
        difference |= found ^ word;
    }
    bool same = memcmp(packet->data + at, &word, packet->length - at) == 0;
    return tag.length == packet->length && difference == 0 && same ? PV_FRAME_GOOD
                                                                   : PV_FRAME_CORRUPT;
}

static void exchange(uint8_t *a, uint8_t *b, size_t size)
{
    uint8_t other[ETH_ALEN];
    memcpy(other, a, size);
    memcpy(a, b, size);
    memcpy(b, other, size);
}

void pv_frame_turn(struct pv_packet *packet)
{
    uint8_t *data = packet->data, *ip = data + offsetof(struct headers, ip);
    uint8_t *udp = data + offsetof(struct headers, udp);
    exchange(data, data + ETH_ALEN, ETH_ALEN);
    exchange(ip + offsetof(struct iphdr, saddr), ip + offsetof(struct iphdr, daddr), 4);
    exchange(udp, udp + 2, 2);
}
