/* What is left to do of a packet whose data are here: its offloads, as the guest's flags and extra
 * infos say, and instead of the uplink those that it does not take. */
#include "backends/vnif/netback_private.h"
#include "pvdrivers/vnif/headers.h"

#include <netinet/in.h>

static const struct netif_extra_info *extra_info(const struct tx_taken *taken, uint32_t slot)
{
    return (const void *)&taken->slot[slot];
}

static void set_hash(struct pv_packet *packet, const struct netif_extra_info *extra)
{
    packet->hash_type = extra->u.hash.type;
    packet->hash_algorithm = extra->u.hash.algorithm;
    packet->hash = (uint32_t)extra->u.hash.value[0] | (uint32_t)extra->u.hash.value[1] << 8 |
                   (uint32_t)extra->u.hash.value[2] << 16 | (uint32_t)extra->u.hash.value[3] << 24;
}

/* A GSO packet has a blank checksum, whatever the guest says. */
static bool set_gso(struct pv_packet *packet, const struct netif_extra_info *extra,
                    const struct pv_packet_headers *headers)
{
    uint8_t version = extra->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4 ? 4 : 6;
    packet->gso_type = extra->u.gso.type;
    packet->gso_size = extra->u.gso.size;
    if (headers->version != version || headers->protocol != IPPROTO_TCP || !headers->payload)
        return false;
    if (!packet->csum_blank && !pv_packet_blank_checksum(packet))
        return false;
    packet->csum_blank = packet->data_validated = true;
    return true;
}

static int send_segments(struct pv_netback_queue *queue, struct pv_packet *packet, bool keep_blank)
{
    struct pv_packet *segments[NETBACK_MAX_SEGMENTS];
    int count = pv_packet_segment(packet, queue->cache, keep_blank, segments, NETBACK_MAX_SEGMENTS);
    if (count < 0)
        return PV_NETBACK_BAD_GSO_PACKET;
    netback_tx_send(queue); /* those before it */
    queue->uplink->ops->send(queue->uplink, queue->uplink_queue, queue->cache, segments,
                             (uint32_t)count, queue->now);
    pv_packet_release(queue->cache, &packet, 1);
    return NETBACK_OK;
}

static bool has_checksum(const struct pv_packet_headers *headers)
{
    uint16_t start, offset;
    return pv_packet_checksum_place(headers, &start, &offset);
}

/* Of one that is not GSO. As Linux's netback drops it, what has no checksum cannot have a blank
 * one. */
static int finish_checksum(struct pv_netback_queue *queue, struct pv_packet *packet,
                           const struct pv_packet_headers *headers, bool keep_blank)
{
    if (!has_checksum(headers))
        return PV_NETBACK_BAD_CHECKSUM;
    if (keep_blank)
        return NETBACK_OK;
    pv_packet_fill_checksum(packet);
    netback_count(queue, checksums_filled, 1);
    return NETBACK_OK;
}

/* Of a packet whose headers have to be looked at. */
static int finish_by_headers(struct pv_netback_queue *queue, const struct tx_taken *taken,
                             bool *sent)
{
    const struct pv_uplink_offloads *offloads = &queue->uplink->tx_offloads;
    struct pv_packet *packet = taken->packet;
    struct pv_packet_headers headers;
    pv_packet_parse(packet, &headers);
    bool csum = headers.version == 6 ? offloads->csum_ipv6 : offloads->csum_ipv4;
    if (!taken->gso)
        return finish_checksum(queue, packet, &headers, csum);
    if (!set_gso(packet, extra_info(taken, taken->gso), &headers))
        return PV_NETBACK_BAD_GSO_PACKET;
    *sent = !netback_takes_gso(offloads, packet->gso_type);
    return *sent ? send_segments(queue, packet, csum) : NETBACK_OK;
}

int netback_tx_finish(struct pv_netback_queue *queue, struct tx_taken *taken)
{
    struct netback_tx *tx = &queue->tx;
    struct pv_packet *packet = taken->packet;
    uint16_t flags = taken->slot->req.flags;
    bool sent = false;
    packet->csum_blank = flags & NETTXF_csum_blank;
    packet->data_validated = flags & (NETTXF_csum_blank | NETTXF_data_validated);
    if (taken->hash)
        set_hash(packet, extra_info(taken, taken->hash));
    int error = NETBACK_OK;
    if (!queue->uplink->no_data && (taken->gso || packet->csum_blank))
        error = finish_by_headers(queue, taken, &sent);
    if (error != NETBACK_OK)
        return error;
    if (taken->gso)
        netback_count(queue, tx_gso, 1);
    if (!sent)
        tx->sent[tx->sent_count++] = packet;
    return NETBACK_OK;
}
