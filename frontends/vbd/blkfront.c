/* A block frontend's queue from its creation to its end. */
#include "frontends/vbd/blkfront_private.h"

#include <stdio.h>
#include <stdlib.h>

/* What a Linux backend keeps mapped of a ring's persistent grants. */
#define DEFAULT_POOL_LIMIT 1056u

/* ---- Lists of operations ------------------------------------------------------------------- */

void pv_blkfront_list_append(struct io_list *list, struct pv_blkfront_io *io)
{
    io->next = NULL;
    io->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = io;
    list->last = io;
}

void pv_blkfront_list_remove(struct io_list *list, struct pv_blkfront_io *io)
{
    *(io->prev ? &io->prev->next : &list->first) = io->next;
    *(io->next ? &io->next->prev : &list->last) = io->prev;
    io->next = io->prev = NULL;
}

void pv_blkfront_finish(struct pv_blkfront_queue *queue, struct pv_blkfront_io *io)
{
    pv_blkfront_list_remove(&queue->submitted, io);
    pv_blkfront_list_append(&queue->finished, io);
}

/* ---- Creation ------------------------------------------------------------------------------ */

static bool config_valid(const struct pv_blkfront_config *config)
{
    uint32_t pages = config->ring_pages;
    return config->hypervisor && config->evtchn && pages > 0 && (pages & (pages - 1)) == 0;
}

static int create_ring(struct pv_blkfront_queue *queue)
{
    struct pv_hypervisor *hypervisor = queue->hypervisor;
    uint32_t pages = queue->config.ring_pages;
    queue->ring_refs = calloc(pages, sizeof(*queue->ring_refs));
    if (!queue->ring_refs)
        return -ENOMEM;
    struct pv_sring *sring = hypervisor->ops->pages_alloc(hypervisor, pages);
    if (!sring)
        return -errno;
    pv_sring_init(sring);
    pv_front_ring_attach(&queue->ring, sring, (size_t)pages * hypervisor->page_size,
                         pv_blkif_slot_size(hypervisor->abi), 0);
    for (uint32_t i = 0; i < pages; i++) {
        const uint8_t *page = (const uint8_t *)sring + (size_t)i * hypervisor->page_size;
        int error = hypervisor->ops->grant_access(hypervisor, queue->config.backend, page, false,
                                                  &queue->ring_refs[i]);
        if (error)
            return error;
        queue->nr_ring_refs++;
    }
    return 0;
}

static int create_shadows(struct pv_blkfront_queue *queue, uint32_t pages_per_request)
{
    uint32_t nr_ents = queue->ring.nr_ents;
    queue->shadows = calloc(nr_ents, sizeof(*queue->shadows));
    uint32_t *pages = calloc((size_t)nr_ents * pages_per_request, sizeof(*pages));
    queue->shadow_pages = pages;
    queue->segments = calloc(queue->max_segments, sizeof(*queue->segments));
    if (!queue->shadows || !pages || !queue->segments)
        return -ENOMEM;
    for (uint32_t id = 0; id < nr_ents; id++) {
        queue->shadows[id].pages = pages + (size_t)id * pages_per_request;
        queue->shadows[id].next_free = id + 1;
    }
    return 0;
}

static int create_parts(struct pv_blkfront_queue *queue)
{
    const struct pv_blkfront_config *config = &queue->config;
    uint32_t indirect = config->max_indirect_segments;
    queue->page_size = queue->hypervisor->page_size;
    queue->descriptors_per_page = queue->page_size / (uint32_t)sizeof(struct pv_blkif_segment);
    uint32_t most = queue->descriptors_per_page * BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST;
    if (indirect > most)
        indirect = most;
    queue->max_segments = BLKIF_MAX_SEGMENTS_PER_REQUEST;
    if (indirect > queue->max_segments)
        queue->max_segments = indirect;

    int error = create_ring(queue);
    if (error)
        return error;
    uint32_t per_request = queue->max_segments + BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST;
    error = create_shadows(queue, per_request);
    if (error)
        return error;
    uint64_t pool = config->pool_pages;
    if (pool == 0) {
        pool = (uint64_t)queue->ring.nr_ents * queue->max_segments;
        pool = pool < DEFAULT_POOL_LIMIT ? pool : DEFAULT_POOL_LIMIT;
    }
    if (pool < per_request)
        pool = per_request;
    error = page_pool_init(&queue->pool, queue->hypervisor, config->backend,
                           (uint32_t)pool + config->buffer_pages, config->buffer_pages);
    if (error)
        return error;
    int port = queue->hypervisor->ops->evtchn_bind_unbound_port(config->evtchn, config->backend);
    if (port < 0)
        return port;
    queue->port = (evtchn_port_t)port;
    queue->has_port = true;
    return 0;
}

