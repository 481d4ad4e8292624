/* A network frontend's queue from its creation to its end. */
#include "frontends/vnif/netfront_private.h"

#include <stdio.h>
#include <stdlib.h>

/* Of data, for each direction: as many as a ring of 4 KiB has slots. A ring of IA-64's has four
 * times as many, whose pages would be 16 MiB; of these a packet needs fewer. */
#define MAX_PAGES 256u

/* ---- Creation ------------------------------------------------------------------------------ */

static int grant_pages(struct pv_netfront_queue *queue, struct page_pool *pool, uint32_t count,
                       bool readonly)
{
    int error = page_pool_init(pool, queue->hypervisor, queue->config.backend, count, count);
    for (uint32_t page = 0; !error && page < count; page++)
        error = page_pool_grant(pool, page, readonly);
    return error;
}

/* `buffers`: pages of data at most; 0: as many as usual. */
static int create_ring(struct pv_netfront_queue *queue, struct netfront_ring *ring,
                       uint32_t slot_size, uint32_t buffers, bool readonly)
{
    int error = grant_pages(queue, &ring->ring_page, 1, false);
    if (error)
        return error;
    ring->ring_ref = ring->ring_page.grefs[0];
    struct pv_sring *sring = (struct pv_sring *)page_pool_address(&ring->ring_page, 0);
    pv_sring_init(sring);
    pv_front_ring_attach(&ring->front, sring, queue->page_size, slot_size, 0);
    uint32_t nr_ents = ring->front.nr_ents;
    if (buffers == 0)
        buffers = MAX_PAGES;
    if (buffers > nr_ents)
        buffers = nr_ents;
    return grant_pages(queue, &ring->pages, 1u << (31 - __builtin_clz(buffers)), readonly);
}

static int bind_port(struct pv_netfront_queue *queue, struct netfront_ring *ring)
{
    const struct pv_netfront_config *config = &queue->config;
    int port = queue->hypervisor->ops->evtchn_bind_unbound_port(config->evtchn, config->backend);
    if (port < 0)
        return port;
    ring->port = (evtchn_port_t)port;
    return 0;
}

static int bind_ports(struct pv_netfront_queue *queue)
{
    int error = bind_port(queue, &queue->tx);
    if (!error && queue->config.split_event_channels)
        return bind_port(queue, &queue->rx);
    queue->rx.port = queue->tx.port;
    return error;
}

static int create_ids(struct pv_netfront_queue *queue)
{
    uint32_t count = queue->tx.pages.count;
    queue->free_ids = calloc(count, sizeof(*queue->free_ids));
    queue->in_flight = calloc(count, sizeof(*queue->in_flight));
    if (!queue->free_ids || !queue->in_flight)
        return -ENOMEM;
    while (queue->nr_free_ids < count) {
        queue->free_ids[queue->nr_free_ids] = (uint16_t)(count - 1 - queue->nr_free_ids);
        queue->nr_free_ids++;
    }
    return 0;
}

static int create_parts(struct pv_netfront_queue *queue)
{
    queue->cache = pv_packet_cache_create(queue->config.pool);
    if (!queue->cache)
        return -errno;
    int error = create_ring(queue, &queue->tx, sizeof(union netif_tx_sring_entry), 0, true);
    if (!error)
        error = create_ring(queue, &queue->rx, sizeof(union netif_rx_sring_entry),
                            queue->config.rx_buffers, false);
    if (!error)
        error = create_ids(queue);
    if (!error)
        error = bind_ports(queue);
    if (error)
        return error;
    pv_netfront_write_rx_requests(queue);
    pv_front_push_requests(&queue->rx.front); /* nobody is there yet to be notified */
    return 0;
}

struct pv_netfront_queue *pv_netfront_create(const struct pv_netfront_config *config)
{
    if (!config->hypervisor || !config->evtchn || !config->pool) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_netfront_queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return NULL;
    queue->config = *config;
    queue->hypervisor = config->hypervisor;
    queue->page_size = config->hypervisor->page_size;
    int error = create_parts(queue);
    if (error) {
        pv_netfront_destroy(queue);
        errno = -error;
        return NULL;
    }
    return queue;
}

grant_ref_t pv_netfront_tx_ring_ref(const struct pv_netfront_queue *queue)
{
    return queue->tx.ring_ref;
}

grant_ref_t pv_netfront_rx_ring_ref(const struct pv_netfront_queue *queue)
{
    return queue->rx.ring_ref;
}

evtchn_port_t pv_netfront_tx_port(const struct pv_netfront_queue *queue)
{
    return queue->tx.port;
}

evtchn_port_t pv_netfront_rx_port(const struct pv_netfront_queue *queue)
{
    return queue->rx.port;
}

int pv_netfront_connect(struct pv_netfront_queue *queue,
                        const struct pv_netfront_features *features)
{
    if (queue->state != QUEUE_OPEN)
        return -EINVAL;
    queue->features = *features;
    queue->state = QUEUE_CONNECTED;
    return 0;
}

