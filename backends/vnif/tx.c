/* A batch of what the guest transmits: from its slots to the uplink, and the answers. */
#include "backends/vnif/netback_private.h"

#define PREFETCHED 8u /* slots prefetched from the frontend's cache while one is worked on */

/* ---- Beginning a packet ---------------------------------------------------------------------- */

static void change_filter(struct pv_netback_queue *queue, struct tx_taken *taken)
{
    const struct netif_extra_info *extra = (const void *)&taken->slot[taken->multicast];
    bool add = extra->type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD;
    if (!netback_save_multicast(queue->vif, extra->u.mcast.addr, add))
        taken->error = PV_NETBACK_MULTICAST_FULL;
}

static void stage_copy(struct pv_netback_queue *queue, struct tx_taken *taken,
                       const struct netif_tx_request *slot, uint8_t *to, uint16_t length)
{
    if (length == 0) /* an empty fragment's grant need not be one (XSA-448) */
        return;
    if (!netback_copy_from_static(queue, slot->gref, slot->offset, to, length))
        copy_batch_from_grant(&queue->copies, slot->gref, slot->offset, to, length,
                              &taken->copy_failed);
}

static void stage_copies(struct pv_netback_queue *queue, struct tx_taken *taken)
{
    uint32_t second = 1u + taken->extras;
    if (second < taken->slots) /* what follows are whole pages, in most packets of many slots */
        pv_packet_align(taken->packet, taken->first_length, taken->slot[second].req.offset);
    uint8_t *to = taken->packet->data;
    stage_copy(queue, taken, &taken->slot->req, to, taken->first_length);
    to += taken->first_length;
    for (uint32_t i = second; i < taken->slots; i++) {
        const struct netif_tx_request *slot = &taken->slot[i].req;
        stage_copy(queue, taken, slot, to, slot->size);
        to += slot->size;
    }
}

/* Those of a packet that is to be cut up are copied twice. */
static uint32_t bytes_to_copy(const struct pv_netback_queue *queue, const struct tx_taken *taken)
{
    const struct netif_extra_info *gso = (const void *)&taken->slot[taken->gso];
    bool cut = taken->gso && !netback_takes_gso(&queue->uplink->tx_offloads, gso->u.gso.type);
    return cut ? 2u * taken->length : taken->length;
}

static void begin(struct pv_netback_queue *queue, struct tx_taken *taken)
{
    if (taken->multicast) {
        change_filter(queue, taken);
        return;
    }
    taken->packet = pv_packet_alloc(queue->cache, taken->length);
    if (!taken->packet)
        return;
    taken->packet->length = taken->length;
    if (!queue->uplink->no_data)
        stage_copies(queue, taken);
    queue->tx.bytes_left -= bytes_to_copy(queue, taken);
}

/* A packet without credit stays on the ring. */
static bool take_credit(struct pv_netback_queue *queue, const struct tx_taken *taken)
{
    struct netback_tx *tx = &queue->tx;
    bool waited = tx->credit.deadline != UINT64_MAX;
    if (tx->credit.bytes == 0 || netback_credit_take(&tx->credit, taken->length, queue->now))
        return true;
    tx->ring.req_cons -= taken->slots;
    tx->slot_count -= taken->slots;
    netback_count(queue, throttled, !waited);
    return false;
}

/* Takes whole packets. One that is fatal is not among them, and has broken the queue. */
static uint32_t take(struct pv_netback_queue *queue, uint32_t ready, uint32_t most)
{
    struct netback_tx *tx = &queue->tx;
    uint32_t count = 0, page_size = queue->vif->page_size;
    for (uint32_t i = 0; i < ready && i < PREFETCHED; i++)
        pv_back_prefetch(&tx->ring, tx->ring.req_cons + i, sizeof tx->slots[0]);
    tx->slot_count = 0;
    while (count < most && tx->slot_count < ready && queue->tx.bytes_left > 0) {
        struct tx_taken *taken = &tx->taken[count];
        if (tx->slot_count + PREFETCHED < ready)
            pv_back_prefetch(&tx->ring, tx->ring.req_cons + PREFETCHED, sizeof tx->slots[0]);
        taken->error = netback_tx_parse(tx, ready - tx->slot_count, page_size, taken);
        if (netback_is_fatal(taken->error)) {
            netback_tell_tx_drop(queue, taken);
            netback_break(queue, taken->error);
            break;
        }
        if (!take_credit(queue, taken))
            break;
        if (taken->error == NETBACK_OK)
            begin(queue, taken);
        count++;
    }
    return count;
}

/* ---- Ending it ------------------------------------------------------------------------------- */

