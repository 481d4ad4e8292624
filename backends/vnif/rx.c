/* A batch of what the guest receives: as many packets as its buffers have room for. */
#include "backends/vnif/netback_private.h"

#define PREFETCHED 8u /* slots prefetched from the frontend's cache while one is worked on */

struct batch {
    uint32_t packets, slots;
    uint64_t bytes, gso;
};

static void prefetch(const struct netback_rx *rx, uint32_t from, uint32_t to, uint32_t ready)
{
    for (uint32_t i = from; i < to && i < ready; i++)
        pv_back_prefetch(&rx->ring, rx->ring.req_cons + i, sizeof(struct netif_rx_request));
}

/* Packets in order; the first without room stays, and all behind it. */
static void place(struct pv_netback_queue *queue, uint32_t ready, uint32_t most,
                  struct batch *batch)
{
    struct netback_rx *rx = &queue->rx;
    prefetch(rx, 0, PREFETCHED, ready);
    netback_static_grants_hold(queue);
    while (netback_rx_backlog(rx) && batch->packets < most && rx->bytes_left > 0) {
        const struct rx_entry *entry = &rx->backlog[rx->backlog_first];
        uint32_t needed = netback_rx_slots_needed(queue, entry);
        if (needed > ready - batch->slots || batch->slots + needed > NETBACK_RX_SLOTS)
            break;
        prefetch(rx, PREFETCHED, PREFETCHED + needed, ready - batch->slots);
        netback_rx_place(queue, entry, batch->slots);
        rx->backlog_first++;
        rx->last_slots = needed;
        rx->placed[batch->packets++] = entry->packet;
        batch->slots += needed;
        batch->bytes += entry->packet->length;
        batch->gso += entry->packet->gso_type != XEN_NETIF_GSO_TYPE_NONE;
        rx->bytes_left -= entry->packet->length;
    }
    netback_static_grants_let_go(queue);
}

/* A buffer that could not be written to says so. */
static void mark_failures(struct pv_netback_queue *queue, uint32_t slots)
{
    struct netback_rx *rx = &queue->rx;
    for (uint32_t i = 0; i < slots; i++) {
        if (!rx->copy_failed[i])
            continue;
        struct netif_rx_response *response = pv_response_log_slot(
            rx->log, &rx->ring, rx->ring.rsp_prod_pvt - slots + i, sizeof *response);
        response->status = NETIF_RSP_ERROR;
        rx->copy_failed[i] = false;
        netback_count(queue, rx_grant_errors, 1);
    }
}

static void publish(struct pv_netback_queue *queue, const struct batch *batch)
{
    struct netback_rx *rx = &queue->rx;
    copy_batch_flush(&queue->copies);
    mark_failures(queue, batch->slots);
    pv_packet_release(queue->cache, rx->placed, batch->packets);
    netback_count(queue, rx_packets, batch->packets);
    netback_count(queue, rx_bytes, batch->bytes);
    netback_count(queue, rx_slots, batch->slots);
    netback_count(queue, rx_gso, batch->gso);
    netback_count(queue, batches, 1);
    bool notify = pv_response_log_push(rx->log, &rx->ring, sizeof(struct netif_rx_response));
    netback_count(queue, notifications_suppressed, !notify);
    queue->notify_rx |= notify;
}

uint32_t netback_rx_batch(struct pv_netback_queue *queue, uint32_t most)
{
    struct netback_rx *rx = &queue->rx;
    struct batch batch = {0};
    int ready = pv_back_unconsumed_requests(&rx->ring);
    if (ready < 0) {
        netback_break(queue, PV_NETBACK_RING_OVERRUN);
        return 0;
    }
    if (most > NETBACK_BATCH)
        most = NETBACK_BATCH;
    netback_rx_admit(queue, (uint32_t)ready, most);
    if (netback_rx_backlog(rx))
        place(queue, (uint32_t)ready, most, &batch);
    if (batch.packets)
        publish(queue, &batch);
    netback_rx_look(queue, (uint32_t)ready - batch.slots, batch.packets > 0);
    return batch.packets;
}
