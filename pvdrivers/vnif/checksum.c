#include "pvdrivers/vnif/checksum.h"

#include "pvdrivers/vnif/wire.h"

#include <netinet/in.h>

/* A vector adds two sums at once, and one of 32-bit halves in 64 bits loses no carry. */
typedef uint64_t two_sums __attribute__((vector_size(16)));

static two_sums add_halves(two_sums sums, const uint8_t *data)
{
    two_sums words;
    memcpy(&words, data, sizeof(words));
    return sums + (words & 0xffffffff) + (words >> 32);
}

static uint16_t fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

/* Of less than 16 bytes. An odd last one counts as if a 0 came behind it. */
static uint64_t sum_rest(const uint8_t *data, size_t length)
{
    uint64_t eight = 0;
    uint32_t four = 0;
    uint16_t two = 0, last = 0;
    if (length & 8)
        memcpy(&eight, data, 8), data += 8;
    if (length & 4)
        memcpy(&four, data, 4), data += 4;
    if (length & 2)
        memcpy(&two, data, 2), data += 2;
    if (length & 1)
        memcpy(&last, data, 1);
    return (eight & 0xffffffff) + (eight >> 32) + four + two + last;
}

uint16_t checksum_sum(const uint8_t *data, size_t length)
{
    two_sums sums = {0}, others = {0}; /* neither waits for the other */
    for (; length >= 32; data += 32, length -= 32) {
        sums = add_halves(sums, data);
        others = add_halves(others, data + 16);
    }
    if (length >= 16) {
        sums = add_halves(sums, data);
        data += 16;
    }
    sums += others;
    return fold(sums[0] + sums[1] + sum_rest(data, length & 15));
}

static uint16_t load_sum(const uint8_t *field)
{
    uint16_t sum;
    memcpy(&sum, field, sizeof(sum));
    return sum;
}

static void store_sum(uint8_t *field, uint16_t sum)
{
    memcpy(field, &sum, sizeof(sum));
}

void checksum_complete(uint8_t *start, size_t length, size_t offset)
{
    uint16_t checksum = (uint16_t)~checksum_sum(start, length);
    store_sum(start + offset, checksum ? checksum : 0xffff);
}

void checksum_ipv4_header(uint8_t *header)
{
    store_sum(header + IPV4_CHECKSUM, 0);
    store_sum(header + IPV4_CHECKSUM, (uint16_t)~checksum_sum(header, (header[0] & 0xfu) * 4));
}

size_t checksum_covered(const uint8_t *data, const struct pv_packet_headers *headers)
{
    if (headers->protocol == IPPROTO_UDP)
        return load_be16(data + headers->transport + UDP_LENGTH);
    return (size_t)headers->end - headers->transport;
}

static uint16_t pseudo_header_sum(const uint8_t *data, const struct pv_packet_headers *headers)
{
    const uint8_t *ip = data + headers->network;
    uint64_t sum = headers->version == 4 ? checksum_sum(ip + IPV4_ADDRESSES, IPV4_ADDRESSES_BYTES)
                                         : checksum_sum(ip + IPV6_ADDRESSES, IPV6_ADDRESSES_BYTES);
    /* The protocol and the length are words of their own, and so is the sum of both. */
    return fold(sum + htobe32(headers->protocol + (uint32_t)checksum_covered(data, headers)));
}

void checksum_blank(uint8_t *data, const struct pv_packet_headers *headers, uint16_t start,
                    uint16_t offset)
{
    store_sum(data + start + offset, pseudo_header_sum(data, headers));
}

bool pv_packet_fill_checksum(struct pv_packet *packet)
{
    struct pv_packet_headers headers;
    uint16_t start, offset;
    pv_packet_parse(packet, &headers);
    if (!pv_packet_checksum_place(&headers, &start, &offset))
        return false;
    checksum_blank(packet->data, &headers, start, offset); /* whatever was there */
    checksum_complete(packet->data + start, checksum_covered(packet->data, &headers), offset);
    packet->csum_blank = false;
    packet->data_validated = true;
    return true;
}

bool pv_packet_blank_checksum(struct pv_packet *packet)
{
    struct pv_packet_headers headers;
    uint16_t start, offset;
    pv_packet_parse(packet, &headers);
    if (!pv_packet_checksum_place(&headers, &start, &offset))
        return false;
    checksum_blank(packet->data, &headers, start, offset);
    packet->csum_blank = true;
    packet->data_validated = true;
    return true;
}

static bool transport_valid(const uint8_t *data, const struct pv_packet_headers *headers)
{
    uint16_t start, offset;
    if (!pv_packet_checksum_place(headers, &start, &offset))
        return true;
    if (headers->protocol == IPPROTO_UDP && load_sum(data + start + offset) == 0)
        return headers->version == 4; /* there may be none; in IPv6 there must be one */
    uint64_t sum = checksum_sum(data + start, checksum_covered(data, headers));
    return fold(sum + pseudo_header_sum(data, headers)) == 0xffff;
}

bool pv_packet_checksums_valid(const struct pv_packet *packet)
{
    struct pv_packet_headers headers;
    pv_packet_parse(packet, &headers);
    if (headers.version == 4 && headers.end) {
        const uint8_t *ip = packet->data + headers.network;
        if (checksum_sum(ip, (ip[0] & 0xfu) * 4) != 0xffff)
            return false;
    }
    return packet->csum_blank || transport_valid(packet->data, &headers);
}
