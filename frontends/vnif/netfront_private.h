/* What the files of the network frontend share. */
#ifndef FRONTENDS_VNIF_NETFRONT_PRIVATE_H
#define FRONTENDS_VNIF_NETFRONT_PRIVATE_H

#include "frontends/page_pool.h"
#include "pvdrivers/frontends/vnif/netfront.h"
#include "pvdrivers/ring/ring.h"

#define PREFETCHED 8u /* slots prefetched from the backend's cache while one is worked on */

/* One of the two rings, with what it is granted. */
struct netfront_ring {
    struct pv_front_ring front;
    struct page_pool ring_page; /* one page */
    grant_ref_t ring_ref;
    struct page_pool pages; /* of data; all granted as long as the connection */
    evtchn_port_t port;     /* 0: none */
};

struct pv_netfront_queue {
    struct pv_netfront_config config;
    struct pv_hypervisor *hypervisor;
    struct pv_netfront_features features;
    enum { QUEUE_OPEN, QUEUE_CONNECTED, QUEUE_CLOSED } state;
    enum pv_netfront_violation violation;
    uint32_t page_size;
    struct pv_packet_cache *cache;

    /* A tx request's id is its page's number. Responses may come in any order, so ids do not follow
     * the slots. The id last given back is taken first: its page is still in the cache. */
    struct netfront_ring tx;
    uint16_t *free_ids;
    uint32_t nr_free_ids;
    bool *in_flight; /* by id */
    uint32_t extras_in_flight;

    /* A response lies in its request's slot, so the pages go round as the slots do. */
    struct netfront_ring rx;

    struct pv_netfront_stats stats;
};

static inline int pv_netfront_usable(const struct pv_netfront_queue *queue)
{
    if (queue->violation)
        return -EPROTO;
    return queue->state == QUEUE_CONNECTED ? 0 : -ENOTCONN;
}

/* netfront.c */
/* For good. Returns -EPROTO. */
int pv_netfront_break(struct pv_netfront_queue *queue, enum pv_netfront_violation violation);
/* Publishes the requests written since `published` and notifies the backend if it wants that. */
void pv_netfront_publish(struct pv_netfront_queue *queue, struct netfront_ring *ring,
                         uint32_t published);

/* netfront_tx.c */
/* Takes what responses there are; 0 or -EPROTO. */
int pv_netfront_take_tx_responses(struct pv_netfront_queue *queue);

/* netfront_rx.c */
/* Writes rx requests for all buffers that are not posted, without publishing them. */
void pv_netfront_write_rx_requests(struct pv_netfront_queue *queue);

/* netfront_chain.c */
/* Of a received packet, as Linux has it. */
#define PV_NETFRONT_MAX_FRAGMENTS (XEN_NETIF_NR_SLOTS_MIN + 1)

/* A received packet of one slot or several, and its extra infos, as checked. */
struct pv_netfront_chain {
    uint32_t slots;                /* of the ring, taken by it */
    enum pv_netfront_error error;  /* PV_NETFRONT_ERROR_COUNT: none */
    struct netif_rx_response head; /* the first slot */
    uint32_t length, nr_fragments; /* bytes */
    struct {
        uint32_t request; /* whose page holds it */
        uint16_t offset, length;
    } fragments[PV_NETFRONT_MAX_FRAGMENTS];
    struct netif_extra_info extras[XEN_NETIF_EXTRA_TYPE_XDP + 1]; /* by type; NONE: not there */
};
/* Reads the chain that begins with `head`, the next response; `ready` responses are there, the
 * first included. */
void pv_netfront_read_chain(const struct pv_netfront_queue *queue,
                            const struct netif_rx_response *head, uint32_t ready,
                            struct pv_netfront_chain *chain);

/* The page of the rx request with a running number. */
static inline uint32_t pv_netfront_rx_page(const struct pv_netfront_queue *queue, uint32_t request)
{
    return request & (queue->rx.pages.count - 1);
}

#endif
