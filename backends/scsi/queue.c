/* Creates and ends a queue. All memory that it will ever need is reserved here; little of that is
 * used at a time, and hardly any while the queue is idle. */
#include "backends/map_ring.h"
#include "backends/reserve.h"
#include "backends/scsi/scsiback_private.h"
#include "pvdrivers/ring/abi_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool log_valid(const struct pv_scsiback_config *config)
{
    return (uintptr_t)config->inflight % PV_INFLIGHT_ALIGNMENT == 0 &&
           config->inflight_size >= pv_scsiback_inflight_size(config->abi);
}

static bool config_valid(const struct pv_scsiback_config *config)
{
    return config->hypervisor && (uint32_t)config->abi < PV_ABI_COUNT &&
           config->max_segments <= PV_SCSIBACK_MAX_SEGMENTS &&
           (!config->inflight || log_valid(config));
}

static void init_from_config(struct pv_scsiback_queue *queue,
                             const struct pv_scsiback_config *config)
{
    queue->pollable = (struct pv_pollable){.ops = &scsiback_pollable_ops,
                                           .hypervisor = config->hypervisor,
                                           .evtchn = config->evtchn,
                                           .fd = -1};
    queue->frontend = config->frontend;
    queue->page_size = pv_abi_page_size(config->abi);
    queue->max_list = config->max_segments;
    queue->fault_fd = config->fault_fd;
    queue->deadline = UINT64_MAX;
    request_list_init(&queue->answered);
    request_list_init(&queue->copying);
    request_list_init(&queue->emulated);
    queue->copies.hypervisor = config->hypervisor;
    queue->copies.domid = config->frontend;
    completions_init(&queue->completions);
    pthread_mutex_init(&queue->luns_lock, NULL);
}

static int make_log(struct pv_scsiback_queue *queue, const struct pv_scsiback_config *config)
{
    queue->log = config->inflight;
    if (queue->log)
        return 0;
    size_t size = pv_scsiback_inflight_size(config->abi);
    queue->log = reserve(size);
    if (!queue->log)
        return -ENOMEM;
    queue->own_log_size = size;
    return 0;
}

static void carve_tables(struct pv_scsiback_queue *queue, uint8_t *area)
{
    size_t count = queue->ring.nr_ents, segments = count * scsiback_list_room(queue), at = 0;
    queue->requests = carve(area, &at, count, sizeof *queue->requests);
    queue->submissions = carve(area, &at, count, sizeof(void *));
    queue->all_segments = carve(area, &at, segments, sizeof *queue->all_segments);
    queue->copies.staged = carve(area, &at, 1, sizeof *queue->copies.staged);
    queue->tables_size = at;
}

static int make_tables(struct pv_scsiback_queue *queue)
{
    queue->buffer_size = (size_t)scsiback_list_room(queue) * queue->page_size;
    queue->buffers = reserve(queue->ring.nr_ents * queue->buffer_size);
    carve_tables(queue, NULL);
    uint8_t *area = reserve(queue->tables_size);
    if (area)
        carve_tables(queue, area);
    return area && queue->buffers ? 0 : -ENOMEM;
}

static int attach_ring(struct pv_scsiback_queue *queue, grant_ref_t ref)
{
    const struct ring_source source = {.hypervisor = queue->pollable.hypervisor,
                                       .frontend = queue->frontend,
                                       .refs = &ref,
                                       .pages = 1,
                                       .page_size = queue->page_size,
                                       .slot_size = VSCSIIF_SLOT_SIZE};
    int status = map_ring(&source, &queue->ring);
    queue->published = queue->ring.rsp_prod_pvt;
    return status;
}

/* The pollable's watches the queue's own and, later, those of the stores. */
static int make_fds(struct pv_scsiback_queue *queue)
{
    struct epoll_event event = {.events = EPOLLIN};
    int own = queue->completions.eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    queue->pollable.fd = epoll_create1(EPOLL_CLOEXEC);
    if (own < 0 || queue->pollable.fd < 0 ||
        epoll_ctl(queue->pollable.fd, EPOLL_CTL_ADD, own, &event) < 0)
        return -errno;
    return 0;
}

static int build(struct pv_scsiback_queue *queue, const struct pv_scsiback_config *config)
{
    struct pv_hypervisor *hypervisor = config->hypervisor;
    int status = attach_ring(queue, config->ring_ref);
    if (status == 0)
        status = make_log(queue, config);
    if (status == 0)
        status = make_tables(queue);
    if (status == 0)
        status = make_fds(queue);
    if (status < 0)
        return status;
    int port = hypervisor->ops->evtchn_bind_interdomain(config->evtchn, queue->frontend,
                                                        config->remote_port);
    if (port < 0)
        return port;
    queue->pollable.port = (evtchn_port_t)port;
    queue->bound = true;
    return scsiback_attach_log(queue, config); /* last: what is in flight has to be carried out */
}

