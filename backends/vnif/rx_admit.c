/* Takes packets from the uplink: which queue each belongs to, whether the guest wants it, and in a
 * form that the guest takes. */
#include "backends/vnif/netback_private.h"
#include "pvdrivers/vnif/headers.h"

static void drop(struct pv_netback_queue *queue, struct pv_packet *packet, const char *reason)
{
    netback_rx_drop(queue, packet, reason);
    netback_count(queue, rx_dropped, 1);
}

static bool fits_guest(const struct pv_netback_queue *queue, const struct pv_packet *packet)
{
    uint32_t page = queue->vif->page_size - queue->settings.xdp_headroom;
    uint32_t most = queue->vif->config.sg ? PV_PACKET_MAX_LENGTH : page;
    return packet->length >= PV_PACKET_MIN_LENGTH && packet->length <= most;
}

static void append(struct pv_netback_queue *queue, const struct rx_entry *entry,
                   struct pv_packet *packet)
{
    struct netback_rx *rx = &queue->rx;
    if (!fits_guest(queue, packet)) {
        drop(queue, packet, "the guest takes no packet of this length");
        return;
    }
    rx->backlog[rx->backlog_end] = *entry;
    rx->backlog[rx->backlog_end++].packet = packet;
}

/* ---- The form the guest takes ---------------------------------------------------------------- */

static bool takes_csum(const struct pv_netback_vif_config *config, const struct pv_packet *packet)
{
    if (config->csum_ipv4 && config->csum_ipv6)
        return true;
    struct pv_packet_headers headers;
    pv_packet_parse(packet, &headers);
    return headers.version == 6 ? config->csum_ipv6 : config->csum_ipv4;
}

static bool takes_gso(const struct pv_netback_vif *vif, const struct pv_packet *packet)
{
    return packet->gso_type == XEN_NETIF_GSO_TYPE_TCPV6 ? vif->gso_tcpv6 : vif->gso_tcpv4;
}

static void append_segments(struct pv_netback_queue *queue, struct rx_entry *entry)
{
    struct pv_packet *segments[NETBACK_MAX_SEGMENTS];
    int count = pv_packet_segment(entry->packet, queue->cache,
                                  takes_csum(&queue->vif->config, entry->packet), segments,
                                  NETBACK_MAX_SEGMENTS);
    for (int i = 0; i < count; i++)
        append(queue, entry, segments[i]);
    if (count < 0) {
        drop(queue, entry->packet, "it cannot be cut up into segments");
        return;
    }
    queue->rx.bytes_left -=
        entry->packet->length; /* it is copied here, and once more to the guest */
    netback_count(queue, rx_segmented, 1);
    pv_packet_release(queue->cache, &entry->packet, 1);
}

/* A packet that others hold too is filled in a copy. */
static struct pv_packet *fill_checksum(struct pv_netback_queue *queue, struct pv_packet *packet)
{
    packet = pv_packet_make_private(queue->cache, packet);
    if (!packet)
        return NULL;
    pv_packet_fill_checksum(packet); /* or it has none */
    packet->csum_blank = false;
    netback_count(queue, checksums_filled, 1);
    return packet;
}

/* ---- Admission ------------------------------------------------------------------------------- */

static bool is_filtered(const struct pv_netback_queue *queue, const struct pv_packet *packet)
{
    return queue->settings.multicast_control && packet->length >= 6 &&
           !netback_multicast_passes(&queue->settings.multicast, packet->data);
}

static void admit(struct pv_netback_queue *queue, struct rx_entry *entry)
{
    struct pv_packet *packet = entry->packet;
    if (is_filtered(queue, packet)) {
        netback_rx_drop(queue, packet, "the guest has not joined this multicast group");
        netback_count(queue, rx_filtered, 1);
        return;
    }
    if (packet->gso_type != XEN_NETIF_GSO_TYPE_NONE && !takes_gso(queue->vif, packet)) {
        append_segments(queue, entry);
        return;
    }
    if (packet->csum_blank && !takes_csum(&queue->vif->config, packet)) {
        packet = fill_checksum(queue, packet);
        if (!packet) {
            netback_count(queue, rx_dropped, 1);
            return;
        }
    }
    append(queue, entry, packet);
}

