/* Grant copies of a request: its list of segments, each part of which is copied once, and its data.
 */
#include "backends/scsi/scsiback_private.h"

/* A list's descriptors are laid out as struct pv_vscsiif_segment on every ABI. */
static_assert(sizeof(struct pv_vscsiif_segment) == 8, "the ABI's descriptor");

static enum scsiback_next wait(struct scsiback_request *request, enum scsiback_next after)
{
    request->after_copies = after;
    return SCSIBACK_WAIT_COPIES;
}

enum scsiback_next scsiback_fetch_list(struct pv_scsiback_queue *queue,
                                       struct scsiback_request *request)
{
    uint32_t parts = request->ring->nr_segments & ~(uint32_t)VSCSIIF_SG_GRANT;
    uint8_t *to = (uint8_t *)request->list;
    for (uint32_t i = 0; i < parts; i++) {
        const struct pv_vscsiif_segment *part = &request->ring->seg[i];
        if (part->length)
            copy_batch_from_grant(&queue->copies, part->gref, part->offset, to, part->length,
                                  &request->copy_failed);
        to += part->length;
    }
    request->seg = request->list;
    return wait(request, SCSIBACK_CHECK_SEGMENTS);
}

enum scsiback_next scsiback_copy(struct pv_scsiback_queue *queue, struct scsiback_request *request,
                                 bool to_guest, uint8_t *memory, uint32_t bytes,
                                 enum scsiback_next after)
{
    for (const struct pv_vscsiif_segment *segment = request->seg; bytes > 0; segment++) {
        uint16_t here = segment->length < bytes ? segment->length : (uint16_t)bytes;
        if (here == 0)
            continue;
        if (to_guest)
            copy_batch_to_grant(&queue->copies, segment->gref, segment->offset, memory, here,
                                &request->copy_failed);
        else
            copy_batch_from_grant(&queue->copies, segment->gref, segment->offset, memory, here,
                                  &request->copy_failed);
        memory += here;
        bytes -= here;
    }
    return wait(request, after);
}
