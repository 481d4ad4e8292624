/* The codecs of the SCSI protocol: see vscsiif.h. */
#include "pvdrivers/ring/vscsiif.h"

#include "pvdrivers/ring/abi_vscsiif.h"
#include "pvdrivers/ring/barrier.h"

#include <string.h>

/* Bytes of segments in the slot. */
static size_t segment_bytes(uint8_t nr_segments)
{
    unsigned count = nr_segments & ~VSCSIIF_SG_GRANT;
    if (count > VSCSIIF_SG_TABLESIZE)
        count = VSCSIIF_SG_TABLESIZE;
    return count * sizeof(struct pv_vscsiif_segment);
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

size_t pv_vscsiif_request_size(const void *head)
{
    const struct vscsiif_request *request = head;
    return VSCSIIF_HEAD_SIZE + segment_bytes(request->nr_segments);
}

void pv_vscsiif_encode_request(const struct pv_vscsiif_request *request, void *slot)
{
    struct vscsiif_request *to = slot;
    to->rqid = request->rqid;
    to->act = request->act;
    to->cmd_len = request->cmd_len;
    memcpy(to->cmnd, request->cmnd, sizeof to->cmnd);
    to->timeout_per_command = 0;
    to->channel = request->channel;
    to->id = request->id;
    to->lun = request->lun;
    to->ref_rqid = request->ref_rqid;
    to->sc_data_direction = request->sc_data_direction;
    to->nr_segments = request->nr_segments;
    memcpy(to->seg, request->seg, segment_bytes(request->nr_segments));
}

static size_t sense_bytes(uint8_t sense_len)
{
    return sense_len < VSCSIIF_SENSE_BUFFERSIZE ? sense_len : VSCSIIF_SENSE_BUFFERSIZE;
}

void pv_vscsiif_decode_response(const void *slot, struct pv_vscsiif_response *response)
{
    const struct vscsiif_response *from = slot;
    response->rqid = from->rqid;
    response->act = from->act;
    response->sense_len = pv_read_once_byte(&from->sense_len);
    response->rslt = from->rslt;
    response->residual_len = from->residual_len;
    memcpy(response->sense, from->sense_buffer, sense_bytes(response->sense_len));
    /* From here on only the copy exists for the compiler (XSA-155). */
    pv_compiler_barrier();
}

void pv_vscsiif_encode_response(const struct pv_vscsiif_response *response, void *slot)
{
    struct vscsiif_response *to = slot;
    to->rqid = response->rqid;
    to->act = response->act;
    to->sense_len = response->sense_len;
    memcpy(to->sense_buffer, response->sense, sense_bytes(response->sense_len));
    to->rslt = response->rslt;
    to->residual_len = response->residual_len;
}