/* Whether the packet has gone to another queue. */
static bool steer(struct pv_netback_queue *queue, struct rx_entry *entry)
{
    const struct netback_hash *hash = &queue->settings.hash;
    if (hash->algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_NONE)
        return false;
    netback_hash_packet(hash, entry);
    uint32_t chosen = netback_hash_queue(hash, entry, queue->vif->config.queues);
    bool full = false;
    if (chosen == queue->index)
        return false;
    if (netback_mailbox_put(&queue->vif->places[chosen].mailbox, entry, &full))
        netback_count(queue, steered, 1);
    else if (full)
        drop(queue, entry->packet, "too many packets wait for the queue of their hash");
    else
        return false;
    return true;
}

/* How many packets the guest has buffers for, were they like the last; at least one, so that it is
 * known whether any wait. */
static uint32_t room_for_packets(const struct netback_rx *rx, uint32_t slots)
{
    uint32_t room = rx->last_slots > 1 ? slots / rx->last_slots : slots;
    return room > NETBACK_BATCH ? NETBACK_BATCH : room > 0 ? room : 1;
}

/* How many may be taken at once, so that each has its places in the backlog even if it is cut up
 * into as many segments as there may be. */
static uint32_t places_for_packets(const struct pv_netback_queue *queue)
{
    uint32_t places = NETBACK_RX_BACKLOG - queue->rx.backlog_end;
    bool whole = queue->vif->gso_tcpv4 && queue->vif->gso_tcpv6;
    return whole ? places : places / NETBACK_MAX_SEGMENTS;
}

static uint32_t admit_posted(struct pv_netback_queue *queue, uint32_t most)
{
    struct rx_entry entries[NETBACK_BATCH];
    uint32_t count = netback_mailbox_take(&queue->vif->places[queue->index].mailbox, entries, most);
    for (uint32_t i = 0; i < count; i++)
        admit(queue, &entries[i]);
    return count;
}

static uint32_t admit_received(struct pv_netback_queue *queue, uint32_t most)
{
    struct netback_rx *rx = &queue->rx;
    if (!queue->receives)
        return 0;
    uint32_t count = queue->uplink->ops->receive(queue->uplink, queue->uplink_queue, queue->cache,
                                                 rx->received, most, queue->now);
    for (uint32_t i = 0; i < count; i++) {
        struct rx_entry entry = {.packet = rx->received[i]};
        if (!steer(queue, &entry))
            admit(queue, &entry);
    }
    return count;
}

/* An uplink that has something to do at a time does it in `receive`, so that is always called. */
void netback_rx_admit(struct pv_netback_queue *queue, uint32_t slots, uint32_t most)
{
    struct netback_rx *rx = &queue->rx;
    uint32_t room = 0, left, some, taken;
    if (netback_rx_backlog(rx) == 0 && most > 0 && rx->bytes_left > 0) {
        rx->backlog_first = rx->backlog_end = 0;
        room = room_for_packets(rx, slots);
        room = room < most ? room : most;
    }
    left = room;
    do {
        uint32_t places = places_for_packets(queue);
        some = left < places ? left : places;
        taken = admit_posted(queue, some);
        taken += admit_received(queue, some - taken);
        left -= taken;
    } while (taken > 0 && taken == some && left > 0 && netback_rx_backlog(rx) < room);
}

void netback_rx_drop_backlog(struct pv_netback_queue *queue, const char *reason)
{
    struct netback_rx *rx = &queue->rx;
    for (uint32_t i = rx->backlog_first; i < rx->backlog_end; i++)
        drop(queue, rx->backlog[i].packet, reason);
    rx->backlog_first = rx->backlog_end = 0;
}