static void free_queue(struct pv_scsiback_queue *queue)
{
    const struct pv_hypervisor_ops *ops = queue->pollable.hypervisor->ops;
    if (queue->bound)
        ops->evtchn_unbind(queue->pollable.evtchn, queue->pollable.port);
    if (queue->ring.sring)
        ops->gnttab_unmap_contiguous(queue->pollable.hypervisor, queue->ring.sring, 1);
    scsiback_free_luns(queue);
    if (queue->pollable.fd >= 0)
        close(queue->pollable.fd);
    if (queue->completions.eventfd >= 0)
        close(queue->completions.eventfd);
    if (queue->buffers)
        munmap(queue->buffers, queue->ring.nr_ents * queue->buffer_size);
    if (queue->own_log_size)
        munmap(queue->log, queue->own_log_size);
    if (queue->requests)
        munmap(queue->requests, queue->tables_size);
    completions_destroy(&queue->completions);
    pthread_mutex_destroy(&queue->luns_lock);
    free(queue);
}

static struct pv_scsiback_queue *allocate(const struct pv_scsiback_config *config)
{
    struct pv_scsiback_queue *queue = NULL;
    if (config_valid(config))
        queue = calloc(1, sizeof *queue);
    else
        errno = EINVAL;
    if (queue)
        init_from_config(queue, config);
    return queue;
}

struct pv_scsiback_queue *pv_scsiback_create(const struct pv_scsiback_config *config)
{
    struct pv_scsiback_queue *queue = allocate(config);
    int status = queue ? build(queue, config) : 0;
    if (status < 0) {
        free_queue(queue);
        errno = -status;
        return NULL;
    }
    return queue;
}

int pv_scsiback_resumable(const struct pv_scsiback_config *config)
{
    struct pv_scsiback_queue *queue = allocate(config);
    if (!queue)
        return -errno;
    const struct pv_inflight_log *log = config->inflight;
    int status = attach_ring(queue, config->ring_ref);
    if (status == 0 && log && pv_inflight_has_begun(log))
        status = scsiback_check_log(queue, config);
    else if (status == 0 && pv_back_unconsumed_requests(&queue->ring) != 0)
        status = -EBUSY;
    free_queue(queue);
    return status;
}

int pv_scsiback_destroy(struct pv_scsiback_queue *queue)
{
    if (queue && pv_scsiback_in_flight(queue) > 0)
        return -EBUSY;
    if (queue)
        free_queue(queue);
    return 0;
}

struct pv_pollable *pv_scsiback_pollable(struct pv_scsiback_queue *queue)
{
    return &queue->pollable;
}

evtchn_port_t pv_scsiback_port(const struct pv_scsiback_queue *queue)
{
    return queue->pollable.port;
}

bool pv_scsiback_broken(const struct pv_scsiback_queue *queue)
{
    return queue->broken;
}

void pv_scsiback_get_stats(const struct pv_scsiback_queue *queue, struct pv_scsiback_stats *stats)
{
    /* Another thread may be pumping the queue, and counting, at this moment. */
    pv_read_counters(&queue->stats, stats, sizeof *stats);
    stats->grant_copies = pv_read_counter(&queue->copies.copies);
    stats->grant_copy_calls = pv_read_counter(&queue->copies.calls);
    stats->bytes_copied = pv_read_counter(&queue->copies.bytes);
}

int pv_scsiback_describe(const struct pv_scsiback_queue *queue, char *line, size_t size)
{
    const struct pv_scsiback_stats *stats = &queue->stats;
    uint64_t errors = 0;
    for (int i = 0; i < PV_SCSIBACK_ERROR_COUNT; i++)
        errors += stats->errors[i];
    const char *state = queue->broken ? "broken" : queue->stopped ? "stopped" : "running";
    return snprintf(line, size,
                    "scsiback for domain %u port %u: %s, ring of %u, %u in flight, "
                    "%llu requests, %llu errors, %llu notifications",
                    queue->frontend, queue->pollable.port, state, queue->ring.nr_ents,
                    pv_scsiback_in_flight(queue), (unsigned long long)stats->requests,
                    (unsigned long long)errors, (unsigned long long)stats->notifications_sent);
}
