#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/checksum.h"
#include "pvdrivers/vnif/wire.h"

#include <errno.h>
#include <netinet/in.h>

/* Bytes of all segments' headers together: what TCP needs is far less, but a packet with the
 * longest IPv6 extension headers and a tiny gso_size would become hundreds of times as long. */
#define MAX_HEADERS (2u * PV_PACKET_MAX_LENGTH)

/* A GSO packet that is cut. */
struct whole {
    const struct pv_packet *packet;
    struct pv_packet_headers headers;
    uint32_t payload; /* bytes */
    uint32_t count;   /* of segments */
};

static bool begin(struct whole *whole)
{
    const struct pv_packet *packet = whole->packet;
    struct pv_packet_headers *headers = &whole->headers;
    pv_packet_parse(packet, headers);
    uint8_t version = packet->gso_type == XEN_NETIF_GSO_TYPE_TCPV4   ? 4
                      : packet->gso_type == XEN_NETIF_GSO_TYPE_TCPV6 ? 6
                                                                     : 0;
    if (version == 0 || headers->version != version || packet->gso_size == 0)
        return false;
    if (headers->protocol != IPPROTO_TCP || headers->payload == 0 || headers->fragment)
        return false;
    whole->payload = (uint32_t)headers->end - headers->payload;
    whole->count = (whole->payload + packet->gso_size - 1) / packet->gso_size;
    if (whole->count == 0)
        whole->count = 1;
    return true;
}

/* What differs from the whole packet's headers in segment `number`. */
static void adapt_headers(const struct whole *whole, uint32_t number, struct pv_packet *segment)
{
    const struct pv_packet_headers *headers = &whole->headers;
    uint8_t *ip = segment->data + headers->network, *tcp = segment->data + headers->transport;
    uint32_t ip_bytes = segment->length - headers->network;
    if (headers->version == 4) {
        store_be16(ip + IPV4_TOTAL_LENGTH, (uint16_t)ip_bytes);
        store_be16(ip + IPV4_ID, (uint16_t)(load_be16(ip + IPV4_ID) + number));
        checksum_ipv4_header(ip);
    } else {
        store_be16(ip + IPV6_PAYLOAD_LENGTH, (uint16_t)(ip_bytes - IPV6_HEADER));
    }
    store_be32(tcp + TCP_SEQUENCE,
               load_be32(tcp + TCP_SEQUENCE) + number * whole->packet->gso_size);
    if (number > 0) /* the window was reduced once (RFC 3168) */
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_FLAG_CWR;
    if (number < whole->count - 1) /* nothing ends before the last byte */
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
}

static struct pv_packet *make_segment(const struct whole *whole, uint32_t number,
                                      struct pv_packet_cache *cache, bool keep_blank)
{
    const struct pv_packet *packet = whole->packet;
    uint32_t header = whole->headers.payload, done = number * packet->gso_size;
    uint32_t left = whole->payload - done;
    uint32_t payload = left < packet->gso_size ? left : packet->gso_size;
    struct pv_packet *segment = pv_packet_alloc(cache, header + payload);
    if (!segment)
        return NULL;
    segment->length = header + payload;
    memcpy(segment->data, packet->data, header);
    memcpy(segment->data + header, packet->data + header + done, payload);
    segment->hash_algorithm = packet->hash_algorithm;
    segment->hash_type = packet->hash_type;
    segment->hash = packet->hash;
    segment->time = packet->time;
    adapt_headers(whole, number, segment);
    struct pv_packet_headers headers = whole->headers;
    headers.end = (uint16_t)segment->length;
    checksum_blank(segment->data, &headers, headers.transport, TCP_CHECKSUM);
    if (!keep_blank)
        checksum_complete(segment->data + headers.transport,
                          checksum_covered(segment->data, &headers), TCP_CHECKSUM);
    segment->csum_blank = keep_blank;
    segment->data_validated = true;
    return segment;
}

int pv_packet_segment(const struct pv_packet *packet, struct pv_packet_cache *cache,
                      bool keep_blank, struct pv_packet **segments, uint32_t max)
{
    struct whole whole = {.packet = packet};
    if (!begin(&whole))
        return -EINVAL;
    if (whole.count > max || whole.count * whole.headers.payload > MAX_HEADERS)
        return -ENOSPC;
    for (uint32_t number = 0; number < whole.count; number++) {
        segments[number] = make_segment(&whole, number, cache, keep_blank);
        if (!segments[number]) {
            pv_packet_release(cache, segments, number);
            return -ENOMEM;
        }
    }
    return (int)whole.count;
}
