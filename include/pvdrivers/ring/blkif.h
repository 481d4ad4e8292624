/*
 * The block protocol (io/blkif.h): one decoded form of requests and responses, and the codecs
 * between it and a slot of each ABI. Decoding reads a private copy of the slot, never the ring.
 */
#ifndef PVDRIVERS_RING_BLKIF_H
#define PVDRIVERS_RING_BLKIF_H

#include "pvdrivers/types.h"

/* cffi: begin */
#define BLKIF_OP_READ 0
#define BLKIF_OP_WRITE 1
#define BLKIF_OP_WRITE_BARRIER 2
#define BLKIF_OP_FLUSH_DISKCACHE 3
#define BLKIF_OP_RESERVED_1 4
#define BLKIF_OP_DISCARD 5
#define BLKIF_OP_INDIRECT 6

#define BLKIF_RSP_OKAY 0
#define BLKIF_RSP_ERROR -1
#define BLKIF_RSP_EOPNOTSUPP -2

#define BLKIF_MAX_SEGMENTS_PER_REQUEST 11
#define BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST 8
#define BLKIF_DISCARD_SECURE 1
#define BLKIF_MAX_SLOT_SIZE 112
#define BLKIF_HEAD_SIZE 32         /* every ABI's request without segments, or with one */
#define BLKIF_MAX_RESPONSE_SIZE 16 /* no ABI's response is longer */

struct pv_blkif_segment {
    grant_ref_t gref;
    uint8_t first_sect, last_sect; /* inclusive, 512-byte units inside the page */
};

struct pv_blkif_request {
    uint8_t operation;
    uint8_t indirect_op;   /* INDIRECT: READ or WRITE */
    uint8_t discard_flags; /* DISCARD: BLKIF_DISCARD_* */
    uint16_t nr_segments;
    uint16_t handle;
    uint64_t id;
    uint64_t sector_number; /* 512-byte units */
    uint64_t nr_sectors;    /* DISCARD */
    struct pv_blkif_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
    grant_ref_t indirect_grefs[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST];
};

struct pv_blkif_response {
    uint64_t id;
    uint8_t operation;
    int16_t status;
};

/* Bytes of a ring slot: 112, 108 (x86_32) or 112. */
PV_API uint32_t pv_blkif_slot_size(enum pv_abi abi);
/* Takes every field as it stands; an operation the protocol does not know decodes its id and
 * operation only. Segments beyond the 11 that fit are not read, and array elements the request does
 * not use are left alone; checking is the caller's. */
PV_API void pv_blkif_decode_request(enum pv_abi abi, const void *slot,
                                    struct pv_blkif_request *request);
/* Whether nothing of a request lies beyond the first BLKIF_HEAD_SIZE bytes of its slot, which are
 * all that is looked at. */
PV_API bool pv_blkif_fits_head(const void *head);
/* Writes what the operation uses, its padding as zeros (XSA-216); the rest of the slot keeps what
 * the frontend itself wrote there for earlier requests. */
PV_API void pv_blkif_encode_request(enum pv_abi abi, const struct pv_blkif_request *request,
                                    void *slot);
PV_API void pv_blkif_decode_response(enum pv_abi abi, const void *slot,
                                     struct pv_blkif_response *response);
/* Writes the response's 16 (x86_32: 12) bytes, padding as zeros (XSA-216); the rest of the slot
 * keeps what the frontend itself wrote there. */
PV_API void pv_blkif_encode_response(enum pv_abi abi, const struct pv_blkif_response *response,
                                     void *slot);
/* cffi: end */

#endif