void netback_tx_send(struct pv_netback_queue *queue)
{
    struct netback_tx *tx = &queue->tx;
    if (tx->sent_count)
        queue->uplink->ops->send(queue->uplink, queue->uplink_queue, queue->cache, tx->sent,
                                 tx->sent_count, queue->now);
    tx->sent_count = 0;
}

static void fail(struct pv_netback_queue *queue, struct tx_taken *taken)
{
    if (taken->error != NETBACK_OK)
        netback_count(queue, errors[taken->error], 1);
    netback_count(queue, tx_errors, 1);
    netback_tell_tx_drop(queue, taken);
    if (taken->packet)
        pv_packet_release(queue->cache, &taken->packet, 1);
    taken->packet = NULL;
}

/* Most packets are passed on as they are. */
static bool is_plain(const struct tx_taken *taken)
{
    uint16_t flags = taken->slot->req.flags;
    return !(flags & (NETTXF_csum_blank | NETTXF_data_validated | NETTXF_extra_info));
}

/* The copies are carried out. */
static void finish(struct pv_netback_queue *queue, struct tx_taken *taken)
{
    struct netback_tx *tx = &queue->tx;
    if (taken->copy_failed)
        taken->error = PV_NETBACK_BAD_GRANT;
    bool good = taken->error == NETBACK_OK && (taken->packet || taken->multicast);
    if (good && taken->packet && is_plain(taken))
        tx->sent[tx->sent_count++] = taken->packet;
    else if (good && taken->packet)
        good = (taken->error = netback_tx_finish(queue, taken)) == NETBACK_OK;
    if (!good)
        fail(queue, taken);
    taken->status = good ? NETIF_RSP_OKAY : NETIF_RSP_ERROR;
}

static void answer_slot(struct netback_tx *tx, uint32_t index, uint16_t id, int16_t status)
{
    const struct netif_tx_response response = {.id = id, .status = status};
    memcpy(pv_response_log_slot(tx->log, &tx->ring, index, sizeof response), &response,
           sizeof response);
}

/* Each slot from the ring's `index` on gets the packet's answer, but those with extra infos. */
static void answer(struct netback_tx *tx, const struct tx_taken *taken, uint32_t index)
{
    answer_slot(tx, index, taken->slot->req.id, taken->status);
    for (uint32_t i = 1; i < taken->slots; i++) {
        if (i > taken->extras) {
            answer_slot(tx, index + i, taken->slot[i].req.id, taken->status);
            continue;
        }
        const struct netif_extra_info *extra = (const void *)&taken->slot[i];
        /* The frontend finds there what Linux's netback leaves in the slot. */
        answer_slot(tx, index + i, (uint16_t)(extra->type | extra->flags << 8), NETIF_RSP_NULL);
    }
}

static void answer_all(struct pv_netback_queue *queue, uint32_t count)
{
    struct netback_tx *tx = &queue->tx;
    uint64_t packets = 0, bytes = 0;
    uint32_t index = tx->ring.rsp_prod_pvt;
    for (uint32_t i = 0; i < count; i++) {
        const struct tx_taken *taken = &tx->taken[i];
        answer(tx, taken, index);
        index += taken->slots;
        if (taken->packet) {
            packets++;
            bytes += taken->length;
        }
    }
    tx->ring.rsp_prod_pvt = index;
    netback_count(queue, tx_packets, packets);
    netback_count(queue, tx_bytes, bytes);
    netback_count(queue, tx_slots, tx->slot_count);
    netback_count(queue, batches, 1);
    bool notify = pv_response_log_push(tx->log, &tx->ring, sizeof(struct netif_tx_response));
    netback_count(queue, notifications_suppressed, !notify);
    queue->notify_tx |= notify;
}

uint32_t netback_tx_batch(struct pv_netback_queue *queue, uint32_t most)
{
    int ready = pv_back_unconsumed_requests(&queue->tx.ring);
    if (ready < 0)
        netback_break(queue, PV_NETBACK_RING_OVERRUN);
    if (ready <= 0)
        queue->tx.credit.deadline = UINT64_MAX; /* the guest may have taken back what waited */
    if (ready <= 0 || most == 0)
        return 0;
    netback_static_grants_hold(queue);
    uint32_t count = take(queue, (uint32_t)ready, most < NETBACK_BATCH ? most : NETBACK_BATCH);
    netback_static_grants_let_go(queue);
    copy_batch_flush(&queue->copies);
    for (uint32_t i = 0; i < count; i++)
        finish(queue, &queue->tx.taken[i]);
    netback_tx_send(queue);
    if (count)
        answer_all(queue, count);
    return count;
}
