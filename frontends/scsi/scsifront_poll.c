/* Takes responses. Nothing in one is used before it has been checked. */
#include "frontends/scsi/scsifront_private.h"

#include <string.h>

#define PREFETCHED 4u /* slots prefetched from the backend's cache while one is worked on */
/* Bytes of each: an answer, and the head of the request that will be written over it. */
#define PREFETCHED_SIZE offsetof(struct vscsiif_response, reserved)

static int break_queue(struct pv_scsifront_queue *queue, enum pv_scsifront_violation violation)
{
    queue->violation = violation;
    queue->stats.violations++;
    return -EPROTO;
}

static enum pv_scsifront_violation check(const struct pv_scsifront_queue *queue,
                                         const struct pv_vscsiif_response *response)
{
    if (response->rqid >= queue->ring.nr_ents)
        return PV_SCSIFRONT_BAD_RQID;
    if (!queue->shadows[response->rqid].on_ring)
        return PV_SCSIFRONT_IDLE_RQID;
    return response->sense_len > VSCSIIF_SENSE_BUFFERSIZE ? PV_SCSIFRONT_SENSE_OVERFLOW
                                                          : PV_SCSIFRONT_OK;
}

static void copy_out(struct pv_scsifront_queue *queue, const struct shadow *shadow, uint32_t length)
{
    uint8_t *data = shadow->command->data;
    uint32_t page_size = queue->page_size;
    for (uint32_t done = 0, i = 0; done < length; done += page_size, i++) {
        uint32_t bytes = length - done < page_size ? length - done : page_size;
        memcpy(data + done, page_pool_address(&queue->pool, shadow->pages[i]), bytes);
    }
    queue->stats.bytes_copied += length;
}

/* Linux' target counts what a unit had, or wanted, beyond the data as a residual as well. If that
 * is more than there are data, then all of them were transferred. */
static uint32_t residual_of(struct pv_scsifront_queue *queue,
                            const struct pv_scsifront_command *command,
                            const struct pv_vscsiif_response *response)
{
    if (response->residual_len <= command->length)
        return response->residual_len;
    queue->stats.overflows++;
    return 0;
}

/* Whether the logical unit has answered, as pvdrivers/scsi/result.py reads it. */
static bool is_answered(int32_t rslt)
{
    uint32_t word = (uint32_t)rslt, status = word & 0xFF, host = word >> 16 & 0xFF;
    return host == 0 && (status != 0 || word >> 24 == 0);
}

static void take_answer(struct pv_scsifront_queue *queue, const struct shadow *shadow,
                        const struct pv_vscsiif_response *response)
{
    struct pv_scsifront_command *command = shadow->command;
    command->residual = residual_of(queue, command, response);
    command->sense_length = response->sense_len;
    memcpy(command->sense, response->sense, response->sense_len);
    if (!is_answered(response->rslt))
        command->residual = command->length; /* the pages hold nothing of the unit's data */
    else if (command->direction == VSCSIIF_FROM_DEVICE && !command->in_place)
        copy_out(queue, shadow, command->length - command->residual);
    queue->stats.errors += response->rslt != 0;
}

/* A command that is over, though the backend may not say so: Linux' does not. */
static void end_unanswered(struct pv_scsifront_queue *queue, struct shadow *shadow, int32_t rslt)
{
    pv_scsifront_finish_unanswered(queue, shadow->command, rslt);
    shadow->command = NULL;
    queue->in_flight--;
}

static void end_subject(struct pv_scsifront_queue *queue, const struct pv_scsifront_command *abort)
{
    struct shadow *subject = subject_of(queue, abort);
    if (subject)
        end_unanswered(queue, subject, RSLT_ABORT);
}

