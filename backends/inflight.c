/* How a log begins, and how one that a killed backend left behind is read: see inflight.h. */
#include "backends/vbd/blkback_private.h"

#define MAGIC 0x31665650u /* "PVf1" */

size_t pv_blkback_inflight_size(enum pv_abi abi, uint32_t ring_pages)
{
    size_t area = (size_t)ring_pages * blkback_page_size(abi);
    return sizeof(struct inflight_log) +
           pv_ring_entries(area, pv_blkif_slot_size(abi)) * sizeof(struct inflight_entry);
}

static struct inflight_identity identify(const struct pv_blkback_config *config)
{
    struct inflight_identity identity = {.frontend = config->frontend,
                                         .abi = (uint32_t)config->abi,
                                         .remote_port = config->remote_port,
                                         .ring_pages = config->ring_pages};
    memcpy(identity.ring_refs, config->ring_refs, config->ring_pages * sizeof(grant_ref_t));
    return identity;
}

/* Its response may have been written, but the frontend has not been told of it. */
static bool is_unanswered(const struct inflight_entry *entry, uint32_t req_cons, uint32_t rsp_prod)
{
    switch (entry->state) {
    case INFLIGHT_TAKEN:
        return entry->request != req_cons; /* that one is copied, and still on the ring */
    case INFLIGHT_ANSWERED:
        return entry->response - rsp_prod < req_cons - rsp_prod;
    default:
        return false;
    }
}

int inflight_check(const struct pv_blkback_queue *queue, const struct inflight_log *log,
                   const struct pv_blkback_config *config)
{
    struct inflight_identity identity = identify(config);
    if (log->magic != MAGIC || memcmp(&log->identity, &identity, sizeof identity) != 0)
        return -ESTALE;
    struct pv_back_ring ring = queue->ring; /* its indices are both the frontend's rsp_prod */
    ring.req_cons = log->req_cons;
    uint32_t count = 0;
    for (uint32_t i = 0; i < ring.nr_ents; i++)
        count += is_unanswered(&log->entries[i], ring.req_cons, ring.rsp_prod_pvt);
    if (count != ring.req_cons - ring.rsp_prod_pvt)
        return -ESTALE;
    return pv_back_unconsumed_requests(&ring) < 0 ? -EIO : 0;
}

/* In the order of the ring. An index may be any distance behind req_cons, but not in front. */
static void insert(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    uint32_t req_cons = queue->log->req_cons;
    uint32_t age = req_cons - request->entry->request;
    struct blkback_request **link = &queue->resumed;
    while (*link && req_cons - (*link)->entry->request > age)
        link = &(*link)->next;
    request->next = *link;
    *link = request;
    queue->resumed_count++;
}

/* May be cut short and done again: no store here changes what is unanswered. */
static void resume(struct pv_blkback_queue *queue)
{
    struct inflight_log *log = queue->log;
    queue->free = NULL;
    while (queue->made < queue->ring.nr_ents) {
        struct blkback_request *request = blkback_make_request(queue);
        struct inflight_entry *entry = request->entry;
        if (is_unanswered(entry, log->req_cons, queue->ring.rsp_prod_pvt)) {
            entry->state = INFLIGHT_TAKEN;
            pv_blkif_decode_request(queue->abi, entry->slot, &request->ring);
            insert(queue, request);
        } else {
            entry->state = INFLIGHT_FREE;
            request->next = queue->free;
            queue->free = request;
        }
    }
    queue->ring.req_cons = log->req_cons;
    queue->stats.requests = queue->stats.resumed = queue->resumed_count;
}

int inflight_attach(struct pv_blkback_queue *queue, const struct pv_blkback_config *config)
{
    struct inflight_log *log = queue->log;
    if (log->magic != 0) {
        int status = inflight_check(queue, log, config);
        if (status == 0)
            resume(queue);
        return status;
    }
    log->identity = identify(config);
    log->req_cons = queue->ring.req_cons;
    /* Release: a log with a magic number is whole. */
    pv_store_release(&log->magic, MAGIC);
    return 0;
}