struct pv_blkfront_queue *pv_blkfront_create(const struct pv_blkfront_config *config)
{
    if (!config_valid(config)) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_blkfront_queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return NULL;
    queue->config = *config;
    queue->hypervisor = config->hypervisor;
    int error = create_parts(queue);
    if (error) {
        pv_blkfront_destroy(queue);
        errno = -error;
        return NULL;
    }
    return queue;
}

uint32_t pv_blkfront_ring_refs(const struct pv_blkfront_queue *queue, const grant_ref_t **refs)
{
    *refs = queue->ring_refs;
    return queue->nr_ring_refs;
}

evtchn_port_t pv_blkfront_port(const struct pv_blkfront_queue *queue)
{
    return queue->port;
}

int pv_blkfront_connect(struct pv_blkfront_queue *queue,
                        const struct pv_blkfront_features *features)
{
    uint32_t size = features->sector_size;
    if (queue->state != QUEUE_OPEN || size < PV_SECTOR_SIZE || (size & (size - 1)) != 0)
        return -EINVAL;
    queue->features = *features;
    if (features->transient_grants)
        queue->config.persistent = false; /* nothing has been granted yet but the ring */
    queue->pool.persistent = queue->config.persistent;
    queue->state = QUEUE_CONNECTED;
    return 0;
}

void pv_blkfront_get_features(const struct pv_blkfront_queue *queue,
                              struct pv_blkfront_features *features)
{
    *features = queue->features;
}

void *pv_blkfront_buffers(struct pv_blkfront_queue *queue)
{
    return queue->pool.buffers ? queue->pool.area : NULL;
}

/* ---- Submission ---------------------------------------------------------------------------- */

static bool io_valid(const struct pv_blkfront_queue *queue, const struct pv_blkfront_io *io)
{
    uint64_t misaligned =
        queue->features.sector_size / PV_SECTOR_SIZE - 1; /* a power of two less 1 */
    uint64_t barrier_limit =
        (uint64_t)BLKIF_MAX_SEGMENTS_PER_REQUEST * queue->page_size / PV_SECTOR_SIZE;
    if (((io->sector | io->nr_sectors) & misaligned) || io->nr_sectors > UINT64_MAX - io->sector)
        return false;
    switch (io->operation) {
    case BLKIF_OP_READ:
    case BLKIF_OP_WRITE:
        return io->nr_sectors > 0 && io->nr_sectors < UINT32_MAX && io->data;
    case BLKIF_OP_WRITE_BARRIER: /* one request, or it would be no barrier */
        return io->nr_sectors == 0 || (io->nr_sectors <= barrier_limit && io->data);
    case BLKIF_OP_FLUSH_DISKCACHE:
        return io->nr_sectors == 0;
    case BLKIF_OP_DISCARD:
        return io->nr_sectors > 0;
    default:
        return false;
    }
}

static void start(struct pv_blkfront_queue *queue, struct pv_blkfront_io *io)
{
    io->status = 0;
    io->issued_sectors = 0;
    io->in_flight = 0;
    pv_blkfront_list_append(&queue->submitted, io);
    if (!queue->waiting)
        queue->waiting = io;
    queue->outstanding++;
}

int pv_blkfront_submit(struct pv_blkfront_queue *queue, struct pv_blkfront_io **ios, unsigned count)
{
    if (queue->violation)
        return -EPROTO;
    if (queue->state != QUEUE_CONNECTED)
        return -ENOTCONN;
    for (unsigned i = 0; i < count; i++)
        if (!io_valid(queue, ios[i]))
            return -EINVAL;
    for (unsigned i = 0; i < count; i++)
        start(queue, ios[i]);
    pv_blkfront_issue(queue);
    queue->stats.oo_req += queue->waiting != NULL;
    return 0;
}

uint32_t pv_blkfront_outstanding(const struct pv_blkfront_queue *queue)
{
    return queue->outstanding;
}

/* ---- Reconnection and end ------------------------------------------------------------------ */

void pv_blkfront_stop(struct pv_blkfront_queue *queue)
{
    queue->state = QUEUE_STOPPED;
}

