/* One pump: take requests, carry out what is staged, answer, publish, decide once to notify. */
#include "backends/scsi/scsiback_private.h"

#include <sys/eventfd.h>

#define PREFETCHED 4u /* slots prefetched from the frontend's cache while one is worked on */
/* Bytes of each: a request's head, and the answer that will be written over it. */
#define PREFETCHED_SIZE offsetof(struct vscsiif_response, reserved)
#define SHORT_SIZE 64 /* bytes of a request with four segments */

static uint32_t in_flight(const struct pv_scsiback_queue *queue)
{
    return queue->ring.req_cons - queue->ring.rsp_prod_pvt;
}

/* With indices that cannot be trusted no request may be read: the ring stops for good. */
static void break_ring(struct pv_scsiback_queue *queue)
{
    queue->broken = true;
    queue->stats.ring_overruns++;
    if (queue->fault_fd > 0)
        eventfd_write(queue->fault_fd, 1);
}

static uint32_t begin_resumed(struct pv_scsiback_queue *queue)
{
    uint32_t count = queue->resumed_count;
    while (queue->resumed) {
        struct scsiback_request *request = queue->resumed;
        queue->resumed = request->next;
        queue->resumed_count--;
        scsiback_begin(queue, request);
    }
    return count;
}

static struct scsiback_request *free_request(struct pv_scsiback_queue *queue)
{
    struct scsiback_request *request = queue->free;
    if (!request)
        return queue->made < queue->ring.nr_ents ? scsiback_make_request(queue) : NULL;
    queue->free = request->next;
    return request;
}

static void take_request(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    struct pv_back_ring *ring = &queue->ring;
    uint8_t *slot = request->entry->slot;
    pv_back_copy_request(ring, ring->req_cons, slot, VSCSIIF_HEAD_SIZE);
    size_t size = pv_vscsiif_request_size(slot);
    if (size > VSCSIIF_HEAD_SIZE)
        pv_back_copy_request_rest(ring, ring->req_cons, slot, VSCSIIF_HEAD_SIZE, SHORT_SIZE);
    if (size > SHORT_SIZE)
        pv_back_copy_request_rest(ring, ring->req_cons, slot, SHORT_SIZE, size);
    pv_inflight_take(queue->log, request->entry, ring);
}

static uint32_t take_requests(struct pv_scsiback_queue *queue, uint32_t most)
{
    uint32_t taken = 0;
    if (most == 0 || queue->broken || queue->stopped)
        return 0;
    int ready = pv_back_unconsumed_requests(&queue->ring);
    if (ready < 0) {
        break_ring(queue);
        return 0;
    }
    scsiback_take_luns(queue); /* behind that look, so that it finds what the frontend knows of */
    if ((uint32_t)ready < most)
        most = (uint32_t)ready;
    for (uint32_t i = 0; i < most && i < PREFETCHED; i++)
        pv_back_prefetch(&queue->ring, queue->ring.req_cons + i, PREFETCHED_SIZE);
    struct scsiback_request *request;
    while (taken < most && queue->bytes_left > 0 && (request = free_request(queue))) {
        if (taken + PREFETCHED < most)
            pv_back_prefetch(&queue->ring, queue->ring.req_cons + PREFETCHED, PREFETCHED_SIZE);
        take_request(queue, request);
        taken++;
        scsiback_begin(queue, request);
    }
    queue->stats.requests += taken;
    return taken;
}

static void take_finished(struct pv_scsiback_queue *queue)
{
    struct pv_blk_io *io = completions_take(&queue->completions);
    while (io) {
        struct pv_blk_io *next = io->next;
        struct scsiback_request *request = (struct scsiback_request *)io;
        if (request->is_submitted)
            scsiback_unit_done(queue, request);
        else
            scsiback_store_done(queue, request);
        io = next;
    }
}

static void run_copies(struct pv_scsiback_queue *queue)
{
    if (!queue->copying.head)
        return;
    copy_batch_flush(&queue->copies);
    struct scsiback_request *request = request_list_take_all(&queue->copying);
    while (request) {
        struct scsiback_request *next = request->next;
        scsiback_copies_done(queue, request);
        request = next;
    }
}

/* Ends when every request left is with its store or unit. */
static void drain_staged(struct pv_scsiback_queue *queue)
{
    do {
        run_copies(queue);
        scsiback_submit_staged(queue);
        take_finished(queue);
    } while (queue->copying.head || queue->submission_count);
    scsiback_emulate_staged(queue);
}

static void free_answered(struct pv_scsiback_queue *queue)
{
    for (struct scsiback_request *request = queue->answered.head; request; request = request->next)
        pv_inflight_forget(request->entry);
    *queue->answered.tail = queue->free;
    queue->free = request_list_take_all(&queue->answered);
}

static void publish(struct pv_scsiback_queue *queue)
{
    if (queue->broken || queue->published == queue->ring.rsp_prod_pvt)
        return;
    queue->published = queue->ring.rsp_prod_pvt;
    queue->stats.batches++;
    if (pv_back_push_responses(&queue->ring)) {
        const struct pv_pollable *own = &queue->pollable;
        own->hypervisor->ops->evtchn_notify(own->evtchn, own->port);
        queue->stats.notifications_sent++;
    } else {
        queue->stats.notifications_suppressed++;
    }
    free_answered(queue);
}

/* Return early when idle: a poller then sees new requests sooner. */
static bool is_idle(const struct pv_scsiback_queue *queue)
{
    return in_flight(queue) == 0 && !queue->completions.slept && !queue->broken &&
           pv_back_unconsumed_requests(&queue->ring) == 0;
}

int pv_scsiback_pump(struct pv_scsiback_queue *queue, uint32_t budget, uint64_t now)
{
    queue->now = now;
    scsiback_take_luns(queue);
    if (is_idle(queue))
        return 0;
    uint32_t first_response = queue->ring.rsp_prod_pvt;
    uint32_t taken = 0, batch, answered;
    queue->submitted = false;
    queue->bytes_left = SCSIBACK_MAX_BYTES;
    completions_wake(&queue->completions);
    scsiback_poll_stores(queue);
    uint32_t resumed = begin_resumed(queue);
    do { /* an answer may have made room for what could not be taken before */
        uint32_t most = budget - taken;
        answered = queue->ring.rsp_prod_pvt;
        batch = take_requests(queue, most < SCSIBACK_BATCH ? most : SCSIBACK_BATCH);
        taken += batch;
        drain_staged(queue);
        publish(queue);
    } while (batch || answered != queue->ring.rsp_prod_pvt);
    scsiback_release_nexus(queue);
    if (queue->submitted)
        scsiback_poll_stores(queue); /* one may have set a deadline, or finished something */
    if (queue->broken)
        return -EPROTO;
    uint32_t moved = taken + resumed + (queue->ring.rsp_prod_pvt - first_response);
    return moved ? (int)moved : queue->submitted;
}

void pv_scsiback_stop(struct pv_scsiback_queue *queue)
{
    queue->stopped = true;
}

bool pv_scsiback_quiesce(struct pv_scsiback_queue *queue, uint64_t now)
{
    pv_scsiback_stop(queue);
    pv_scsiback_pump(queue, 0, now);
    return in_flight(queue) == 0;
}

uint32_t pv_scsiback_in_flight(const struct pv_scsiback_queue *queue)
{
    return in_flight(queue);
}
