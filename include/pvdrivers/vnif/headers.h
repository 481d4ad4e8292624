/*
 * What a packet's headers say: where its TCP or UDP header is, and where a checksum belongs. Reads
 * nothing behind `length`, and changes nothing.
 */
#ifndef PVDRIVERS_VNIF_HEADERS_H
#define PVDRIVERS_VNIF_HEADERS_H

#include "pvdrivers/vnif/packet.h"

/* cffi: begin */
struct pv_packet_headers {
    uint16_t ethertype; /* behind VLAN tags */
    uint16_t network;   /* offset of the IP header; 0: it is no IP */
    uint16_t transport; /* offset of what follows IP and its options; 0: it is a later fragment, cut
                           short, or routed by the source to a later destination */
    uint16_t payload;   /* offset of the TCP or UDP payload; 0: it is neither, or cut short */
    uint16_t end;       /* of the IP packet; what is behind it is padding; 0: it is cut short */
    uint8_t version;    /* 4, 6 or 0 */
    uint8_t protocol;   /* IPPROTO_* behind IPv6 extension headers, as far as they were read */
    bool fragment;      /* of a larger IP packet, the first one too */
};

/* Up to 8 VLAN tags (802.1Q, 802.1ad) and 8 IPv6 extension headers; what has more counts as cut
 * short. */
PV_API void pv_packet_parse(const struct pv_packet *packet, struct pv_packet_headers *headers);
/* Where the TCP or UDP checksum lies, and from where it is computed; false: it has none. */
PV_API bool pv_packet_checksum_place(const struct pv_packet_headers *headers, uint16_t *start,
                                     uint16_t *offset);
/* Writes the TCP or UDP checksum, whatever was in its place; false: the packet has none, as a
 * fragment, and is as it was. */
PV_API bool pv_packet_fill_checksum(struct pv_packet *packet);
/* Leaves the pseudo header's sum in place of the checksum, and marks it blank: what a GSO packet
 * must have. False as above. */
PV_API bool pv_packet_blank_checksum(struct pv_packet *packet);
/* Whether checksums of IPv4 headers, TCP and UDP are right; true for what has none, and for a blank
 * one. */
PV_API bool pv_packet_checksums_valid(const struct pv_packet *packet);
/* Cuts a GSO packet into segments as TCP would have sent them, each with its own checksum, or a
 * blank one when `keep_blank`. Returns how many, or -EINVAL (it is no TCP packet of that kind),
 * -ENOMEM, -ENOSPC (more than `max`, or 128 KiB of headers, which is what bounds the work a tiny
 * gso_size makes). The packet stays the caller's. */
PV_API int pv_packet_segment(const struct pv_packet *packet, struct pv_packet_cache *cache,
                             bool keep_blank, struct pv_packet **segments, uint32_t max);
/* cffi: end */

#endif
