/* Puts packets into the guest's buffers. The data begin in the first slot, extra infos follow it,
 * and then come the other pages. Each response stands in the slot of the request that it answers.
 */
#include "backends/vnif/netback_private.h"

static bool has_gso(const struct rx_entry *entry)
{
    return entry->packet->gso_type != XEN_NETIF_GSO_TYPE_NONE;
}

static uint32_t extras_of(const struct pv_netback_queue *queue, const struct rx_entry *entry)
{
    return has_gso(entry) + entry->hashed + (queue->settings.xdp_headroom > 0u);
}

uint32_t netback_rx_slots_needed(const struct pv_netback_queue *queue, const struct rx_entry *entry)
{
    uint32_t page = queue->vif->page_size - queue->settings.xdp_headroom;
    uint32_t length = entry->packet->length;
    uint32_t pages = length <= page ? 1 : (length + page - 1) / page;
    return pages + extras_of(queue, entry);
}

static void *next_response(struct netback_rx *rx)
{
    return pv_response_log_slot(rx->log, &rx->ring, rx->ring.rsp_prod_pvt++,
                                sizeof(struct netif_rx_response));
}

static void place_extra(struct netback_rx *rx, const struct netif_extra_info *extra)
{
    memcpy(next_response(rx), extra, sizeof *extra);
    rx->ring.req_cons++; /* its buffer goes back unused */
}

static void place_extras(struct pv_netback_queue *queue, const struct rx_entry *entry)
{
    struct netback_rx *rx = &queue->rx;
    uint16_t headroom = queue->settings.xdp_headroom;
    const uint8_t more = XEN_NETIF_EXTRA_FLAG_MORE;
    if (has_gso(entry)) {
        struct netif_extra_info gso = {.type = XEN_NETIF_EXTRA_TYPE_GSO,
                                       .flags = entry->hashed || headroom ? more : 0};
        gso.u.gso.type = entry->packet->gso_type;
        gso.u.gso.size = entry->packet->gso_size;
        place_extra(rx, &gso);
    }
    if (entry->hashed) {
        struct netif_extra_info hash = {.type = XEN_NETIF_EXTRA_TYPE_HASH,
                                        .flags = headroom ? more : 0};
        hash.u.hash.type = entry->hash_type;
        hash.u.hash.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
        for (int i = 0; i < 4; i++)
            hash.u.hash.value[i] = (uint8_t)(entry->hash >> 8 * i);
        place_extra(rx, &hash);
    }
    if (headroom) {
        struct netif_extra_info xdp = {.type = XEN_NETIF_EXTRA_TYPE_XDP};
        xdp.u.xdp.headroom = headroom;
        place_extra(rx, &xdp);
    }
}

static void place_data(struct pv_netback_queue *queue, uint8_t *data, uint16_t length,
                       uint16_t flags, bool *failed)
{
    struct netback_rx *rx = &queue->rx;
    uint16_t headroom = queue->settings.xdp_headroom;
    struct netif_rx_request request;
    pv_back_copy_request(&rx->ring, rx->ring.req_cons++, &request, sizeof request);
    const struct netif_rx_response response = {
        .id = request.id, .offset = headroom, .flags = flags, .status = (int16_t)length};
    memcpy(next_response(rx), &response, sizeof response);
    if (!netback_copy_to_static(queue, request.gref, headroom, data, length))
        copy_batch_to_grant(&queue->copies, request.gref, headroom, data, length, failed);
}

static uint16_t packet_flags(const struct pv_packet *packet)
{
    uint16_t flags = 0;
    if (packet->csum_blank)
        flags |= NETRXF_csum_blank | NETRXF_data_validated;
    if (packet->data_validated)
        flags |= NETRXF_data_validated;
    return flags;
}

void netback_rx_place(struct pv_netback_queue *queue, const struct rx_entry *entry, uint32_t slot)
{
    struct pv_packet *packet = entry->packet;
    uint32_t page = queue->vif->page_size - queue->settings.xdp_headroom;
    uint32_t length = packet->length, extras = extras_of(queue, entry);
    uint16_t flags = packet_flags(packet);
    bool *failed = &queue->rx.copy_failed[slot];
    if (extras)
        flags |= NETRXF_extra_info;
    for (uint8_t *data = packet->data; length > 0; flags = 0) {
        uint32_t part = length < page ? length : page;
        length -= part;
        if (length)
            flags |= NETRXF_more_data;
        place_data(queue, data, (uint16_t)part, flags, failed++);
        data += part;
        if (extras)
            place_extras(queue, entry);
        failed += extras;
        extras = 0;
    }
}
