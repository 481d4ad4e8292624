/* Advances a request from its private copy to its answer. */
#include "backends/scsi/scsiback_private.h"

struct scsiback_request *scsiback_make_request(struct pv_scsiback_queue *queue)
{
    size_t i = queue->made++;
    struct scsiback_request *request = &queue->requests[i];
    request->queue = queue;
    request->entry = pv_inflight_entry(queue->log, &queue->ring, (uint32_t)i);
    request->ring = (const struct vscsiif_request *)request->entry->slot;
    request->io.complete = scsiback_io_complete;
    request->io.iov = &request->iov;
    request->command.complete = scsiback_command_complete;
    request->list = queue->all_segments + i * scsiback_list_room(queue);
    request->iov.iov_base = queue->buffers + i * queue->buffer_size;
    request->command.data = request->iov.iov_base;
    return request;
}

static void write_response(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    const struct pv_scsi_command *command = &request->command;
    struct pv_vscsiif_response response; /* of its sense no more is set than is used */
    response.rqid = request->ring->rqid;
    response.act = 0;
    response.sense_len = command->sense_length;
    response.rslt = command->result;
    response.residual_len = command->residual;
    memcpy(response.sense, command->sense, command->sense_length);
    pv_vscsiif_encode_response(&response,
                               pv_back_response_slot(&queue->ring, queue->ring.rsp_prod_pvt));
    pv_inflight_answer(request->entry, queue->ring.rsp_prod_pvt);
    queue->stats.responses++;
}

static void respond(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    struct scsiback_request *abort = request->aborts;
    if (request->is_direct)
        pv_scsi_direct_end(request->nexus);
    if (request->nexus)
        scsiback_drop_lun(queue, request);
    if (!queue->broken)
        write_response(queue, request);
    queue->ring.rsp_prod_pvt++; /* on a broken ring too: it counts what is in flight */
    request_list_add(&queue->answered, request);
    while (request->ring->act == VSCSIIF_ACT_SCSI_CDB && abort) {
        struct scsiback_request *next = abort->aborts;
        respond(queue, abort); /* no CDB, so this does not go on */
        abort = next;
    }
}

static void fail(struct pv_scsiback_queue *queue, struct scsiback_request *request,
                 enum pv_scsiback_error error)
{
    queue->stats.errors[error]++;
    request->command.result = error == PV_SCSIBACK_NO_LUN ? SCSIBACK_NO_CONNECT : SCSIBACK_ERROR;
    request->command.sense_length = 0;
    request->command.residual = 0;
    respond(queue, request);
}

/* Whether it is behind the other on the ring. */
static bool is_behind(const struct scsiback_request *request, const struct scsiback_request *other)
{
    return (int32_t)(request->entry->request - other->entry->request) > 0;
}

/* A command without data is ready before one whose data are still to be copied, and would overtake
 * it on the way to the unit. */
static enum scsiback_next stage_emulation(struct pv_scsiback_queue *queue,
                                          struct scsiback_request *request)
{
    struct scsiback_request **at = &queue->emulated.head;
    if (request->command.aborted) {
        request->command.result = SCSIBACK_ABORTED;
        return SCSIBACK_ANSWER;
    }
    queue->stats.emulated += !request->command.reset;
    request->is_submitted = true;
    while (*at && is_behind(request, *at))
        at = &(*at)->next;
    request->next = *at;
    *at = request;
    if (!request->next)
        queue->emulated.tail = &request->next;
    return SCSIBACK_NOTHING;
}

void scsiback_emulate_staged(struct pv_scsiback_queue *queue)
{
    struct scsiback_request *request = request_list_take_all(&queue->emulated);
    while (request) {
        struct scsiback_request *next = request->next;
        pv_scsi_unit_submit(&request->command);
        request = next;
    }
}

/* Which of its bytes go which way; then what comes from the guest. */
static enum scsiback_next begin_emulation(struct pv_scsiback_queue *queue,
                                          struct scsiback_request *request)
{
    struct pv_scsi_command *command = &request->command;
    const struct vscsiif_request *ring = request->ring;
    command->nexus = request->nexus;
    command->cdb_length = ring->cmd_len;
    memcpy(command->cdb, ring->cmnd, sizeof command->cdb);
    memcpy(command->identity, queue->log->nonce, PV_INFLIGHT_NONCE);
    memcpy(command->identity + PV_INFLIGHT_NONCE, &request->entry->request,
           sizeof request->entry->request);
    command->data_out = ring->sc_data_direction != VSCSIIF_FROM_DEVICE ? request->bytes : 0;
    command->room = ring->sc_data_direction != VSCSIIF_TO_DEVICE ? request->bytes : 0;
    if (command->data_out == 0)
        return SCSIBACK_EMULATE;
    return scsiback_copy(queue, request, false, command->data, command->data_out, SCSIBACK_EMULATE);
}

