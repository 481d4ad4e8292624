/* Commands from their submission to the ring, and from the ring to poll's caller. */
#include "frontends/scsi/scsifront_private.h"

/* ---- Lists --------------------------------------------------------------------------------- */

void pv_scsifront_list_append(struct command_list *list, struct pv_scsifront_command *command)
{
    command->next = NULL;
    command->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = command;
    list->last = command;
}

void pv_scsifront_list_remove(struct command_list *list, struct pv_scsifront_command *command)
{
    *(command->prev ? &command->prev->next : &list->first) = command->next;
    *(command->next ? &command->next->prev : &list->last) = command->prev;
    command->next = command->prev = NULL;
}

void pv_scsifront_finish(struct pv_scsifront_queue *queue, struct pv_scsifront_command *command,
                         int32_t rslt)
{
    command->place = PV_SCSIFRONT_FINISHED;
    command->rslt = rslt;
    pv_scsifront_list_append(&queue->finished, command);
}

void pv_scsifront_finish_unanswered(struct pv_scsifront_queue *queue,
                                    struct pv_scsifront_command *command, int32_t rslt)
{
    command->residual = command->length;
    pv_scsifront_finish(queue, command, rslt);
}

/* ---- Submission ---------------------------------------------------------------------------- */

static bool cdb_valid(const struct pv_scsifront_queue *queue,
                      const struct pv_scsifront_command *command)
{
    if (command->cdb_length == 0 || command->cdb_length > VSCSIIF_MAX_COMMAND_SIZE)
        return false;
    switch (command->direction) {
    case VSCSIIF_TO_DEVICE:
    case VSCSIIF_FROM_DEVICE:
        return command->length == 0 ||
               (command->data && command->length <= pv_scsifront_max_length(queue));
    case VSCSIIF_NO_DATA:
        return command->length == 0;
    default:
        return false;
    }
}

bool pv_scsifront_valid(const struct pv_scsifront_queue *queue,
                        const struct pv_scsifront_command *command)
{
    switch (command->act) {
    case VSCSIIF_ACT_SCSI_CDB:
        return cdb_valid(queue, command);
    case VSCSIIF_ACT_SCSI_ABORT:
        return command->subject && command->subject->act == VSCSIIF_ACT_SCSI_CDB;
    case VSCSIIF_ACT_SCSI_RESET:
        return true;
    default:
        return false;
    }
}

/* What is not on the ring is aborted without the backend. */
static void start_abort(struct pv_scsifront_queue *queue, struct pv_scsifront_command *abort)
{
    struct pv_scsifront_command *subject = abort->subject;
    if (subject->place == PV_SCSIFRONT_ON_RING) {
        abort->subject_rqid = subject->rqid;
        abort->subject_serial = subject->serial;
        pv_scsifront_list_append(&queue->urgent, abort);
        return;
    }
    if (subject->place == PV_SCSIFRONT_WAITING) {
        pv_scsifront_list_remove(&queue->waiting, subject);
        pv_scsifront_finish_unanswered(queue, subject, RSLT_ABORT);
    }
    pv_scsifront_finish(queue, abort, VSCSIIF_RSLT_RESET_SUCCESS);
}

void pv_scsifront_start(struct pv_scsifront_queue *queue, struct pv_scsifront_command *command)
{
    bool cdb = command->act == VSCSIIF_ACT_SCSI_CDB;
    if (!cdb)
        command->length = 0;
    command->place = PV_SCSIFRONT_WAITING;
    command->in_place =
        command->length > 0 && page_pool_is_buffer(&queue->pool, command->data, command->length);
    command->rslt = 0;
    command->residual = 0;
    command->sense_length = 0;
    command->serial = ++queue->serial;
    queue->outstanding++;
    if (command->act == VSCSIIF_ACT_SCSI_ABORT)
        start_abort(queue, command);
    else
        pv_scsifront_list_append(cdb ? &queue->waiting : &queue->urgent, command);
}

int pv_scsifront_submit(struct pv_scsifront_queue *queue, struct pv_scsifront_command **commands,
                        unsigned count)
{
    if (queue->violation)
        return -EPROTO;
    if (queue->state != QUEUE_CONNECTED)
        return -ENOTCONN;
    for (unsigned i = 0; i < count; i++)
        if (!pv_scsifront_valid(queue, commands[i]))
            return -EINVAL;
    for (unsigned i = 0; i < count; i++)
        pv_scsifront_start(queue, commands[i]);
    pv_scsifront_issue(queue);
    queue->stats.oo_req += queue->waiting.first || queue->urgent.first;
    return 0;
}
