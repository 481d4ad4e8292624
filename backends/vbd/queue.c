/* Creates and ends a queue. All memory that it will ever need is reserved here; little of that is
 * used at a time, and hardly any while the queue is idle. */
#include "backends/map_ring.h"
#include "backends/reserve.h"
#include "backends/vbd/blkback_private.h"
#include "pvdrivers/ring/abi_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool log_valid(const struct pv_blkback_config *config)
{
    return (uintptr_t)config->inflight % PV_INFLIGHT_ALIGNMENT == 0 &&
           config->inflight_size >= pv_blkback_inflight_size(config->abi, config->ring_pages);
}

static bool config_valid(const struct pv_blkback_config *config)
{
    uint32_t pages = config->ring_pages;
    return config->hypervisor && config->store && config->ring_refs &&
           (uint32_t)config->abi < PV_ABI_COUNT && pages >= 1 &&
           pages <= PV_BLKBACK_MAX_RING_PAGES && (pages & (pages - 1)) == 0 &&
           config->max_indirect_segments <= PV_BLKBACK_MAX_INDIRECT_SEGMENTS &&
           (!config->inflight || log_valid(config));
}

static void init_from_config(struct pv_blkback_queue *queue, const struct pv_blkback_config *config)
{
    queue->pollable = (struct pv_pollable){.ops = &blkback_pollable_ops,
                                           .hypervisor = config->hypervisor,
                                           .evtchn = config->evtchn,
                                           .fd = -1};
    queue->store = config->store;
    pv_fetch_add(&queue->store->users, 1);
    queue->frontend = config->frontend;
    queue->abi = config->abi;
    queue->page_size = pv_abi_page_size(config->abi);
    queue->ring_pages = config->ring_pages;
    queue->read_only = config->read_only;
    queue->flush = config->flush;
    queue->barrier = config->barrier;
    queue->discard = config->discard;
    queue->secure_discard = config->secure_discard;
    queue->persistent = config->persistent;
    queue->bounces =
        config->store->io_outlives_process && !config->hypervisor->maps_outlive_process;
    queue->max_indirect_segments = config->max_indirect_segments;
    queue->max_segments = config->max_indirect_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST
                              ? config->max_indirect_segments
                              : BLKIF_MAX_SEGMENTS_PER_REQUEST;
    queue->fault_fd = config->fault_fd;
    queue->deadline = UINT64_MAX;
    request_list_init(&queue->answered);
    request_list_init(&queue->copying);
    request_list_init(&queue->waiting);
    queue->copies.hypervisor = config->hypervisor;
    queue->copies.domid = config->frontend;
    completions_init(&queue->completions);
}

static int make_log(struct pv_blkback_queue *queue, const struct pv_blkback_config *config)
{
    queue->log = config->inflight;
    if (queue->log)
        return 0;
    size_t size = pv_blkback_inflight_size(queue->abi, queue->ring_pages);
    queue->log = reserve(size);
    if (!queue->log)
        return -ENOMEM;
    queue->own_log_size = size;
    return 0;
}

static void carve_tables(struct pv_blkback_queue *queue, uint8_t *area)
{
    size_t count = queue->ring.nr_ents, segments = count * queue->max_segments, at = 0;
    queue->requests = carve(area, &at, count, sizeof *queue->requests);
    queue->submissions = carve(area, &at, count, sizeof(void *));
    queue->all_segments = carve(area, &at, segments, sizeof *queue->all_segments);
    queue->all_iov = carve(area, &at, segments, sizeof *queue->all_iov);
    queue->all_grants = carve(area, &at, segments, sizeof(void *));
    queue->copies.staged = carve(area, &at, 1, sizeof *queue->copies.staged);
    queue->free_buffers = carve(area, &at, queue->free_buffer_count, sizeof(void *));
    queue->tables_size = at;
}

static int make_tables(struct pv_blkback_queue *queue, const struct pv_blkback_config *config)
{
    uint32_t pages = config->buffer_pages ? config->buffer_pages : PV_BLKBACK_BUFFER_PAGES;
    if (pages < queue->max_segments)
        pages = queue->max_segments; /* or the largest request would wait forever */
    queue->free_buffer_count = pages;
    queue->buffers_size = (size_t)pages * queue->page_size;
    queue->buffers = reserve(queue->buffers_size);
    carve_tables(queue, NULL);
    uint8_t *area = reserve(queue->tables_size);
    if (area)
        carve_tables(queue, area);
    return area && queue->buffers ? 0 : -ENOMEM;
}

static int attach_ring(struct pv_blkback_queue *queue, const grant_ref_t *refs)
{
    const struct ring_source source = {.hypervisor = queue->pollable.hypervisor,
                                       .frontend = queue->frontend,
                                       .refs = refs,
                                       .pages = queue->ring_pages,
                                       .page_size = queue->page_size,
                                       .slot_size = pv_blkif_slot_size(queue->abi)};
    int status = map_ring(&source, &queue->ring);
    queue->published = queue->ring.rsp_prod_pvt;
    return status;
}

static int watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int make_fds(struct pv_blkback_queue *queue)
{
    struct pv_blk_store *store = queue->store;
    int store_fd = store->ops->fd ? store->ops->fd(store) : -1;
    int own = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int *fd = &queue->pollable.fd;
    *fd = queue->completions.eventfd = own;
    if (*fd < 0 || store_fd < 0)
        return *fd < 0 ? -errno : 0;
    *fd = epoll_create1(EPOLL_CLOEXEC);
    if (*fd < 0 || watch(*fd, own) < 0 || watch(*fd, store_fd) < 0)
        return -errno;
    return 0;
}