static enum scsiback_next choose(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    queue->bytes_left -= request->bytes;
    if (scsiback_choose_direct(queue, request))
        return scsiback_start_direct(queue, request);
    return begin_emulation(queue, request);
}

static enum scsiback_next check_segments(struct pv_scsiback_queue *queue,
                                         struct scsiback_request *request)
{
    int error = scsiback_check_segments(queue, request);
    if (error == SCSIBACK_OK)
        return SCSIBACK_CHOOSE;
    fail(queue, request, (enum pv_scsiback_error)error);
    return SCSIBACK_NOTHING;
}

/* Takes the next steps until the request is answered or has to wait. */
static void advance(struct pv_scsiback_queue *queue, struct scsiback_request *request,
                    enum scsiback_next next)
{
    if (next == SCSIBACK_CHECK_SEGMENTS)
        next = check_segments(queue, request);
    if (next == SCSIBACK_CHOOSE)
        next = choose(queue, request);
    if (next == SCSIBACK_DIRECT_DONE)
        next = scsiback_finish_direct(queue, request);
    if (next == SCSIBACK_EMULATE)
        next = stage_emulation(queue, request);
    if (next == SCSIBACK_SUBMIT)
        queue->submissions[queue->submission_count++] = &request->io;
    else if (next == SCSIBACK_WAIT_COPIES)
        request_list_add(&queue->copying, request);
    else if (next == SCSIBACK_ANSWER)
        respond(queue, request);
}

static void reset_request(struct scsiback_request *request)
{
    struct pv_scsi_command *command = &request->command;
    request->copy_failed = request->is_direct = request->is_submitted = false;
    request->nr_segments = request->bytes = 0;
    request->seg = request->ring->seg;
    request->aborts = NULL;
    command->reset = false;
    command->aborted = 0;
    command->result = 0;
    command->residual = 0;
    command->sense_length = 0;
}

/* What the data are: nothing, segments in the slot, or a list of them elsewhere. */
static enum scsiback_next begin_cdb(struct pv_scsiback_queue *queue,
                                    struct scsiback_request *request)
{
    const struct vscsiif_request *ring = request->ring;
    int error = SCSIBACK_OK;
    if (ring->sc_data_direction == VSCSIIF_NO_DATA || ring->nr_segments == 0)
        return SCSIBACK_CHOOSE;
    bool has_list = ring->nr_segments & VSCSIIF_SG_GRANT;
    request->nr_segments = ring->nr_segments;
    if (has_list)
        error = scsiback_check_list(queue, request);
    else if (ring->nr_segments > VSCSIIF_SG_TABLESIZE)
        error = PV_SCSIBACK_BAD_SEGMENT_COUNT;
    if (error == SCSIBACK_OK)
        return has_list ? scsiback_fetch_list(queue, request) : SCSIBACK_CHECK_SEGMENTS;
    fail(queue, request, (enum pv_scsiback_error)error);
    return SCSIBACK_NOTHING;
}

void scsiback_begin(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    reset_request(request);
    int error =
        scsiback_find_lun(queue, request) ? scsiback_check_head(request->ring) : PV_SCSIBACK_NO_LUN;
    if (error != SCSIBACK_OK) {
        fail(queue, request, (enum pv_scsiback_error)error);
        return;
    }
    request->command.nexus = request->nexus;
    switch (request->ring->act) {
    case VSCSIIF_ACT_SCSI_ABORT:
        advance(queue, request, scsiback_begin_abort(queue, request));
        return;
    case VSCSIIF_ACT_SCSI_RESET:
        advance(queue, request, scsiback_begin_reset(queue, request));
        return;
    default:
        advance(queue, request, begin_cdb(queue, request));
    }
}

void scsiback_copies_done(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    if (request->copy_failed)
        fail(queue, request, PV_SCSIBACK_BAD_GRANT);
    else
        advance(queue, request, request->after_copies);
}

void scsiback_store_done(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    if (request->io.status == 0) {
        advance(queue, request, scsiback_finish_direct(queue, request));
        return;
    }
    queue->stats.errors[PV_SCSIBACK_STORE_ERROR]++;
    pv_scsi_direct_end(request->nexus);
    request->is_direct = false;
    advance(queue, request, begin_emulation(queue, request)); /* it knows the sense for it */
}

void scsiback_unit_done(struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    struct pv_scsi_command *command = &request->command;
    request->is_submitted = false;
    if (command->reset || command->data_in == 0)
        respond(queue, request);
    else
        advance(
            queue, request,
            scsiback_copy(queue, request, true, command->data, command->data_in, SCSIBACK_ANSWER));
}
