/* Packets of tests that stand on no pool: the memory ends where the bytes end, so that ASan sees
 * who looks behind them. */
#ifndef TESTS_VNIF_FRAMES_H
#define TESTS_VNIF_FRAMES_H

#include "pvdrivers/vnif/packet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static inline struct pv_packet *frame_new(const void *bytes, uint32_t length)
{
    struct pv_packet *packet = calloc(1, sizeof(*packet));
    *packet = (struct pv_packet){
        .data = malloc(length ? length : 1), .length = length, .capacity = length, .users = 1};
    memcpy(packet->data, bytes, length);
    return packet;
}

static inline void frame_free(struct pv_packet *packet)
{
    free(packet->data);
    free(packet);
}

#define MACS 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2
#define VLAN 0x81, 0x00, 0x20, 0x07
#define SERVICE_VLAN 0x88, 0xa8, 0x00, 0x64
#define IPV4 0x08, 0x00
#define IPV6 0x86, 0xdd
/* `words` and `total` are of the IP header; no checksum. */
#define IPV4_START(words, total, fragment, protocol)                                               \
    0x40 | (words), 0, (total) >> 8, (total) & 0xff, 0x12, 0x34, (fragment) >> 8,                  \
        (fragment) & 0xff, 64, protocol, 0, 0
#define IPV6_START(payload, next)                                                                  \
    0x60, 0, 0, 0, (payload) >> 8, (payload) & 0xff, next, 64, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, \
        0, 0, 0, 0, 0, 1, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
#define ADDRESSES 10, 0, 0, 1, 10, 0, 0, 2
#define TCP(words)                                                                                 \
    0x13, 0x88, 0x00, 0x50, 0, 0, 0, 1, 0, 0, 0, 1, (words) << 4, 0x10, 1, 0, 0, 0, 0, 0
#define UDP_BYTES(length) 0x13, 0x88, 0x00, 0x35, (length) >> 8, (length) & 0xff, 0, 0

#endif
