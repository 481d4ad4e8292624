/* The Internet's checksum (RFC 1071). Sums are of 16-bit words in memory order, so that the result
 * is stored as it is. */
#ifndef PVDRIVERS_VNIF_CHECKSUM_H
#define PVDRIVERS_VNIF_CHECKSUM_H

#include "pvdrivers/vnif/headers.h"

/* Of any bytes at any address, folded to 16 bits. */
uint16_t checksum_sum(const uint8_t *data, size_t length);
/* Writes the checksum of `length` bytes at `start` into `start + offset`, whose present content
 * counts; never 0, which in UDP says that there is none. */
void checksum_complete(uint8_t *start, size_t length, size_t offset);
/* Writes an IPv4 header's checksum. */
void checksum_ipv4_header(uint8_t *header);
/* Writes the pseudo header's sum where a packet's TCP or UDP checksum belongs. */
void checksum_blank(uint8_t *data, const struct pv_packet_headers *headers, uint16_t start,
                    uint16_t offset);
/* How many bytes a TCP or UDP checksum covers, beside the pseudo header. */
size_t checksum_covered(const uint8_t *data, const struct pv_packet_headers *headers);

#endif
