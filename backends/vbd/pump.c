/* One pump: take requests, carry out what is staged, answer, publish, decide once to notify. */
#include "backends/vbd/blkback_private.h"

#define PREFETCHED 4u /* slots prefetched from the frontend's cache while one is worked on */

static uint32_t in_flight(const struct pv_blkback_queue *queue)
{
    return queue->ring.req_cons - queue->ring.rsp_prod_pvt;
}

/* With indices that cannot be trusted no request may be read: the ring stops for good. */
static void break_ring(struct pv_blkback_queue *queue)
{
    queue->broken = true;
    queue->stats.ring_overruns++;
    blkback_report_fault(queue);
}

/* New requests have to wait: for a barrier, or for buffers. */
static bool is_held_up(const struct pv_blkback_queue *queue)
{
    return queue->barrier_request || queue->waiting.head;
}

static bool may_take(const struct pv_blkback_queue *queue)
{
    return !queue->broken && !queue->stopped && !queue->resumed && !is_held_up(queue);
}

static uint32_t begin_resumed(struct pv_blkback_queue *queue)
{
    uint32_t before = queue->resumed_count;
    while (queue->resumed && !is_held_up(queue)) {
        struct blkback_request *request = queue->resumed;
        queue->resumed = request->next;
        queue->resumed_count--;
        blkback_begin(queue, request);
    }
    return before - queue->resumed_count;
}

static struct blkback_request *free_request(struct pv_blkback_queue *queue)
{
    struct blkback_request *request = queue->free;
    if (!request)
        return queue->made < queue->ring.nr_ents ? blkback_make_request(queue) : NULL;
    queue->free = request->next;
    return request;
}

static void take_request(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    struct pv_back_ring *ring = &queue->ring;
    uint8_t *slot = request->entry->slot;
    pv_back_copy_request(ring, ring->req_cons, slot, BLKIF_HEAD_SIZE);
    if (!pv_blkif_fits_head(slot))
        pv_back_copy_request_rest(ring, ring->req_cons, slot, BLKIF_HEAD_SIZE, ring->slot_size);
    pv_inflight_take(queue->log, request->entry, ring);
    pv_blkif_decode_request(queue->abi, slot, &request->ring);
}

static uint32_t take_requests(struct pv_blkback_queue *queue, uint32_t most)
{
    uint32_t taken = 0;
    if (most == 0 || !may_take(queue))
        return 0;
    int ready = pv_back_unconsumed_requests(&queue->ring);
    if (ready < 0) {
        break_ring(queue);
        return 0;
    }
    if ((uint32_t)ready < most)
        most = (uint32_t)ready;
    for (uint32_t i = 0; i < most && i < PREFETCHED; i++)
        pv_back_prefetch(&queue->ring, queue->ring.req_cons + i, BLKIF_HEAD_SIZE);
    struct blkback_request *request;
    while (taken < most && queue->bytes_left > 0 && !is_held_up(queue) &&
           (request = free_request(queue))) {
        if (taken + PREFETCHED < most)
            pv_back_prefetch(&queue->ring, queue->ring.req_cons + PREFETCHED, BLKIF_HEAD_SIZE);
        take_request(queue, request);
        taken++;
        blkback_begin(queue, request);
    }
    queue->stats.requests += taken;
    return taken;
}

static void take_finished(struct pv_blkback_queue *queue)
{
    struct pv_blk_io *io = completions_take(&queue->completions);
    while (io) {
        struct pv_blk_io *next = io->next;
        blkback_store_done(queue, (struct blkback_request *)io);
        io = next;
    }
}

static void run_copies(struct pv_blkback_queue *queue)
{
    copy_batch_flush(&queue->copies);
    struct blkback_request *request = request_list_take_all(&queue->copying);
    while (request) {
        struct blkback_request *next = request->next;
        blkback_copies_done(queue, request);
        request = next;
    }
}

static void start_waiting(struct pv_blkback_queue *queue)
{
    struct blkback_request *head = queue->waiting.head;
    if (head && queue->free_buffer_count >= head->nr_segments) {
        struct blkback_request *request = request_list_take_all(&queue->waiting);
        while (request) {
            struct blkback_request *next = request->next;
            blkback_buffers_freed(queue, request); /* those without room wait again */
            request = next;
        }
    }
    if (queue->barrier_request && !queue->barrier_started &&
        in_flight(queue) - queue->resumed_count == 1)
        blkback_start_barrier(queue);
}

/* Ends when every request left is with the store or waits for it. */
static void drain_staged(struct pv_blkback_queue *queue)
{
    do {
        run_copies(queue);
        blkback_submit_staged(queue);
        take_finished(queue);
        start_waiting(queue);
    } while (queue->copying.head || queue->submission_count);
}

static void free_answered(struct pv_blkback_queue *queue)
{
    for (struct blkback_request *request = queue->answered.head; request; request = request->next)
        pv_inflight_forget(request->entry);
    *queue->answered.tail = queue->free;
    queue->free = request_list_take_all(&queue->answered);
}

static void publish(struct pv_blkback_queue *queue)
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

static bool expiry_is_due(const struct pv_blkback_queue *queue)
{
    return queue->persistent && queue->now - queue->last_expiry >= BLKBACK_EXPIRE_INTERVAL;
}

static void expire_grants(struct pv_blkback_queue *queue)
{
    if (!expiry_is_due(queue))
        return;
    queue->last_expiry = queue->now;
    grant_cache_expire(&queue->cache, queue->now);
}

/* Return early when idle: a poller then sees new requests sooner. */
static bool is_idle(const struct pv_blkback_queue *queue)
{
    return in_flight(queue) == 0 && !queue->completions.slept && !expiry_is_due(queue) &&
           !queue->broken && pv_back_unconsumed_requests(&queue->ring) == 0;
}

int pv_blkback_pump(struct pv_blkback_queue *queue, uint32_t budget, uint64_t now)
{
    queue->now = now;
    if (!queue->ring.sring || is_idle(queue))
        return 0;
    uint32_t first_response = queue->ring.rsp_prod_pvt;
    uint32_t taken = 0, resumed = 0, batch, answered;
    queue->submitted = false;
    queue->bytes_left = BLKBACK_MAX_BYTES;
    completions_wake(&queue->completions);
    expire_grants(queue);
    blkback_poll_store(queue);
    do { /* an answer may have made room for what could not be taken before */
        uint32_t most = budget - taken;
        answered = queue->ring.rsp_prod_pvt;
        resumed += begin_resumed(queue);
        batch = take_requests(queue, most < BLKBACK_BATCH ? most : BLKBACK_BATCH);
        taken += batch;
        drain_staged(queue);
        publish(queue);
    } while (batch || answered != queue->ring.rsp_prod_pvt);
    if (queue->submitted)
        blkback_poll_store(queue); /* it may have set a deadline, or finished something */
    if (queue->broken)
        return -EPROTO;
    uint32_t moved = taken + resumed + (queue->ring.rsp_prod_pvt - first_response);
    return moved ? (int)moved : queue->submitted;
}

void pv_blkback_stop(struct pv_blkback_queue *queue)
{
    queue->stopped = true;
}

bool pv_blkback_quiesce(struct pv_blkback_queue *queue, uint64_t now)
{
    pv_blkback_stop(queue);
    pv_blkback_pump(queue, 0, now);
    return in_flight(queue) == 0;
}

uint32_t pv_blkback_in_flight(const struct pv_blkback_queue *queue)
{
    return in_flight(queue);
}
