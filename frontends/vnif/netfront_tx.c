/* The tx ring: packets into granted pages, and their responses. */
#include "frontends/vnif/netfront_private.h"
#include "pvdrivers/vnif/headers.h"

#define CACHE_LINE 64u
#define SPREAD 32u /* cache lines among which packets begin */
#define ETHERTYPE_IPV6 0x86DDu

/* Where in its page a short packet begins. At the start of the page all packets of a batch would
 * compete for the same few sets of a cache. */
static uint32_t spread(uint16_t id)
{
    return id % SPREAD * CACHE_LINE;
}

/* ---- Responses ----------------------------------------------------------------------------- */

static enum pv_netfront_violation take_tx_response(struct pv_netfront_queue *queue,
                                                   const struct netif_tx_response *response)
{
    if (response->status == NETIF_RSP_NULL) { /* of an extra info; its id says nothing */
        if (queue->extras_in_flight == 0)
            return PV_NETFRONT_BAD_ID;
        queue->extras_in_flight--;
        return PV_NETFRONT_OK;
    }
    uint16_t id = response->id;
    if (id >= queue->tx.pages.count || !queue->in_flight[id])
        return PV_NETFRONT_BAD_ID;
    queue->in_flight[id] = false;
    queue->free_ids[queue->nr_free_ids++] = id;
    /* The backend has read it, and what is next written there would wait for its cache. */
    pv_prefetch_to_write(page_pool_address(&queue->tx.pages, id) + spread(id));
    queue->stats.tx_errors += response->status != NETIF_RSP_OKAY;
    return PV_NETFRONT_OK;
}

int pv_netfront_take_tx_responses(struct pv_netfront_queue *queue)
{
    struct pv_front_ring *front = &queue->tx.front;
    int ready = pv_front_unconsumed_responses(front);
    if (ready < 0)
        return pv_netfront_break(queue, PV_NETFRONT_RESPONSE_OVERFLOW);
    uint32_t end = front->rsp_cons + (uint32_t)ready;
    for (uint32_t i = 0; i < PREFETCHED && i < (uint32_t)ready; i++)
        pv_front_prefetch(front, front->rsp_cons + i, sizeof(struct netif_tx_response));
    while (front->rsp_cons != end) {
        struct netif_tx_response response;
        pv_front_copy_response(front, front->rsp_cons, &response, sizeof(response));
        if (end - front->rsp_cons > PREFETCHED)
            pv_front_prefetch(front, front->rsp_cons + PREFETCHED, sizeof(response));
        enum pv_netfront_violation violation = take_tx_response(queue, &response);
        if (violation)
            return pv_netfront_break(queue, violation);
        front->rsp_cons++;
    }
    return 0;
}

/* ---- What may be sent ---------------------------------------------------------------------- */

static uint32_t pages_of(const struct pv_netfront_queue *queue, uint32_t length)
{
    return (length + queue->page_size - 1) >> queue->tx.pages.page_shift;
}

static bool may_be_blank(const struct pv_netfront_features *features,
                         const struct pv_packet *packet)
{
    if (features->csum_ipv4 && features->csum_ipv6)
        return true;
    struct pv_packet_headers headers;
    pv_packet_parse(packet, &headers);
    return headers.version == 6 ? features->csum_ipv6 : features->csum_ipv4;
}

static bool may_be_segmented(const struct pv_netfront_features *features,
                             const struct pv_packet *packet)
{
    switch (packet->gso_type) {
    case XEN_NETIF_GSO_TYPE_NONE:
        return true;
    case XEN_NETIF_GSO_TYPE_TCPV4:
        return features->gso_tcpv4 && packet->gso_size > 0;
    case XEN_NETIF_GSO_TYPE_TCPV6:
        return features->gso_tcpv6 && packet->gso_size > 0;
    default:
        return false;
    }
}

static bool may_be_sent(const struct pv_netfront_queue *queue, const struct pv_packet *packet)
{
    const struct pv_netfront_features *features = &queue->features;
    return packet->length >= PV_PACKET_MIN_LENGTH && packet->length <= XEN_NETIF_MAX_TX_SIZE &&
           (features->sg || packet->length <= queue->page_size) &&
           may_be_segmented(features, packet) &&
           (!packet->csum_blank || may_be_blank(features, packet));
}

/* ---- Requests ------------------------------------------------------------------------------ */

static uint16_t take_id(struct pv_netfront_queue *queue)
{
    uint16_t id = queue->free_ids[--queue->nr_free_ids];
    queue->in_flight[id] = true;
    return id;
}

static uint32_t place(const struct pv_netfront_queue *queue, uint16_t id, uint32_t length)
{
    return length + (SPREAD - 1) * CACHE_LINE <= queue->page_size ? spread(id) : 0;
}

static void *next_slot(struct pv_netfront_queue *queue)
{
    return pv_front_request_slot(&queue->tx.front, queue->tx.front.req_prod_pvt++);
}

