/* Advances a request from its private copy through its store operations to its answer. */
#include "backends/vbd/blkback_private.h"

struct blkback_request *blkback_make_request(struct pv_blkback_queue *queue)
{
    size_t i = queue->made++;
    struct blkback_request *request = &queue->requests[i];
    request->queue = queue;
    request->entry = pv_inflight_entry(queue->log, &queue->ring, (uint32_t)i);
    request->io.complete = blkback_complete;
    request->indirect = queue->all_segments + i * queue->max_segments;
    request->io.iov = request->iov = queue->all_iov + i * queue->max_segments;
    request->grants = queue->all_grants + i * queue->max_segments;
    return request;
}

static void respond(struct pv_blkback_queue *queue, struct blkback_request *request, int16_t status)
{
    blkback_release_data(queue, request);
    if (!queue->broken) {
        const struct pv_blkif_response response = {
            .id = request->ring.id, .operation = request->operation, .status = status};
        void *slot = pv_back_response_slot(&queue->ring, queue->ring.rsp_prod_pvt);
        pv_blkif_encode_response(queue->abi, &response, slot);
        pv_inflight_answer(request->entry, queue->ring.rsp_prod_pvt);
        queue->stats.responses++;
    }
    queue->ring.rsp_prod_pvt++; /* on a broken ring too: it counts what is in flight */
    if (queue->barrier_request == request)
        queue->barrier_request = NULL;
    request_list_add(&queue->answered, request);
}

