/*
 * What a packet's offloads are in the header that a TAP device, and virtio, put in front of a frame
 * (VIRTIO 1.2, 5.1.6). It fits in a packet's headroom.
 */
#ifndef PVDRIVERS_VNIF_VIRTIO_NET_HEADER_H
#define PVDRIVERS_VNIF_VIRTIO_NET_HEADER_H

#include "pvdrivers/vnif/headers.h"

/* cffi: begin */
#define PV_VIRTIO_NET_NEEDS_CSUM 1 /* flags */
#define PV_VIRTIO_NET_DATA_VALID 2

#define PV_VIRTIO_NET_GSO_NONE 0 /* gso_type */
#define PV_VIRTIO_NET_GSO_TCPV4 1
#define PV_VIRTIO_NET_GSO_TCPV6 4
#define PV_VIRTIO_NET_GSO_ECN 0x80 /* a bit beside the type: TCP says CWR */

/* Little endian, as the processors that this library runs on. */
struct pv_virtio_net_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;     /* bytes of all headers of a GSO packet */
    uint16_t gso_size;    /* bytes of TCP payload in a segment */
    uint16_t csum_start;  /* offset in the frame from which the checksum is computed */
    uint16_t csum_offset; /* of the checksum behind csum_start */
    uint16_t num_buffers; /* 0 in what is sent, and not looked at in what is received */
};

/* The header of a packet whose blank checksum holds the pseudo header's sum. False: the packet asks
 * for what its headers do not allow (a blank checksum in what is neither TCP nor UDP, GSO of what
 * is not TCP of that version, GSO without a blank checksum or a segment size). */
PV_API bool pv_virtio_net_header_from_packet(struct pv_virtio_net_header *header,
                                             const struct pv_packet *packet);
/* Gives a received packet, whose bytes are there, the offloads that its header tells of. A blank
 * checksum in a place that the network protocol cannot tell of, as within a tunnel, is filled.
 * False: the header contradicts the packet, or asks for what a TAP was not offered; then the packet
 * is to be dropped. */
PV_API bool pv_virtio_net_header_to_packet(const struct pv_virtio_net_header *header,
                                           struct pv_packet *packet);
/* cffi: end */

static_assert(sizeof(struct pv_virtio_net_header) == 12, "virtio_net_hdr_mrg_rxbuf");

#endif