/* A request whose page holds `bytes`, which are copied there; its size says `size`. */
static inline void put_request(struct pv_netfront_queue *queue, const uint8_t *data, uint32_t bytes,
                               uint16_t size, uint16_t flags)
{
    uint16_t id = take_id(queue);
    uint32_t offset = place(queue, id, bytes);
    memcpy(page_pool_address(&queue->tx.pages, id) + offset, data, bytes);
    *(struct netif_tx_request *)next_slot(queue) = (struct netif_tx_request){
        .gref = queue->tx.pages.grefs[id],
        .offset = (uint16_t)offset,
        .flags = flags,
        .id = id,
        .size = size,
    };
    queue->stats.tx_slots++;
}

static void put_extra(struct pv_netfront_queue *queue, struct netif_extra_info extra)
{
    memcpy(next_slot(queue), &extra, sizeof(extra));
    queue->extras_in_flight++;
    queue->stats.tx_slots++;
}

static bool sends_hash(const struct pv_netfront_queue *queue, const struct pv_packet *packet)
{
    return queue->features.hash && packet->hash_algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_NONE;
}

static void put_extras(struct pv_netfront_queue *queue, const struct pv_packet *packet)
{
    bool hash = sends_hash(queue, packet);
    if (packet->gso_type) {
        struct netif_extra_info extra = {.type = XEN_NETIF_EXTRA_TYPE_GSO,
                                         .flags = hash ? XEN_NETIF_EXTRA_FLAG_MORE : 0};
        extra.u.gso.size = packet->gso_size;
        extra.u.gso.type = packet->gso_type;
        put_extra(queue, extra);
    }
    if (hash) {
        struct netif_extra_info extra = {.type = XEN_NETIF_EXTRA_TYPE_HASH};
        extra.u.hash.type = packet->hash_type;
        extra.u.hash.algorithm = packet->hash_algorithm;
        memcpy(extra.u.hash.value, &packet->hash, sizeof(packet->hash));
        put_extra(queue, extra);
    }
}

static uint16_t flags_of(const struct pv_packet *packet)
{
    uint16_t flags = 0;
    if (packet->csum_blank)
        flags |= NETTXF_csum_blank | NETTXF_data_validated;
    if (packet->data_validated)
        flags |= NETTXF_data_validated;
    return flags;
}

/* Slots that may be taken: no more are in flight than there are pages. */
static uint32_t free_slots(const struct pv_netfront_queue *queue)
{
    return queue->tx.pages.count - pv_netfront_outstanding(queue);
}

/* False: there is no room for all of it. */
static bool put_packet(struct pv_netfront_queue *queue, const struct pv_packet *packet)
{
    uint32_t left = packet->length, page_size = queue->page_size;
    uint32_t extras = (packet->gso_type != 0) + sends_hash(queue, packet);
    if (pages_of(queue, left) + extras > free_slots(queue))
        return false;
    const uint8_t *data = packet->data;
    uint16_t more = NETTXF_more_data;
    uint32_t bytes = left < page_size ? left : page_size;
    put_request(queue, data, bytes, (uint16_t)left, /* the first one's size is the whole packet's */
                flags_of(packet) | (extras ? NETTXF_extra_info : 0) | (left > bytes ? more : 0));
    put_extras(queue, packet);
    while (left -= bytes) {
        data += bytes;
        bytes = left < page_size ? left : page_size;
        put_request(queue, data, bytes, (uint16_t)bytes, left > bytes ? more : 0);
    }
    queue->stats.tx_packets++;
    queue->stats.tx_bytes += packet->length;
    queue->stats.bytes_copied += packet->length;
    queue->stats.tx_gso += packet->gso_type != 0;
    return true;
}

int pv_netfront_send(struct pv_netfront_queue *queue, struct pv_packet **packets, uint32_t count)
{
    int error = pv_netfront_usable(queue);
    if (error)
        return error;
    for (uint32_t i = 0; i < count; i++)
        if (!may_be_sent(queue, packets[i]))
            return -EINVAL;
    error = pv_netfront_take_tx_responses(queue);
    if (error)
        return error;
    uint32_t published = queue->tx.front.req_prod_pvt, sent = 0;
    while (sent < count && put_packet(queue, packets[sent]))
        sent++;
    queue->stats.tx_no_room += sent < count;
    pv_netfront_publish(queue, &queue->tx, published);
    return (int)sent;
}

int pv_netfront_multicast(struct pv_netfront_queue *queue, const uint8_t address[6], bool add)
{
    int error = pv_netfront_usable(queue);
    if (!error)
        error = pv_netfront_take_tx_responses(queue);
    if (error)
        return error;
    if (free_slots(queue) < 2)
        return -EAGAIN;
    uint32_t published = queue->tx.front.req_prod_pvt;
    struct netif_extra_info extra = {.type = add ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD
                                                 : XEN_NETIF_EXTRA_TYPE_MCAST_DEL};
    memcpy(extra.u.mcast.addr, address, sizeof(extra.u.mcast.addr));
    put_request(queue, address, 0, 0, NETTXF_extra_info); /* no packet: not a byte */
    put_extra(queue, extra);
    pv_netfront_publish(queue, &queue->tx, published);
    return 0;
}

uint32_t pv_netfront_room(struct pv_netfront_queue *queue)
{
    if (pv_netfront_usable(queue) || pv_netfront_take_tx_responses(queue))
        return 0;
    return free_slots(queue);
}

uint32_t pv_netfront_outstanding(const struct pv_netfront_queue *queue)
{
    return queue->tx.front.req_prod_pvt - queue->tx.front.rsp_cons;
}