/* The first operation of a stopped queue, taken off it: the finished ones come first. */
static struct pv_blkfront_io *take_first(struct pv_blkfront_queue *queue, bool *finished)
{
    *finished = queue->finished.first != NULL;
    struct io_list *list = *finished ? &queue->finished : &queue->submitted;
    struct pv_blkfront_io *io = list->first;
    if (!io)
        return NULL;
    pv_blkfront_list_remove(list, io);
    queue->outstanding--;
    if (queue->waiting == io)
        queue->waiting = queue->submitted.first;
    return io;
}

int pv_blkfront_requeue(struct pv_blkfront_queue *stopped, struct pv_blkfront_queue *queue)
{
    if (stopped->state != QUEUE_STOPPED || queue->state != QUEUE_CONNECTED)
        return -EINVAL;
    struct pv_blkfront_io *io;
    bool finished;
    int count = 0;
    for (; (io = take_first(stopped, &finished)); count++) {
        if (finished) {
            pv_blkfront_list_append(&queue->finished, io);
            queue->outstanding++;
        } else {
            start(queue, io);
        }
    }
    pv_blkfront_issue(queue);
    return count;
}

int pv_blkfront_give_up(struct pv_blkfront_queue *stopped, struct pv_blkfront_io **ios,
                        unsigned max)
{
    if (stopped->state != QUEUE_STOPPED)
        return -EINVAL;
    bool finished;
    unsigned count = 0;
    for (; count < max && (ios[count] = take_first(stopped, &finished)); count++)
        if (!finished)
            ios[count]->status = -EIO;
    return (int)count;
}

static void close_ring(struct pv_blkfront_queue *queue)
{
    struct pv_hypervisor *hypervisor = queue->hypervisor;
    for (uint32_t i = 0; queue->ring.sring && i < queue->config.ring_pages; i++) {
        uint8_t *page = (uint8_t *)queue->ring.sring + (size_t)i * hypervisor->page_size;
        bool granted = i < queue->nr_ring_refs;
        if (granted && hypervisor->ops->grant_end(hypervisor, queue->ring_refs[i]))
            queue->stats.grants_leaked++; /* the backend may still write to it (XSA-396) */
        else
            hypervisor->ops->pages_free(hypervisor, page, 1);
    }
    queue->nr_ring_refs = 0;
    queue->ring.sring = NULL;
}

void pv_blkfront_disconnect(struct pv_blkfront_queue *queue)
{
    pv_blkfront_stop(queue);
    if (queue->has_port)
        queue->hypervisor->ops->evtchn_unbind(queue->config.evtchn, queue->port);
    queue->has_port = false;
    close_ring(queue);
    page_pool_close(&queue->pool);
}

void pv_blkfront_destroy(struct pv_blkfront_queue *queue)
{
    if (!queue)
        return;
    pv_blkfront_disconnect(queue);
    free(queue->ring_refs);
    free(queue->shadow_pages);
    free(queue->shadows);
    free(queue->segments);
    free(queue);
}

/* ---- Inspection ---------------------------------------------------------------------------- */

enum pv_blkfront_violation pv_blkfront_broken(const struct pv_blkfront_queue *queue)
{
    return queue->violation;
}

void pv_blkfront_get_stats(const struct pv_blkfront_queue *queue, struct pv_blkfront_stats *stats)
{
    *stats = queue->stats;
    stats->grants_made = queue->pool.grants_made;
    stats->grants_ended = queue->pool.grants_ended;
    stats->grants_leaked += queue->pool.grants_leaked; /* to those of the ring */
}

int pv_blkfront_describe(const struct pv_blkfront_queue *queue, char *line, size_t size)
{
    static const char *const states[] = {"open", "connected", "stopped"};
    static const char *const violations[PV_BLKFRONT_VIOLATION_COUNT] = {
        "", ", broken: response overflow", ", broken: bad id", ", broken: idle id",
        ", broken: wrong operation"};
    return snprintf(line, size,
                    "blkfront queue of domain %u to domain %u, port %u: %s%s, %u slots, "
                    "req_prod %u rsp_cons %u, %u outstanding, %u of %u pages free, "
                    "%u segments%s%s",
                    queue->hypervisor->domid, queue->config.backend, queue->port,
                    states[queue->state], violations[queue->violation], queue->ring.nr_ents,
                    queue->ring.req_prod_pvt, queue->ring.rsp_cons, queue->outstanding,
                    queue->pool.nr_free, queue->pool.count, queue->max_segments,
                    queue->config.persistent ? ", persistent" : "",
                    queue->config.trusted ? "" : ", untrusted");
}