static int build(struct pv_blkback_queue *queue, const struct pv_blkback_config *config)
{
    uint32_t grants =
        config->persistent_grants ? config->persistent_grants : PV_BLKBACK_PERSISTENT_GRANTS;
    struct pv_hypervisor *hypervisor = config->hypervisor;
    int status = attach_ring(queue, config->ring_refs);
    if (status == 0)
        status = make_log(queue, config);
    if (status == 0)
        status = make_tables(queue, config);
    if (status == 0 && queue->persistent)
        status = grant_cache_init(&queue->cache, hypervisor, queue->frontend, grants);
    if (status < 0)
        return status;
    status = make_fds(queue);
    if (status < 0)
        return status;
    int port = hypervisor->ops->evtchn_bind_interdomain(config->evtchn, queue->frontend,
                                                        config->remote_port);
    if (port < 0)
        return port;
    queue->pollable.port = (evtchn_port_t)port;
    queue->bound = true;
    return blkback_attach_log(queue, config); /* last: what is in flight has to be carried out */
}

struct pv_blkback_queue *pv_blkback_create(const struct pv_blkback_config *config)
{
    if (!config_valid(config) || !config->evtchn) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_blkback_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    init_from_config(queue, config);
    int status = build(queue, config);
    if (status < 0) {
        pv_blkback_destroy(queue);
        errno = -status;
        return NULL;
    }
    return queue;
}

int pv_blkback_resumable(const struct pv_blkback_config *config)
{
    if (!config_valid(config))
        return -EINVAL;
    struct pv_blkback_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return -ENOMEM;
    init_from_config(queue, config);
    const struct pv_inflight_log *log = config->inflight;
    int status = attach_ring(queue, config->ring_refs);
    if (status == 0 && log && pv_inflight_has_begun(log))
        status = blkback_check_log(queue, config);
    else if (status == 0 && pv_back_unconsumed_requests(&queue->ring) != 0)
        status = -EBUSY;
    pv_blkback_destroy(queue);
    return status;
}

int pv_blkback_disconnect(struct pv_blkback_queue *queue)
{
    if (pv_blkback_in_flight(queue) > 0)
        return -EBUSY;
    const struct pv_hypervisor_ops *ops = queue->pollable.hypervisor->ops;
    pv_blkback_stop(queue);
    if (queue->bound)
        ops->evtchn_unbind(queue->pollable.evtchn, queue->pollable.port);
    queue->bound = false;
    grant_cache_destroy(&queue->cache);
    if (queue->ring.sring)
        ops->gnttab_unmap_contiguous(queue->pollable.hypervisor, queue->ring.sring,
                                     queue->ring_pages);
    queue->ring.sring = NULL;
    return 0;
}

int pv_blkback_destroy(struct pv_blkback_queue *queue)
{
    if (!queue)
        return 0;
    int status = pv_blkback_disconnect(queue);
    if (status < 0)
        return status;
    if (queue->pollable.fd >= 0)
        close(queue->pollable.fd);
    if (queue->completions.eventfd >= 0 && queue->completions.eventfd != queue->pollable.fd)
        close(queue->completions.eventfd);
    if (queue->buffers)
        munmap(queue->buffers, queue->buffers_size);
    if (queue->own_log_size)
        munmap(queue->log, queue->own_log_size);
    if (queue->requests)
        munmap(queue->requests, queue->tables_size);
    completions_destroy(&queue->completions);
    /* After every use of the store: a reader of 0 may free it. */
    pv_fetch_sub(&queue->store->users, 1);
    free(queue);
    return 0;
}

struct pv_pollable *pv_blkback_pollable(struct pv_blkback_queue *queue)
{
    return &queue->pollable;
}

evtchn_port_t pv_blkback_port(const struct pv_blkback_queue *queue)
{
    return queue->pollable.port;
}

bool pv_blkback_broken(const struct pv_blkback_queue *queue)
{
    return queue->broken;
}

void pv_blkback_get_stats(const struct pv_blkback_queue *queue, struct pv_blkback_stats *stats)
{
    /* Another thread may be pumping the queue, and counting, at this moment. */
    pv_read_counters(&queue->stats, stats, sizeof *stats);
    stats->grant_maps = pv_read_counter(&queue->cache.maps);
    stats->grant_unmaps = pv_read_counter(&queue->cache.unmaps);
    stats->grant_copies = pv_read_counter(&queue->copies.copies);
    stats->grant_copy_calls = pv_read_counter(&queue->copies.calls);
    stats->bytes_copied += pv_read_counter(&queue->copies.bytes);
}

static const char *state(const struct pv_blkback_queue *queue)
{
    if (!queue->ring.sring)
        return "disconnected";
    if (queue->broken)
        return "broken";
    return queue->stopped ? "stopped" : "running";
}

int pv_blkback_describe(const struct pv_blkback_queue *queue, char *line, size_t size)
{
    const struct pv_blkback_stats *stats = &queue->stats;
    uint64_t errors = 0;
    for (int i = 0; i < PV_BLKBACK_ERROR_COUNT; i++)
        errors += stats->errors[i];
    return snprintf(line, size,
                    "blkback for domain %u port %u: %s, store %s, ring of %u, %u in flight, "
                    "%llu requests, %llu errors, %llu notifications, %u persistent grants",
                    queue->frontend, queue->pollable.port, state(queue), queue->store->ops->name,
                    queue->ring.nr_ents, pv_blkback_in_flight(queue),
                    (unsigned long long)stats->requests, (unsigned long long)errors,
                    (unsigned long long)stats->notifications_sent, queue->cache.count);
}
