/* ABORT and RESET. */
#include "backends/scsi/scsiback_private.h"

/* The CDB that an ABORT means, if it is still in flight at the same logical unit. */
static struct scsiback_request *find_task(struct pv_scsiback_queue *queue,
                                          const struct scsiback_request *abort)
{
    for (uint32_t i = 0; i < queue->made; i++) {
        struct scsiback_request *task = &queue->requests[i];
        if (task->nexus == abort->nexus && task->ring->act == VSCSIIF_ACT_SCSI_CDB &&
            task->ring->rqid == abort->ring->ref_rqid)
            return task;
    }
    return NULL;
}

/* An ABORT is answered right behind the CDB: with the CDB's own answer, should that be past
 * aborting. */
enum scsiback_next scsiback_begin_abort(struct pv_scsiback_queue *queue,
                                        struct scsiback_request *request)
{
    struct scsiback_request *task = find_task(queue, request);
    queue->stats.aborts++;
    if (!task) {
        request->command.result = VSCSIIF_RSLT_RESET_FAILED;
        return SCSIBACK_ANSWER;
    }
    request->command.result = VSCSIIF_RSLT_RESET_SUCCESS;
    request->aborts = task->aborts;
    task->aborts = request;
    if (task->is_submitted)
        pv_scsi_unit_abort(&task->command);
    else
        task->command.aborted = 1; /* it does not get to its unit any more */
    return SCSIBACK_NOTHING;
}

enum scsiback_next scsiback_begin_reset(struct pv_scsiback_queue *queue,
                                        struct scsiback_request *request)
{
    queue->stats.resets++;
    request->command.reset = true;
    return SCSIBACK_EMULATE;
}
