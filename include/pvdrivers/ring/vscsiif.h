/*
 * The SCSI protocol (io/vscsiif.h): one decoded form of requests and responses, and the codecs
 * between it and a slot, which is the same for every ABI. Decoding reads a private copy of the
 * slot, never the ring.
 */
#ifndef PVDRIVERS_RING_VSCSIIF_H
#define PVDRIVERS_RING_VSCSIIF_H

#include "pvdrivers/types.h"

/* cffi: begin */
#define VSCSIIF_ACT_SCSI_CDB 1
#define VSCSIIF_ACT_SCSI_ABORT 2
#define VSCSIIF_ACT_SCSI_RESET 3
#define VSCSIIF_ACT_SCSI_SG_PRESET 4 /* deprecated; answered with an error */

#define VSCSIIF_SG_TABLESIZE 26
#define VSCSIIF_MAX_COMMAND_SIZE 16
#define VSCSIIF_SENSE_BUFFERSIZE 96
#define VSCSIIF_SG_GRANT 0x80 /* of nr_segments: the segments name pages with the real list */
#define VSCSIIF_SLOT_SIZE 252
#define VSCSIIF_HEAD_SIZE 32 /* a request without its segments */

/* Whole words of `rslt`, of ABORT and RESET. */
#define VSCSIIF_RSLT_RESET_SUCCESS 0x2002
#define VSCSIIF_RSLT_RESET_FAILED 0x2003

/* Linux's enum dma_data_direction, without a name in the header. */
#define VSCSIIF_BIDIRECTIONAL 0
#define VSCSIIF_TO_DEVICE 1
#define VSCSIIF_FROM_DEVICE 2
#define VSCSIIF_NO_DATA 3

struct pv_vscsiif_segment {
    grant_ref_t gref;
    uint16_t offset, length; /* bytes; inside one page */
};

struct pv_vscsiif_request {
    uint16_t rqid;
    uint8_t act; /* VSCSIIF_ACT_* */
    uint8_t cmd_len;
    uint8_t cmnd[VSCSIIF_MAX_COMMAND_SIZE];
    uint16_t channel, id, lun; /* virtual; the host is the ring's */
    uint16_t ref_rqid;         /* ABORT: of which request */
    uint8_t sc_data_direction;
    uint8_t nr_segments; /* VSCSIIF_SG_GRANT included */
    struct pv_vscsiif_segment seg[VSCSIIF_SG_TABLESIZE];
};

struct pv_vscsiif_response {
    uint16_t rqid;
    uint8_t act;
    uint8_t sense_len; /* bytes of sense, at most VSCSIIF_SENSE_BUFFERSIZE */
    uint8_t sense[VSCSIIF_SENSE_BUFFERSIZE];
    int32_t rslt;
    uint32_t residual_len; /* bytes asked for and not transferred */
};

/* Takes every field as it stands. Segments beyond the 26 that fit are not read, and array elements
 * that the request does not use are left alone; checking is the caller's. */
PV_API void pv_vscsiif_decode_request(const void *slot, struct pv_vscsiif_request *request);
/* Bytes of its slot that a request uses, VSCSIIF_HEAD_SIZE at least: of those no more are looked
 * at.
 */
PV_API size_t pv_vscsiif_request_size(const void *head);
/* Writes what the request uses of the slot and nothing else. */
PV_API void pv_vscsiif_encode_request(const struct pv_vscsiif_request *request, void *slot);
/* Reads no byte twice, so the slot may be the ring's. A sense_len beyond the buffer is taken as it
 * stands, and the whole buffer is copied; else sense bytes that are not used are left alone. */
PV_API void pv_vscsiif_decode_response(const void *slot, struct pv_vscsiif_response *response);
/* Writes what the response uses of the slot and nothing else: the rest of the slot, unused sense
 * bytes among it, keeps what the frontend wrote there or was told before (XSA-216). */
PV_API void pv_vscsiif_encode_response(const struct pv_vscsiif_response *response, void *slot);
/* cffi: end */

#endif
