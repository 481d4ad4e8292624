/* A SCSI frontend's queue from its creation to its end. */
#include "frontends/scsi/scsifront_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_POOL_BYTES (4u << 20)

/* ---- Creation ------------------------------------------------------------------------------ */

static int create_ring(struct pv_scsifront_queue *queue)
{
    struct pv_hypervisor *hypervisor = queue->hypervisor;
    struct pv_sring *sring = hypervisor->ops->pages_alloc(hypervisor, 1);
    if (!sring)
        return -errno;
    pv_sring_init(sring);
    pv_front_ring_attach(&queue->ring, sring, queue->page_size, VSCSIIF_SLOT_SIZE, 0);
    int error = hypervisor->ops->grant_access(hypervisor, queue->config.backend, sring, false,
                                              &queue->ring_ref);
    queue->has_ring_ref = !error;
    return error;
}

static int create_parts(struct pv_scsifront_queue *queue)
{
    int error = create_ring(queue);
    if (error)
        return error;
    int port = queue->hypervisor->ops->evtchn_bind_unbound_port(queue->config.evtchn,
                                                                queue->config.backend);
    if (port < 0)
        return port;
    queue->port = (evtchn_port_t)port;
    queue->has_port = true;
    return 0;
}

struct pv_scsifront_queue *pv_scsifront_create(const struct pv_scsifront_config *config)
{
    if (!config->hypervisor || !config->evtchn) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_scsifront_queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return NULL;
    queue->config = *config;
    queue->hypervisor = config->hypervisor;
    queue->page_size = config->hypervisor->page_size;
    queue->page_shift = (uint32_t)__builtin_ctz(queue->page_size);
    queue->segments_per_page = queue->page_size / (uint32_t)sizeof(struct pv_vscsiif_segment);
    int error = create_parts(queue);
    if (error) {
        pv_scsifront_destroy(queue);
        errno = -error;
        return NULL;
    }
    return queue;
}

grant_ref_t pv_scsifront_ring_ref(const struct pv_scsifront_queue *queue)
{
    return queue->ring_ref;
}

evtchn_port_t pv_scsifront_port(const struct pv_scsifront_queue *queue)
{
    return queue->port;
}

/* ---- Connection ---------------------------------------------------------------------------- */

static int create_shadows(struct pv_scsifront_queue *queue, uint32_t pages_per_request)
{
    uint32_t nr_ents = queue->ring.nr_ents;
    queue->shadows = calloc(nr_ents, sizeof(*queue->shadows));
    queue->shadow_pages = calloc((size_t)nr_ents * pages_per_request, sizeof(uint32_t));
    queue->segments = calloc(queue->max_segments, sizeof(*queue->segments));
    if (!queue->shadows || !queue->shadow_pages || !queue->segments)
        return -ENOMEM;
    for (uint32_t rqid = 0; rqid < nr_ents; rqid++) {
        queue->shadows[rqid].pages = queue->shadow_pages + (size_t)rqid * pages_per_request;
        queue->shadows[rqid].next_free = (uint16_t)(rqid + 1);
    }
    return 0;
}

int pv_scsifront_connect(struct pv_scsifront_queue *queue, uint32_t max_segments)
{
    if (queue->state != QUEUE_OPEN || queue->shadows)
        return -EINVAL;
    uint32_t most = VSCSIIF_SG_TABLESIZE * queue->segments_per_page; /* that a slot can list */
    if (max_segments < VSCSIIF_SG_TABLESIZE)
        max_segments = VSCSIIF_SG_TABLESIZE;
    queue->max_segments = max_segments < most ? max_segments : most;
    uint32_t lists =
        (queue->max_segments + queue->segments_per_page - 1) / queue->segments_per_page;
    uint32_t per_request = queue->max_segments + lists;
    int error = create_shadows(queue, per_request);
    if (error)
        return error;

    uint32_t pool = queue->config.pool_pages;
    if (pool == 0) {
        pool = queue->ring.nr_ents * per_request;
        uint32_t limit = DEFAULT_POOL_BYTES >> queue->page_shift;
        pool = pool < limit ? pool : limit;
    }
    if (pool < per_request)
        pool = per_request;
    uint32_t buffers = queue->config.buffer_pages;
    error = page_pool_init(&queue->pool, queue->hypervisor, queue->config.backend, pool + buffers,
                           buffers);
    if (!error)
        queue->state = QUEUE_CONNECTED;
    return error;
}

uint32_t pv_scsifront_max_length(const struct pv_scsifront_queue *queue)
{
    return queue->max_segments << queue->page_shift;
}

void *pv_scsifront_buffers(struct pv_scsifront_queue *queue)
{
    return queue->pool.buffers ? queue->pool.area : NULL;
}

/* ---- The end ------------------------------------------------------------------------------- */

void pv_scsifront_stop(struct pv_scsifront_queue *queue)
{
    queue->state = QUEUE_STOPPED;
}