static uint32_t list_pages(const struct page_pool *pool, uint16_t flags,
                           struct xen_netif_gref *list, uint32_t count)
{
    if (count > pool->count)
        count = pool->count;
    for (uint32_t page = 0; page < count; page++)
        list[page] = (struct xen_netif_gref){.ref = pool->grefs[page], .flags = flags};
    return count;
}

uint32_t pv_netfront_list_grants(const struct pv_netfront_queue *queue, struct xen_netif_gref *list,
                                 uint32_t count)
{
    uint32_t tx = list_pages(&queue->tx.pages, XEN_NETIF_CTRLF_GREF_readonly, list, count);
    return tx + list_pages(&queue->rx.pages, 0, list + tx, count - tx);
}

/* ---- Both rings ---------------------------------------------------------------------------- */

int pv_netfront_break(struct pv_netfront_queue *queue, enum pv_netfront_violation violation)
{
    queue->violation = violation;
    queue->stats.violations++;
    return -EPROTO;
}

void pv_netfront_publish(struct pv_netfront_queue *queue, struct netfront_ring *ring,
                         uint32_t published)
{
    if (published == ring->front.req_prod_pvt)
        return;
    if (!pv_front_push_requests(&ring->front)) {
        queue->stats.notifications_suppressed++;
        return;
    }
    queue->stats.notifications_sent++;
    queue->hypervisor->ops->evtchn_notify(queue->config.evtchn, ring->port);
}

bool pv_netfront_has_news(const struct pv_netfront_queue *queue)
{
    return pv_netfront_usable(queue) != 0 || pv_front_unconsumed_responses(&queue->rx.front) != 0 ||
           pv_front_unconsumed_responses(&queue->tx.front) != 0;
}

bool pv_netfront_arm(struct pv_netfront_queue *queue, bool want_room)
{
    pv_packet_cache_flush(queue->cache); /* so that a sleeping queue holds no memory */
    return pv_netfront_usable(queue) != 0 || pv_front_final_check(&queue->rx.front) ||
           (want_room && pv_front_final_check(&queue->tx.front));
}

/* ---- The end ------------------------------------------------------------------------------- */

static void unbind_port(struct pv_netfront_queue *queue, evtchn_port_t port)
{
    if (port)
        queue->hypervisor->ops->evtchn_unbind(queue->config.evtchn, port);
}

void pv_netfront_disconnect(struct pv_netfront_queue *queue)
{
    queue->state = QUEUE_CLOSED;
    if (queue->rx.port != queue->tx.port)
        unbind_port(queue, queue->rx.port);
    unbind_port(queue, queue->tx.port);
    queue->tx.port = queue->rx.port = 0;
    page_pool_close(&queue->tx.ring_page);
    page_pool_close(&queue->tx.pages);
    page_pool_close(&queue->rx.ring_page);
    page_pool_close(&queue->rx.pages);
}

void pv_netfront_destroy(struct pv_netfront_queue *queue)
{
    if (!queue)
        return;
    pv_netfront_disconnect(queue);
    pv_packet_cache_destroy(queue->cache);
    free(queue->free_ids);
    free(queue->in_flight);
    free(queue);
}

/* ---- Inspection ---------------------------------------------------------------------------- */

enum pv_netfront_violation pv_netfront_broken(const struct pv_netfront_queue *queue)
{
    return queue->violation;
}

void pv_netfront_get_stats(const struct pv_netfront_queue *queue, struct pv_netfront_stats *stats)
{
    const struct page_pool *pools[] = {&queue->tx.ring_page, &queue->tx.pages, &queue->rx.ring_page,
                                       &queue->rx.pages};
    *stats = queue->stats;
    for (size_t i = 0; i < sizeof(pools) / sizeof(*pools); i++) {
        stats->grants_made += pools[i]->grants_made;
        stats->grants_ended += pools[i]->grants_ended;
        stats->grants_leaked += pools[i]->grants_leaked;
    }
}

static const char *state_name(const struct pv_netfront_queue *queue)
{
    static const char *const violations[PV_NETFRONT_VIOLATION_COUNT] = {
        [PV_NETFRONT_RESPONSE_OVERFLOW] = "broken: more responses than requests",
        [PV_NETFRONT_BAD_ID] = "broken: a tx response for nothing in flight",
    };
    static const char *const states[] = {"not connected", "connected", "disconnected"};
    return queue->violation ? violations[queue->violation] : states[queue->state];
}

int pv_netfront_describe(const struct pv_netfront_queue *queue, char *line, size_t size)
{
    const struct pv_front_ring *tx = &queue->tx.front, *rx = &queue->rx.front;
    return snprintf(line, size,
                    "%s tx: req_prod %u rsp_cons %u of %u slots, ids free %u"
                    " rx: req_prod %u rsp_cons %u of %u slots, buffers %u",
                    state_name(queue), tx->req_prod_pvt, tx->rsp_cons, tx->nr_ents,
                    queue->nr_free_ids, rx->req_prod_pvt, rx->rsp_cons, rx->nr_ents,
                    queue->rx.pages.count);
}
