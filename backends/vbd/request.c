/* A request's way from its private copy through its plan of store operations to its answer. */
#include "backends/vbd/blkback_private.h"

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

void blkback_fail(struct pv_blkback_queue *queue, struct blkback_request *request,
                  enum pv_blkback_error error)
{
    queue->stats.errors[error]++;
    respond(queue, request,
            error == PV_BLKBACK_BAD_OPERATION ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
}

static void add_step(struct blkback_request *request, enum pv_blk_op op)
{
    request->plan[request->steps++] = op;
}

/* The table of operations: what each one asks of the store, in order. */
static void make_plan(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    bool can_flush = queue->store->geometry.can_flush;
    request->steps = request->step = 0;
    switch (request->operation) {
    case BLKIF_OP_READ:
        add_step(request, PV_BLK_READ);
        queue->stats.rd_req++;
        queue->stats.rd_sect += request->nr_sectors;
        return;
    case BLKIF_OP_WRITE:
        add_step(request, PV_BLK_WRITE);
        queue->stats.wr_req++;
        queue->stats.wr_sect += request->nr_sectors;
        return;
    case BLKIF_OP_DISCARD:
        if (request->nr_sectors)
            add_step(request, PV_BLK_DISCARD);
        queue->stats.ds_req++;
        return;
    default: /* FLUSH_DISKCACHE and WRITE_BARRIER, each perhaps with data */
        if (can_flush)
            add_step(request, PV_BLK_FLUSH);
        if (request->nr_sectors)
            add_step(request, PV_BLK_WRITE);
        if (can_flush && request->nr_sectors && request->operation == BLKIF_OP_WRITE_BARRIER)
            add_step(request, PV_BLK_FLUSH);
        queue->stats.f_req++;
        queue->stats.wr_sect += request->nr_sectors;
    }
}

static void start_step(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    enum pv_blk_op op = request->plan[request->step];
    struct pv_blk_io *io = &request->io;
    io->op = op;
    io->sector = op == PV_BLK_FLUSH ? 0 : request->ring.sector_number; /* a flush has no range */
    io->nr_sectors = op == PV_BLK_FLUSH ? 0 : request->nr_sectors;
    io->iov_count = 0;
    io->secure = op == PV_BLK_DISCARD && queue->secure_discard &&
                 (request->ring.discard_flags & BLKIF_DISCARD_SECURE);
    if (op == PV_BLK_READ || op == PV_BLK_WRITE)
        blkback_start_data(queue, request);
    else
        blkback_submit(queue, request);
}

void blkback_advance(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    if (request->step < request->steps)
        start_step(queue, request);
    else
        respond(queue, request, BLKIF_RSP_OKAY);
}

void blkback_check_and_start(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    int error = blkback_check_segments(queue, request);
    if (request->operation == BLKIF_OP_DISCARD)
        request->nr_sectors = request->ring.nr_sectors;
    if (error == BLKBACK_OK)
        error = blkback_check_range(queue, request);
    if (error != BLKBACK_OK) {
        blkback_fail(queue, request, (enum pv_blkback_error)error);
        return;
    }
    make_plan(queue, request);
    if (request->operation != BLKIF_OP_WRITE_BARRIER) {
        blkback_advance(queue, request);
        return;
    }
    /* Everything taken before is answered first, and nothing is taken behind it. */
    queue->barrier_request = request;
    queue->barrier_started = false;
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
        blkback_fail(queue, request, (enum pv_blkback_error)error);
        return;
    }
    request->nr_segments = ring->operation == BLKIF_OP_DISCARD ? 0 : ring->nr_segments;
    queue->bytes_left -= (int64_t)request->nr_segments * queue->page_size;
    if (indirect)
        blkback_fetch_descriptors(queue, request);
    else
        blkback_check_and_start(queue, request);
}

void blkback_submit(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    queue->submissions[queue->submission_count++] = &request->io;
}

void blkback_copies_done(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    switch (request->stage) {
    case BLKBACK_FETCH:
        blkback_check_and_start(queue, request);
        break;
    case BLKBACK_LOAD:
        blkback_submit(queue, request);
        break;
    case BLKBACK_UNLOAD:
    case BLKBACK_MOVE:
        blkback_step_done(queue, request);
        break;
    }
}

void blkback_store_done(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    if (request->io.status == 0) {
        if (request->io.op == PV_BLK_READ && request->nr_buffers)
            blkback_unload(queue, request);
        else
            blkback_step_done(queue, request);
        return;
    }
    queue->stats.errors[PV_BLKBACK_STORE_ERROR]++;
    bool unsupported = request->io.status == -EOPNOTSUPP && request->operation != BLKIF_OP_READ &&
                       request->operation != BLKIF_OP_WRITE;
    if (!unsupported) /* which the frontend is told, and stops to ask for */
        blkback_note_store_error(queue, &request->io);
    respond(queue, request, unsupported ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
}

void blkback_step_done(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    blkback_release_data(queue, request);
    request->step++;
    blkback_advance(queue, request);
}
