#include "pvdrivers/vnif/virtio_net_header.h"

#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/checksum.h"
#include "pvdrivers/vnif/wire.h"

#include <netinet/in.h>

static bool is_tcp(const struct pv_packet_headers *headers, uint8_t version)
{
    return headers->version == version && headers->protocol == IPPROTO_TCP &&
           headers->payload != 0 && !headers->fragment;
}

static bool gso_from_packet(struct pv_virtio_net_header *header, const struct pv_packet *packet,
                            const struct pv_packet_headers *headers)
{
    if (packet->gso_type == XEN_NETIF_GSO_TYPE_NONE)
        return true;
    if (!packet->csum_blank || packet->gso_size == 0)
        return false;
    if (packet->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 && is_tcp(headers, 4))
        header->gso_type = PV_VIRTIO_NET_GSO_TCPV4;
    else if (packet->gso_type == XEN_NETIF_GSO_TYPE_TCPV6 && is_tcp(headers, 6))
        header->gso_type = PV_VIRTIO_NET_GSO_TCPV6;
    else
        return false;
    if (packet->data[headers->transport + TCP_FLAGS] & TCP_FLAG_CWR)
        header->gso_type |= PV_VIRTIO_NET_GSO_ECN;
    header->hdr_len = headers->payload;
    header->gso_size = packet->gso_size;
    return true;
}

bool pv_virtio_net_header_from_packet(struct pv_virtio_net_header *header,
                                      const struct pv_packet *packet)
{
    *header = (struct pv_virtio_net_header){0};
    if (!packet->csum_blank) {
        header->flags = packet->data_validated ? PV_VIRTIO_NET_DATA_VALID : 0;
        return packet->gso_type == XEN_NETIF_GSO_TYPE_NONE;
    }
    struct pv_packet_headers headers;
    pv_packet_parse(packet, &headers);
    header->flags = PV_VIRTIO_NET_NEEDS_CSUM;
    return pv_packet_checksum_place(&headers, &header->csum_start, &header->csum_offset) &&
           gso_from_packet(header, packet, &headers);
}

/* A checksum that is to be completed: by the frontend when it finds it where we do, else here. */
static bool csum_to_packet(const struct pv_virtio_net_header *header, struct pv_packet *packet,
                           const struct pv_packet_headers *headers)
{
    uint32_t start = header->csum_start, offset = header->csum_offset;
    uint16_t our_start, our_offset;
    packet->data_validated = true;
    packet->csum_blank = pv_packet_checksum_place(headers, &our_start, &our_offset) &&
                         start == our_start && offset == our_offset;
    if (packet->csum_blank)
        return true;
    if (start + offset + 2 > packet->length)
        return false;
    checksum_complete(packet->data + start, packet->length - start, offset);
    return true;
}

static bool gso_to_packet(const struct pv_virtio_net_header *header, struct pv_packet *packet,
                          const struct pv_packet_headers *headers)
{
    switch (header->gso_type & ~PV_VIRTIO_NET_GSO_ECN) {
    case PV_VIRTIO_NET_GSO_TCPV4:
        packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
        packet->gso_size = header->gso_size;
        return packet->csum_blank && packet->gso_size > 0 && is_tcp(headers, 4);
    case PV_VIRTIO_NET_GSO_TCPV6:
        packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV6;
        packet->gso_size = header->gso_size;
        return packet->csum_blank && packet->gso_size > 0 && is_tcp(headers, 6);
    default:
        return header->gso_type == PV_VIRTIO_NET_GSO_NONE;
    }
}

bool pv_virtio_net_header_to_packet(const struct pv_virtio_net_header *header,
                                    struct pv_packet *packet)
{
    packet->csum_blank = false;
    packet->data_validated = header->flags & PV_VIRTIO_NET_DATA_VALID;
    packet->gso_type = XEN_NETIF_GSO_TYPE_NONE;
    packet->gso_size = 0;
    if (!(header->flags & PV_VIRTIO_NET_NEEDS_CSUM))
        return header->gso_type == PV_VIRTIO_NET_GSO_NONE;
    struct pv_packet_headers headers;
    pv_packet_parse(packet, &headers);
    return csum_to_packet(header, packet, &headers) && gso_to_packet(header, packet, &headers);
}