/* What the backend has, and perhaps has carried out, ends; so do ABORT and RESET. */
static void end_issued(struct pv_scsifront_queue *queue)
{
    for (uint32_t rqid = 0; queue->shadows && rqid < queue->ring.nr_ents; rqid++) {
        struct pv_scsifront_command *command = queue->shadows[rqid].command;
        queue->shadows[rqid].command = NULL;
        if (command) {
            bool cdb = command->act == VSCSIIF_ACT_SCSI_CDB;
            int32_t rslt = cdb ? RSLT_RESET : VSCSIIF_RSLT_RESET_FAILED;
            pv_scsifront_finish_unanswered(queue, command, rslt);
        }
    }
    struct pv_scsifront_command *command;
    while ((command = queue->urgent.first)) {
        pv_scsifront_list_remove(&queue->urgent, command);
        pv_scsifront_finish_unanswered(queue, command, VSCSIIF_RSLT_RESET_FAILED);
    }
}

static struct pv_scsifront_command *take_first(struct pv_scsifront_queue *queue,
                                               struct command_list *list)
{
    struct pv_scsifront_command *command = list->first;
    if (command) {
        pv_scsifront_list_remove(list, command);
        queue->outstanding--;
    }
    return command;
}

/* Whether what has never been on the ring of one queue can be submitted to the next. */
static bool can_move(const struct pv_scsifront_queue *queue,
                     const struct pv_scsifront_command *command)
{
    return !command->in_place && pv_scsifront_valid(queue, command);
}

int pv_scsifront_requeue(struct pv_scsifront_queue *stopped, struct pv_scsifront_queue *queue)
{
    if (stopped->state != QUEUE_STOPPED || queue->state != QUEUE_CONNECTED)
        return -EINVAL;
    end_issued(stopped);
    struct pv_scsifront_command *command;
    while ((command = take_first(stopped, &stopped->finished))) {
        pv_scsifront_list_append(&queue->finished, command);
        queue->outstanding++;
    }
    int count = 0;
    while ((command = take_first(stopped, &stopped->waiting))) {
        if (can_move(queue, command)) {
            pv_scsifront_start(queue, command);
            count++;
        } else {
            queue->outstanding++;
            pv_scsifront_finish_unanswered(queue, command, RSLT_NO_CONNECT);
        }
    }
    pv_scsifront_issue(queue);
    return count;
}

int pv_scsifront_give_up(struct pv_scsifront_queue *stopped, struct pv_scsifront_command **commands,
                         unsigned max)
{
    if (stopped->state != QUEUE_STOPPED)
        return -EINVAL;
    end_issued(stopped);
    struct pv_scsifront_command *command;
    while ((command = stopped->waiting.first)) {
        pv_scsifront_list_remove(&stopped->waiting, command);
        pv_scsifront_finish_unanswered(stopped, command, RSLT_NO_CONNECT);
    }
    unsigned count = 0;
    while (count < max && (commands[count] = take_first(stopped, &stopped->finished)))
        count++;
    return (int)count;
}

static void close_ring(struct pv_scsifront_queue *queue)
{
    struct pv_hypervisor *hypervisor = queue->hypervisor;
    if (!queue->ring.sring)
        return;
    if (queue->has_ring_ref && hypervisor->ops->grant_end(hypervisor, queue->ring_ref))
        queue->stats.grants_leaked++; /* the backend may still write to it (XSA-396) */
    else
        hypervisor->ops->pages_free(hypervisor, queue->ring.sring, 1);
    queue->has_ring_ref = false;
    queue->ring.sring = NULL;
}

void pv_scsifront_disconnect(struct pv_scsifront_queue *queue)
{
    pv_scsifront_stop(queue);
    if (queue->has_port)
        queue->hypervisor->ops->evtchn_unbind(queue->config.evtchn, queue->port);
    queue->has_port = false;
    close_ring(queue);
    page_pool_close(&queue->pool);
}

void pv_scsifront_destroy(struct pv_scsifront_queue *queue)
{
    if (!queue)
        return;
    pv_scsifront_disconnect(queue);
    free(queue->shadow_pages);
    free(queue->shadows);
    free(queue->segments);
    free(queue);
}

/* ---- Inspection ---------------------------------------------------------------------------- */

uint32_t pv_scsifront_outstanding(const struct pv_scsifront_queue *queue)
{
    return queue->outstanding;
}

enum pv_scsifront_violation pv_scsifront_broken(const struct pv_scsifront_queue *queue)
{
    return queue->violation;
}

void pv_scsifront_get_stats(const struct pv_scsifront_queue *queue,
                            struct pv_scsifront_stats *stats)
{
    *stats = queue->stats;
    stats->grants_made = queue->pool.grants_made;
    stats->grants_ended = queue->pool.grants_ended;
    stats->grants_leaked += queue->pool.grants_leaked; /* to that of the ring */
}

int pv_scsifront_describe(const struct pv_scsifront_queue *queue, char *line, size_t size)
{
    static const char *const states[] = {"open", "connected", "stopped"};
    static const char *const violations[PV_SCSIFRONT_VIOLATION_COUNT] = {
        "", ", broken: response overflow", ", broken: bad rqid", ", broken: idle rqid",
        ", broken: sense overflow"};
    return snprintf(line, size,
                    "scsifront queue of domain %u to domain %u, port %u: %s%s, %u slots, "
                    "req_prod %u rsp_cons %u, %u outstanding, %u of %u pages free, %u segments",
                    queue->hypervisor->domid, queue->config.backend, queue->port,
                    states[queue->state], violations[queue->violation], queue->ring.nr_ents,
                    queue->ring.req_prod_pvt, queue->ring.rsp_cons, queue->outstanding,
                    queue->pool.nr_free, queue->pool.count, queue->max_segments);
}
