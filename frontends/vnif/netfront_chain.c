/* A received packet's slots. Of each only the private copy is looked at, and none is believed. */
#include "frontends/vnif/netfront_private.h"

static void fail(struct pv_netfront_chain *chain, enum pv_netfront_error error)
{
    if (chain->error == PV_NETFRONT_ERROR_COUNT)
        chain->error = error; /* the first one counts */
}

/* Copies the chain's next slot; false: the backend has not published it. */
static bool next_slot(const struct pv_netfront_queue *queue, uint32_t ready,
                      struct pv_netfront_chain *chain, void *copy)
{
    const struct pv_front_ring *front = &queue->rx.front;
    if (chain->slots == ready) {
        fail(chain, PV_NETFRONT_CUT_SHORT);
        return false;
    }
    pv_front_copy_response(front, front->rsp_cons + chain->slots, copy,
                           sizeof(struct netif_rx_response));
    chain->slots++;
    return true;
}

static bool is_known(const struct netif_extra_info *extra)
{
    switch (extra->type) {
    case XEN_NETIF_EXTRA_TYPE_GSO:
    case XEN_NETIF_EXTRA_TYPE_MCAST_ADD: /* says nothing here, and does no harm */
    case XEN_NETIF_EXTRA_TYPE_MCAST_DEL:
    case XEN_NETIF_EXTRA_TYPE_XDP:
        return true;
    case XEN_NETIF_EXTRA_TYPE_HASH:
        return extra->u.hash.algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ &&
               extra->u.hash.type < 4; /* bits, as XEN_NETIF_CTRL_HASH_TYPE_* */
    default:
        return false;
    }
}

static void read_extras(const struct pv_netfront_queue *queue, uint32_t ready,
                        struct pv_netfront_chain *chain)
{
    struct netif_extra_info extra;
    do {
        if (!next_slot(queue, ready, chain, &extra))
            return;
        if (is_known(&extra))
            chain->extras[extra.type] = extra;
        else
            fail(chain, PV_NETFRONT_BAD_EXTRA);
    } while (extra.flags & XEN_NETIF_EXTRA_FLAG_MORE);

    const struct netif_extra_info *gso = &chain->extras[XEN_NETIF_EXTRA_TYPE_GSO];
    bool known =
        gso->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV4 || gso->u.gso.type == XEN_NETIF_GSO_TYPE_TCPV6;
    if (gso->type && (!known || gso->u.gso.size == 0))
        fail(chain, PV_NETFRONT_BAD_GSO);
}

/* The headroom counts from the start of the page. Linux's backend counts it in the status too, with
 * an offset of 0; others put it into the offset. */
static void add_fragment(const struct pv_netfront_queue *queue, struct pv_netfront_chain *chain,
                         uint32_t request, const struct netif_rx_response *response)
{
    uint32_t headroom = chain->extras[XEN_NETIF_EXTRA_TYPE_XDP].u.xdp.headroom;
    uint32_t start = response->offset > headroom ? response->offset : headroom;
    uint32_t end = response->offset + (uint32_t)response->status;
    if (response->status < 0 || end > queue->page_size || start > end) {
        fail(chain, PV_NETFRONT_BAD_STATUS);
    } else if (chain->nr_fragments == PV_NETFRONT_MAX_FRAGMENTS) {
        fail(chain, PV_NETFRONT_TOO_MANY_SLOTS);
    } else {
        chain->fragments[chain->nr_fragments].request = request;
        chain->fragments[chain->nr_fragments].offset = (uint16_t)start;
        chain->fragments[chain->nr_fragments].length = (uint16_t)(end - start);
        chain->nr_fragments++;
        chain->length += end - start;
    }
}

void pv_netfront_read_chain(const struct pv_netfront_queue *queue,
                            const struct netif_rx_response *head, uint32_t ready,
                            struct pv_netfront_chain *chain)
{
    uint32_t request = queue->rx.front.rsp_cons;
    struct netif_rx_response response = *head;
    *chain =
        (struct pv_netfront_chain){.slots = 1, .error = PV_NETFRONT_ERROR_COUNT, .head = *head};
    if (head->flags & NETRXF_extra_info)
        read_extras(queue, ready, chain);
    add_fragment(queue, chain, request, &response);
    while (response.flags & NETRXF_more_data) {
        request = queue->rx.front.rsp_cons + chain->slots;
        if (!next_slot(queue, ready, chain, &response))
            break;
        add_fragment(queue, chain, request, &response);
    }
    if (chain->length < PV_PACKET_MIN_LENGTH)
        fail(chain, PV_NETFRONT_TOO_SHORT);
    if (chain->length > PV_PACKET_MAX_LENGTH)
        fail(chain, PV_NETFRONT_TOO_LONG);
}