static void fail(struct pv_blkback_queue *queue, struct blkback_request *request,
                 enum pv_blkback_error error)
{
    queue->stats.errors[error]++;
    respond(queue, request,
            error == PV_BLKBACK_BAD_OPERATION ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
}

static void add_operation(struct blkback_request *request, enum pv_blk_op op)
{
    request->operations[request->nr_operations++] = op;
}

/* The table of requests: which operations each one asks of the store, in order. */
static void list_operations(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    bool can_flush = queue->store->geometry.can_flush;
    request->nr_operations = request->next_operation = 0;
    switch (request->operation) {
    case BLKIF_OP_READ:
        add_operation(request, PV_BLK_READ);
        queue->stats.rd_req++;
        queue->stats.rd_sect += request->nr_sectors;
        return;
    case BLKIF_OP_WRITE:
        add_operation(request, PV_BLK_WRITE);
        queue->stats.wr_req++;
        queue->stats.wr_sect += request->nr_sectors;
        return;
    case BLKIF_OP_DISCARD:
        if (request->nr_sectors)
            add_operation(request, PV_BLK_DISCARD);
        queue->stats.ds_req++;
        return;
    default: /* FLUSH_DISKCACHE and WRITE_BARRIER, each perhaps with data */
        if (can_flush)
            add_operation(request, PV_BLK_FLUSH);
        if (request->nr_sectors)
            add_operation(request, PV_BLK_WRITE);
        if (can_flush && request->nr_sectors && request->operation == BLKIF_OP_WRITE_BARRIER)
            add_operation(request, PV_BLK_FLUSH);
        queue->stats.f_req++;
        queue->stats.wr_sect += request->nr_sectors;
    }
}

static enum blkback_next start_operation(struct pv_blkback_queue *queue,
                                         struct blkback_request *request, enum pv_blk_op op)
{
    struct pv_blk_io *io = &request->io;
    io->op = op;
    io->sector = op == PV_BLK_FLUSH ? 0 : request->ring.sector_number; /* a flush has no range */
    io->nr_sectors = op == PV_BLK_FLUSH ? 0 : request->nr_sectors;
    io->iov_count = 0;
    io->secure = op == PV_BLK_DISCARD && queue->secure_discard &&
                 (request->ring.discard_flags & BLKIF_DISCARD_SECURE);
    if (op == PV_BLK_READ || op == PV_BLK_WRITE)
        return blkback_start_data(queue, request);
    return BLKBACK_SUBMIT;
}

/* Once the segments are known. */
static enum blkback_next check(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    int error = blkback_check_segments(queue, request);
    if (request->operation == BLKIF_OP_DISCARD)
        request->nr_sectors = request->ring.nr_sectors;
    if (error == BLKBACK_OK)
        error = blkback_check_range(queue, request);
    if (error != BLKBACK_OK) {
        fail(queue, request, (enum pv_blkback_error)error);
        return BLKBACK_NOTHING;
    }
    list_operations(queue, request);
    if (request->operation != BLKIF_OP_WRITE_BARRIER)
        return BLKBACK_OPERATION_DONE;
    /* Everything taken before is answered first, and nothing is taken behind it. */
    queue->barrier_request = request;
    queue->barrier_started = false;
    return BLKBACK_NOTHING;
}

static bool has_more_operations(const struct blkback_request *request)
{
    return request->next_operation < request->nr_operations;
}

/* Takes the next steps until the request is answered or has to wait. */
static void advance(struct pv_blkback_queue *queue, struct blkback_request *request,
                    enum blkback_next next)
{
    if (next == BLKBACK_CHECK)
        next = check(queue, request);
    while (next == BLKBACK_OPERATION_DONE && has_more_operations(request)) {
        if (request->next_operation > 0)
            blkback_release_data(queue, request);
        next = start_operation(queue, request, request->operations[request->next_operation++]);
    }
    if (next == BLKBACK_SUBMIT) {
        queue->submissions[queue->submission_count++] = &request->io;
    } else if (next == BLKBACK_OPERATION_DONE) {
        respond(queue, request, BLKIF_RSP_OKAY);
    } else if (next == BLKBACK_WAIT_COPIES) {
        request_list_add(&queue->copying, request);
    } else if (next == BLKBACK_WAIT_BUFFERS) {
        queue->stats.oo_req++;
        request_list_add(&queue->waiting, request);
    } else if (next == BLKBACK_BAD_GRANT) {
        fail(queue, request, PV_BLKBACK_BAD_GRANT);
    }
}

void blkback_begin(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    struct pv_blkif_request *ring = &request->ring;
    bool indirect = ring->operation == BLKIF_OP_INDIRECT;
    request->operation = indirect ? ring->indirect_op : ring->operation;
    request->copy_failed = false;
    request->seg = ring->seg;
    int error = blkback_check_operation(queue, ring);
    if (error == BLKBACK_OK)
        error = blkback_check_count(queue, ring);
    if (error != BLKBACK_OK) {
        fail(queue, request, (enum pv_blkback_error)error);
        return;
    }
    request->nr_segments = ring->operation == BLKIF_OP_DISCARD ? 0 : ring->nr_segments;
    queue->bytes_left -= (int64_t)request->nr_segments * queue->page_size;
    advance(queue, request, indirect ? blkback_fetch_descriptors(queue, request) : BLKBACK_CHECK);
}

void blkback_start_barrier(struct pv_blkback_queue *queue)
{
    queue->barrier_started = true;
    advance(queue, queue->barrier_request, BLKBACK_OPERATION_DONE);
}

void blkback_buffers_freed(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    advance(queue, request, blkback_start_data(queue, request));
}

void blkback_copies_done(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    advance(queue, request, request->copy_failed ? BLKBACK_BAD_GRANT : request->after_copies);
}

void blkback_store_done(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    if (request->io.status == 0) {
        enum blkback_next next = blkback_finish_data(queue, request);
        if (next == BLKBACK_OPERATION_DONE && !has_more_operations(request))
            respond(queue, request,
                    BLKIF_RSP_OKAY); /* most requests end here: it saves them a call */
        else
            advance(queue, request, next);
        return;
    }
    queue->stats.errors[PV_BLKBACK_STORE_ERROR]++;
    bool unsupported = request->io.status == -EOPNOTSUPP && request->operation != BLKIF_OP_READ &&
                       request->operation != BLKIF_OP_WRITE;
    if (!unsupported) /* the frontend learns that, and stops using it */
        blkback_note_store_error(queue, &request->io);
    respond(queue, request, unsupported ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
}