/* Those of the logical unit that were submitted before its RESET. */
static void end_reset(struct pv_scsifront_queue *queue, const struct pv_scsifront_command *reset)
{
    for (uint32_t rqid = 0; rqid < queue->ring.nr_ents; rqid++) {
        const struct pv_scsifront_command *command = queue->shadows[rqid].command;
        if (command && command->act == VSCSIIF_ACT_SCSI_CDB && command->serial < reset->serial &&
            command->channel == reset->channel && command->target == reset->target &&
            command->lun == reset->lun)
            end_unanswered(queue, &queue->shadows[rqid], RSLT_RESET);
    }
}

static void take_management(struct pv_scsifront_queue *queue,
                            const struct pv_scsifront_command *command, int32_t rslt)
{
    if (rslt != VSCSIIF_RSLT_RESET_SUCCESS)
        return;
    if (command->act == VSCSIIF_ACT_SCSI_ABORT)
        end_subject(queue, command);
    else
        end_reset(queue, command);
}

static int take_response(struct pv_scsifront_queue *queue)
{
    struct pv_vscsiif_response response;
    pv_vscsiif_decode_response(pv_front_response_slot(&queue->ring, queue->ring.rsp_cons),
                               &response);
    enum pv_scsifront_violation violation = check(queue, &response);
    if (violation)
        return break_queue(queue, violation);

    struct shadow *shadow = &queue->shadows[response.rqid];
    struct pv_scsifront_command *command = shadow->command;
    if (command && command->act == VSCSIIF_ACT_SCSI_CDB)
        take_answer(queue, shadow, &response);
    pv_scsifront_release(queue, shadow);
    queue->ring.rsp_cons++;
    queue->stats.responses++;
    if (!command)
        return 0;
    if (command->act != VSCSIIF_ACT_SCSI_CDB)
        take_management(queue, command, response.rslt);
    pv_scsifront_finish(queue, command, response.rslt);
    return 0;
}

static int take_responses(struct pv_scsifront_queue *queue, unsigned most)
{
    int ready = pv_front_unconsumed_responses(&queue->ring);
    if (ready < 0)
        return break_queue(queue, PV_SCSIFRONT_RESPONSE_OVERFLOW);
    if ((unsigned)ready < most)
        most = (unsigned)ready;
    for (unsigned i = 0; i < most && i < PREFETCHED; i++)
        pv_front_prefetch(&queue->ring, queue->ring.rsp_cons + i, PREFETCHED_SIZE);
    int error = 0;
    for (unsigned taken = 0; taken < most && !error; taken++) {
        if (taken + PREFETCHED < most)
            pv_front_prefetch(&queue->ring, queue->ring.rsp_cons + PREFETCHED, PREFETCHED_SIZE);
        error = take_response(queue);
    }
    return error;
}

int pv_scsifront_poll(struct pv_scsifront_queue *queue, struct pv_scsifront_command **done,
                      unsigned budget)
{
    if (queue->violation)
        return -EPROTO;
    if (queue->state != QUEUE_CONNECTED)
        return -ENOTCONN;
    int error = take_responses(queue, budget);
    if (!error)
        pv_scsifront_issue(queue);
    unsigned count = 0;
    while (count < budget && queue->finished.first) {
        done[count] = queue->finished.first;
        pv_scsifront_list_remove(&queue->finished, done[count++]);
    }
    queue->outstanding -= count;
    /* Commands that were answered before the violation still end. */
    return error && count == 0 ? error : (int)count;
}

unsigned pv_scsifront_hand_out(struct pv_scsifront_command **done, unsigned count)
{
    unsigned left = 0;
    for (unsigned i = 0; i < count; i++) {
        if (done[i]->finished)
            done[i]->finished(done[i]);
        else
            done[left++] = done[i];
    }
    return left;
}

bool pv_scsifront_has_news(const struct pv_scsifront_queue *queue)
{
    return queue->state != QUEUE_CONNECTED || queue->violation || queue->finished.first ||
           pv_front_unconsumed_responses(&queue->ring) != 0;
}

bool pv_scsifront_arm(struct pv_scsifront_queue *queue)
{
    if (queue->state != QUEUE_CONNECTED || queue->violation)
        return true;
    return pv_front_final_check(&queue->ring) || queue->finished.first;
}
