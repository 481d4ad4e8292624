/* The codecs of the SCSI protocol: see vscsiif.h. */
#include "pvdrivers/ring/vscsiif.h"

#include "pvdrivers/ring/abi_vscsiif.h"

#include <string.h>

static_assert(sizeof(struct pv_vscsiif_segment) == sizeof(struct vscsiif_request_segment),
              "segments are copied as they lie");

/* Bytes of segments in the slot. */
static size_t segment_bytes(uint8_t nr_segments)
{
    unsigned count = nr_segments & ~VSCSIIF_SG_GRANT;
    if (count > VSCSIIF_SG_TABLESIZE)
        count = VSCSIIF_SG_TABLESIZE;
    return count * sizeof(struct vscsiif_request_segment);
}

void pv_vscsiif_decode_request(const void *slot, struct pv_vscsiif_request *request)
{
    const struct vscsiif_request *from = slot;
    request->rqid = from->rqid;
    request->act = from->act;
    request->cmd_len = from->cmd_len;
    memcpy(request->cmnd, from->cmnd, sizeof request->cmnd);
    request->channel = from->channel;
    request->id = from->id;
    request->lun = from->lun;
    request->ref_rqid = from->ref_rqid;
    request->sc_data_direction = from->sc_data_direction;
    request->nr_segments = from->nr_segments;
    memcpy(request->seg, from->seg, segment_bytes(from->nr_segments));
}

bool pv_vscsiif_fits_head(const void *head)
{
    const struct vscsiif_request *request = head;
    size_t used = offsetof(struct vscsiif_request, seg) + segment_bytes(request->nr_segments);
    return used <= VSCSIIF_HEAD_SIZE;
}

void pv_vscsiif_encode_request(const struct pv_vscsiif_request *request, void *slot)
{
    struct vscsiif_request *to = slot;
    memset(to, 0, offsetof(struct vscsiif_request, seg));
    to->rqid = request->rqid;
    to->act = request->act;
    to->cmd_len = request->cmd_len;
    memcpy(to->cmnd, request->cmnd, sizeof to->cmnd);
    to->channel = request->channel;
    to->id = request->id;
    to->lun = request->lun;
    to->ref_rqid = request->ref_rqid;
    to->sc_data_direction = request->sc_data_direction;
    to->nr_segments = request->nr_segments;
    memcpy(to->seg, request->seg, segment_bytes(request->nr_segments));
    memset(to->reserved, 0, sizeof to->reserved);
}

void pv_vscsiif_decode_response(const void *slot, struct pv_vscsiif_response *response)
{
    const struct vscsiif_response *from = slot;
    response->rqid = from->rqid;
    response->act = from->act;
    response->sense_len = from->sense_len;
    memcpy(response->sense, from->sense_buffer, sizeof response->sense);
    response->rslt = from->rslt;
    response->residual_len = from->residual_len;
}

void pv_vscsiif_encode_response(const struct pv_vscsiif_response *response, void *slot)
{
    struct vscsiif_response *to = slot;
    to->rqid = response->rqid;
    to->act = response->act;
    to->sense_len = response->sense_len;
    memset(to->sense_buffer, 0, sizeof to->sense_buffer);
    memcpy(to->sense_buffer, response->sense,
           response->sense_len < sizeof to->sense_buffer ? response->sense_len
                                                         : sizeof to->sense_buffer);
    to->rslt = response->rslt;
    to->residual_len = response->residual_len;
}
