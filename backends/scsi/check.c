/* What a request may be, in the order of Linux's scsiback, so that a request with two faults gets
 * the same answer from both. */
#include "backends/scsi/scsiback_private.h"

int scsiback_check_head(const struct vscsiif_request *request)
{
    if (request->sc_data_direction > VSCSIIF_NO_DATA)
        return PV_SCSIBACK_BAD_DIRECTION;
    if (request->cmd_len > VSCSIIF_MAX_COMMAND_SIZE)
        return PV_SCSIBACK_BAD_COMMAND_LENGTH;
    switch (request->act) {
    case VSCSIIF_ACT_SCSI_CDB:
    case VSCSIIF_ACT_SCSI_ABORT:
    case VSCSIIF_ACT_SCSI_RESET:
        return SCSIBACK_OK;
    default:
        return PV_SCSIBACK_BAD_ACT;
    }
}

static bool within_page(const struct pv_scsiback_queue *queue,
                        const struct pv_vscsiif_segment *segment)
{
    return (uint32_t)segment->offset + segment->length <= queue->page_size;
}

/* The slot's segments name the parts of the list. */
int scsiback_check_list(const struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    uint32_t parts = request->ring->nr_segments & ~(uint32_t)VSCSIIF_SG_GRANT, bytes = 0;
    if (queue->max_list == 0 || parts == 0 || parts > VSCSIIF_SG_TABLESIZE)
        return PV_SCSIBACK_BAD_SEGMENT_COUNT;
    for (uint32_t i = 0; i < parts; i++) {
        const struct pv_vscsiif_segment *part = &request->ring->seg[i];
        if (!within_page(queue, part) || part->length % sizeof(struct pv_vscsiif_segment) != 0)
            return PV_SCSIBACK_BAD_LIST;
        bytes += part->length;
    }
    request->nr_segments = bytes / sizeof(struct pv_vscsiif_segment);
    bool fits = request->nr_segments > 0 && request->nr_segments <= queue->max_list;
    return fits ? SCSIBACK_OK : PV_SCSIBACK_BAD_SEGMENT_COUNT;
}

int scsiback_check_segments(const struct pv_scsiback_queue *queue, struct scsiback_request *request)
{
    request->bytes = 0;
    for (uint32_t i = 0; i < request->nr_segments; i++) {
        if (!within_page(queue, &request->seg[i]))
            return PV_SCSIBACK_BAD_SEGMENT;
        request->bytes += request->seg[i].length;
    }
    return SCSIBACK_OK;
}
