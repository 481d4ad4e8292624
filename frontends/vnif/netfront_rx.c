/* The rx ring: what the backend has written into granted pages, copied into packets. */
#include "frontends/vnif/netfront_private.h"

/* ---- Buffers ------------------------------------------------------------------------------- */

void pv_netfront_write_rx_requests(struct pv_netfront_queue *queue)
{
    struct pv_front_ring *front = &queue->rx.front;
    uint32_t end = front->rsp_cons + queue->rx.pages.count;
    for (; front->req_prod_pvt != end; front->req_prod_pvt++) {
        uint32_t page = pv_netfront_rx_page(queue, front->req_prod_pvt);
        *(struct netif_rx_request *)pv_front_request_slot(front, front->req_prod_pvt) =
            (struct netif_rx_request){
                .id = (uint16_t)(front->req_prod_pvt & (front->nr_ents - 1)),
                .gref = queue->rx.pages.grefs[page],
            };
    }
}

/* A fourth of the buffers at a time: each publication costs a barrier and moves a cache line, and
 * the backend has the other three. */
static void post_buffers(struct pv_netfront_queue *queue)
{
    struct pv_front_ring *front = &queue->rx.front;
    uint32_t published = front->req_prod_pvt, buffers = queue->rx.pages.count;
    if ((buffers - (published - front->rsp_cons)) * 4 < buffers)
        return;
    pv_netfront_write_rx_requests(queue);
    pv_netfront_publish(queue, &queue->rx, published);
}

/* ---- Packets ------------------------------------------------------------------------------- */

static const uint8_t *data_of(const struct pv_netfront_queue *queue, uint32_t request,
                              uint32_t offset)
{
    return page_pool_address(&queue->rx.pages, pv_netfront_rx_page(queue, request)) + offset;
}

static struct pv_packet *drop(struct pv_netfront_queue *queue)
{
    queue->stats.rx_dropped++;
    return NULL;
}

static inline struct pv_packet *begin(struct pv_netfront_queue *queue, uint32_t length,
                                      uint16_t flags)
{
    struct pv_packet *packet = pv_packet_alloc(queue->cache, length);
    if (!packet)
        return drop(queue);
    packet->length = length;
    packet->csum_blank = flags & NETRXF_csum_blank;
    packet->data_validated = flags & NETRXF_data_validated;
    queue->stats.rx_packets++;
    queue->stats.rx_bytes += length;
    queue->stats.bytes_copied += length;
    return packet;
}

static void take_extras(struct pv_netfront_queue *queue, const struct netif_extra_info *extras,
                        struct pv_packet *packet)
{
    const struct netif_extra_info *gso = &extras[XEN_NETIF_EXTRA_TYPE_GSO];
    const struct netif_extra_info *hash = &extras[XEN_NETIF_EXTRA_TYPE_HASH];
    packet->gso_type = gso->u.gso.type;
    packet->gso_size = gso->u.gso.size;
    queue->stats.rx_gso += gso->type != XEN_NETIF_EXTRA_TYPE_NONE;
    packet->hash_algorithm = hash->u.hash.algorithm;
    packet->hash_type = hash->u.hash.type;
    memcpy(&packet->hash, hash->u.hash.value, sizeof(packet->hash));
}

/* A packet of several slots, or one that is to be dropped. */
static struct pv_packet *take_chain(struct pv_netfront_queue *queue,
                                    const struct netif_rx_response *head, uint32_t ready)
{
    struct pv_netfront_chain chain;
    pv_netfront_read_chain(queue, head, ready, &chain);
    queue->rx.front.rsp_cons += chain.slots;
    queue->stats.rx_slots += chain.slots;
    if (chain.error != PV_NETFRONT_ERROR_COUNT) {
        queue->stats.errors[chain.error]++;
        return drop(queue);
    }
    struct pv_packet *packet = begin(queue, chain.length, head->flags);
    if (!packet)
        return NULL;
    uint8_t *to = packet->data;
    for (uint32_t i = 0; i < chain.nr_fragments; i++) {
        memcpy(to, data_of(queue, chain.fragments[i].request, chain.fragments[i].offset),
               chain.fragments[i].length);
        to += chain.fragments[i].length;
    }
    take_extras(queue, chain.extras, packet);
    return packet;
}

static bool is_simple(const struct pv_netfront_queue *queue,
                      const struct netif_rx_response *response)
{
    return !(response->flags & (NETRXF_more_data | NETRXF_extra_info)) &&
           response->status >= PV_PACKET_MIN_LENGTH &&
           response->offset + (uint32_t)response->status <= queue->page_size;
}

/* Takes the next packet; NULL: it was dropped. */
static struct pv_packet *take_packet(struct pv_netfront_queue *queue, uint32_t ready)
{
    struct pv_front_ring *front = &queue->rx.front;
    struct netif_rx_response response;
    pv_front_copy_response(front, front->rsp_cons, &response, sizeof(response));
    if (!is_simple(queue, &response))
        return take_chain(queue, &response, ready);
    const uint8_t *data = data_of(queue, front->rsp_cons, response.offset);
    front->rsp_cons++;
    queue->stats.rx_slots++;
    struct pv_packet *packet = begin(queue, (uint32_t)response.status, response.flags);
    if (packet)
        memcpy(packet->data, data, (size_t)response.status);
    return packet;
}

/* What the next packets begin with is still in the backend's cache, as their responses are. */
static void prefetch(const struct pv_netfront_queue *queue, uint32_t request)
{
    pv_front_prefetch(&queue->rx.front, request, sizeof(struct netif_rx_response));
    pv_prefetch_to_read(data_of(queue, request, 0));
}

int pv_netfront_receive(struct pv_netfront_queue *queue, struct pv_packet **packets, uint32_t count)
{
    int error = pv_netfront_usable(queue);
    if (!error)
        error = pv_netfront_take_tx_responses(queue);
    if (error)
        return error;
    struct pv_front_ring *front = &queue->rx.front;
    int ready = pv_front_unconsumed_responses(front);
    if (ready < 0)
        return pv_netfront_break(queue, PV_NETFRONT_RESPONSE_OVERFLOW);
    uint32_t end = front->rsp_cons + (uint32_t)ready, given = 0;
    for (uint32_t i = 0; i < PREFETCHED && i < (uint32_t)ready; i++)
        prefetch(queue, front->rsp_cons + i);
    while (given < count && front->rsp_cons != end) {
        if (end - front->rsp_cons > PREFETCHED)
            prefetch(queue, front->rsp_cons + PREFETCHED);
        struct pv_packet *packet = take_packet(queue, end - front->rsp_cons);
        if (packet)
            packets[given++] = packet;
    }
    post_buffers(queue);
    return (int)given;
}
