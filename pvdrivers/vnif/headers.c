#include "pvdrivers/vnif/headers.h"

#include "pvdrivers/vnif/wire.h"

#include <netinet/in.h>

/* More than any network uses; a packet made of nothing but tags or extension headers must not cost
 * a walk over all of it. */
#define MAX_VLAN_TAGS 8
#define MAX_EXTENSION_HEADERS 8

static bool is_vlan(uint16_t ethertype)
{
    return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN;
}

/* The offset behind the Ethernet header and its tags; 0: they are cut short or too many. */
static uint32_t parse_ethernet(const uint8_t *data, uint32_t length, uint16_t *ethertype)
{
    if (length < ETHERNET_HEADER)
        return 0;
    uint32_t at = ETHERNET_HEADER;
    *ethertype = load_be16(data + at - 2);
    for (int tags = 0; is_vlan(*ethertype); tags++) {
        at += VLAN_TAG;
        if (tags == MAX_VLAN_TAGS || at > length)
            return 0;
        *ethertype = load_be16(data + at - 2);
    }
    return at;
}

static void parse_ipv4(const uint8_t *data, uint32_t length, struct pv_packet_headers *headers)
{
    const uint8_t *ip = data + headers->network;
    uint32_t room = length - headers->network;
    uint32_t header = (ip[0] & 0xfu) * 4, total = load_be16(ip + IPV4_TOTAL_LENGTH);
    uint16_t fragment = load_be16(ip + IPV4_FRAGMENT);
    headers->protocol = ip[IPV4_PROTOCOL];
    headers->fragment = fragment & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET);
    if (header < IPV4_HEADER || total < header || total > room)
        return;
    headers->end = (uint16_t)(headers->network + total);
    if (!(fragment & IPV4_FRAGMENT_OFFSET))
        headers->transport = (uint16_t)(headers->network + header);
}

/* Bytes of an extension header by its length field; 0: `protocol` is none. */
static uint32_t extension_bytes(uint8_t protocol, uint8_t length)
{
    switch (protocol) {
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_DSTOPTS:
    case IPPROTO_MH:
        return 8 * (1u + length);
    case IPPROTO_AH:
        return 4 * (2u + length);
    case IPPROTO_FRAGMENT:
        return 8;
    default:
        return 0;
    }
}

static void parse_ipv6(const uint8_t *data, uint32_t length, struct pv_packet_headers *headers)
{
    const uint8_t *ip = data + headers->network;
    uint32_t at = headers->network + IPV6_HEADER;
    uint32_t end = at + load_be16(ip + IPV6_PAYLOAD_LENGTH);
    headers->protocol = ip[IPV6_NEXT_HEADER];
    if (end > length)
        return;
    headers->end = (uint16_t)end;
    for (int extensions = 0; extensions <= MAX_EXTENSION_HEADERS; extensions++) {
        const uint8_t *extension = data + at;
        uint8_t protocol = headers->protocol;
        bool there = end - at >= 8;
        uint32_t bytes = extension_bytes(protocol, there ? extension[1] : 0);
        if (bytes == 0) {
            headers->transport = (uint16_t)at;
            return;
        }
        if (!there || bytes > end - at)
            return;
        if (protocol == IPPROTO_ROUTING && extension[3] != 0)
            return; /* the last destination, which checksums cover, is not in the IP header */
        headers->protocol = extension[0];
        if (protocol == IPPROTO_FRAGMENT) {
            uint16_t fragment = load_be16(extension + 2);
            headers->fragment = fragment & ~6u; /* an offset, or more to come */
            if (fragment & ~7u)
                return;
        }
        at += bytes;
    }
}

static void parse_transport(const uint8_t *data, struct pv_packet_headers *headers)
{
    const uint8_t *transport = data + headers->transport;
    uint32_t room = (uint32_t)headers->end - headers->transport, header = 0;
    if (headers->protocol == IPPROTO_TCP && room >= TCP_HEADER) {
        header = (transport[TCP_DATA_OFFSET] >> 4) * 4u;
        if (header < TCP_HEADER || header > room)
            return;
    } else if (headers->protocol == IPPROTO_UDP && room >= UDP_HEADER) {
        uint32_t length = load_be16(transport + UDP_LENGTH);
        if (length < UDP_HEADER || (length > room && !headers->fragment))
            return;
        header = UDP_HEADER;
    } else {
        return;
    }
    headers->payload = (uint16_t)(headers->transport + header);
}

void pv_packet_parse(const struct pv_packet *packet, struct pv_packet_headers *headers)
{
    const uint8_t *data = packet->data;
    uint32_t length = packet->length < PV_PACKET_MAX_LENGTH ? packet->length : PV_PACKET_MAX_LENGTH;
    *headers = (struct pv_packet_headers){0};
    uint32_t at = parse_ethernet(data, length, &headers->ethertype);
    if (at == 0)
        return;
    uint32_t room = length - at;
    if (headers->ethertype == ETHERTYPE_IPV4 && room >= IPV4_HEADER && data[at] >> 4 == 4) {
        headers->version = 4;
        headers->network = (uint16_t)at;
        parse_ipv4(data, length, headers);
    } else if (headers->ethertype == ETHERTYPE_IPV6 && room >= IPV6_HEADER && data[at] >> 4 == 6) {
        headers->version = 6;
        headers->network = (uint16_t)at;
        parse_ipv6(data, length, headers);
    }
    if (headers->transport)
        parse_transport(data, headers);
}

bool pv_packet_checksum_place(const struct pv_packet_headers *headers, uint16_t *start,
                              uint16_t *offset)
{
    if (headers->payload == 0 || headers->fragment)
        return false;
    *start = headers->transport;
    *offset = headers->protocol == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
    return true;
}
