/*
 * Slots of the SCSI protocol as they lie on the ring (io/vscsiif.h), the same for every ABI.
 * Padding is declared, so that every byte of a slot has a name and can be written.
 */
#ifndef PVDRIVERS_RING_ABI_VSCSIIF_H
#define PVDRIVERS_RING_ABI_VSCSIIF_H

#include "pvdrivers/ring/vscsiif.h"

struct vscsiif_request {
    uint16_t rqid;
    uint8_t act;
    uint8_t cmd_len;
    uint8_t cmnd[VSCSIIF_MAX_COMMAND_SIZE];
    uint16_t timeout_per_command; /* deprecated */
    uint16_t channel, id, lun;
    uint16_t ref_rqid; /* until 2012: padding */
    uint8_t sc_data_direction;
    uint8_t nr_segments;
    struct pv_vscsiif_segment seg[VSCSIIF_SG_TABLESIZE];
    uint32_t reserved[3];
};
static_assert(sizeof(struct pv_vscsiif_segment) == 8, "vscsiif_request_segment");
static_assert(offsetof(struct vscsiif_request, seg) == VSCSIIF_HEAD_SIZE, "vscsiif_request");
static_assert(sizeof(struct vscsiif_request) == VSCSIIF_SLOT_SIZE, "vscsiif_request");

struct vscsiif_response {
    uint16_t rqid;
    uint8_t act; /* until 2012: padding */
    uint8_t sense_len;
    uint8_t sense_buffer[VSCSIIF_SENSE_BUFFERSIZE];
    int32_t rslt;
    uint32_t residual_len; /* bytes */
    uint32_t reserved[36];
};
static_assert(sizeof(struct vscsiif_response) == VSCSIIF_SLOT_SIZE, "vscsiif_response");

#endif
