/* The codecs of the block protocol: see blkif.h. One code for all ABIs, driven by offsets, which
 * are constants wherever it is inlined. */
#include "pvdrivers/ring/blkif.h"

#include "pvdrivers/ring/abi_blkif.h"

#include <string.h>

/* Where an ABI has the fields whose place differs; the first four bytes of a request are alike. */
struct blkif_offsets {
    uint8_t slot_size, response_size;
    uint8_t id, sector_number;
    uint8_t seg;
    uint8_t nr_sectors;
    uint8_t indirect_handle, indirect_grefs;
    uint8_t response_operation, response_status;
};

#define OFFSETS(abi)                                                                               \
    {                                                                                              \
        .slot_size = sizeof(union blkif_sring_entry_##abi),                                        \
        .response_size = sizeof(struct blkif_response_##abi),                                      \
        .id = offsetof(struct blkif_request_##abi, id),                                            \
        .sector_number = offsetof(struct blkif_request_##abi, sector_number),                      \
        .seg = offsetof(struct blkif_request_##abi, seg),                                          \
        .nr_sectors = offsetof(struct blkif_request_discard_##abi, nr_sectors),                    \
        .indirect_handle = offsetof(struct blkif_request_indirect_##abi, handle),                  \
        .indirect_grefs = offsetof(struct blkif_request_indirect_##abi, indirect_grefs),           \
        .response_operation = offsetof(struct blkif_response_##abi, operation),                    \
        .response_status = offsetof(struct blkif_response_##abi, status),                          \
    }

static const struct blkif_offsets x86_32_offsets = OFFSETS(x86_32);
static const struct blkif_offsets x86_64_offsets = OFFSETS(x86_64); /* and ia64 */

#define INLINE static inline __attribute__((always_inline))

/* `call`, with `at` the ABI's offsets. */
#define WITH_OFFSETS(abi, call)                                                                    \
    do {                                                                                           \
        if ((abi) == PV_ABI_X86_32) {                                                              \
            const struct blkif_offsets *at = &x86_32_offsets;                                      \
            call;                                                                                  \
        } else {                                                                                   \
            const struct blkif_offsets *at = &x86_64_offsets;                                      \
            call;                                                                                  \
        }                                                                                          \
    } while (0)

/* Places every ABI shares. */
enum { OPERATION = 0, NR_SEGMENTS = 1, INDIRECT_OP = 1, FLAG = 1, HANDLE = 2, INDIRECT_NR = 2 };

/* memcpy, because x86_32 aligns 64-bit fields to 4 bytes only. */
#define GET(field, slot, offset) memcpy(&(field), (const uint8_t *)(slot) + (offset), sizeof(field))
#define PUT(field, slot, offset) memcpy((uint8_t *)(slot) + (offset), &(field), sizeof(field))

uint32_t pv_blkif_slot_size(enum pv_abi abi)
{
    return abi == PV_ABI_X86_32 ? x86_32_offsets.slot_size : x86_64_offsets.slot_size;
}

INLINE bool carries_segments(uint8_t operation)
{
    return operation <= BLKIF_OP_FLUSH_DISKCACHE;
}

INLINE unsigned segments_in_slot(const struct pv_blkif_request *request)
{
    return request->nr_segments < BLKIF_MAX_SEGMENTS_PER_REQUEST ? request->nr_segments
                                                                 : BLKIF_MAX_SEGMENTS_PER_REQUEST;
}

INLINE void decode_direct(const struct blkif_offsets *at, const uint8_t *slot,
                          struct pv_blkif_request *request)
{
    request->nr_segments = slot[NR_SEGMENTS];
    GET(request->handle, slot, HANDLE);
    GET(request->sector_number, slot, at->sector_number);
    for (unsigned i = 0; i < segments_in_slot(request); i++) {
        struct blkif_request_segment seg;
        GET(seg, slot, at->seg + i * sizeof(seg));
        request->seg[i] = (struct pv_blkif_segment){seg.gref, seg.first_sect, seg.last_sect};
    }
}

INLINE void decode_indirect(const struct blkif_offsets *at, const uint8_t *slot,
                            struct pv_blkif_request *request)
{
    request->indirect_op = slot[INDIRECT_OP];
    GET(request->nr_segments, slot, INDIRECT_NR);
    GET(request->handle, slot, at->indirect_handle);
    GET(request->sector_number, slot, at->sector_number);
    GET(request->indirect_grefs, slot, at->indirect_grefs);
}

INLINE void decode_discard(const struct blkif_offsets *at, const uint8_t *slot,
                           struct pv_blkif_request *request)
{
    request->discard_flags = slot[FLAG];
    GET(request->handle, slot, HANDLE);
    GET(request->sector_number, slot, at->sector_number);
    GET(request->nr_sectors, slot, at->nr_sectors);
}

INLINE void decode_request(const struct blkif_offsets *at, const uint8_t *slot,
                           struct pv_blkif_request *request)
{
    memset(request, 0, offsetof(struct pv_blkif_request, seg));
    GET(request->operation, slot, OPERATION);
    GET(request->id, slot, at->id);
    if (carries_segments(request->operation))
        decode_direct(at, slot, request);
    else if (request->operation == BLKIF_OP_INDIRECT)
        decode_indirect(at, slot, request);
    else if (request->operation == BLKIF_OP_DISCARD)
        decode_discard(at, slot, request);
}

void pv_blkif_decode_request(enum pv_abi abi, const void *slot, struct pv_blkif_request *request)
{
    WITH_OFFSETS(abi, decode_request(at, slot, request));
}

bool pv_blkif_fits_head(const void *head)
{
    const uint8_t *slot = head;
    uint8_t operation = slot[OPERATION];
    if (carries_segments(operation))
        return slot[NR_SEGMENTS] <= 1;
    return operation != BLKIF_OP_INDIRECT;
}

INLINE void encode_direct(const struct blkif_offsets *at, const struct pv_blkif_request *request,
                          uint8_t *slot)
{
    slot[NR_SEGMENTS] = (uint8_t)request->nr_segments;
    PUT(request->handle, slot, HANDLE);
    PUT(request->sector_number, slot, at->sector_number);
    for (unsigned i = 0; i < segments_in_slot(request); i++) {
        const struct pv_blkif_segment *from = &request->seg[i];
        struct blkif_request_segment seg = {from->gref, from->first_sect, from->last_sect, 0};
        PUT(seg, slot, at->seg + i * sizeof(seg));
    }
}

INLINE void encode_indirect(const struct blkif_offsets *at, const struct pv_blkif_request *request,
                            uint8_t *slot)
{
    slot[INDIRECT_OP] = request->indirect_op;
    PUT(request->nr_segments, slot, INDIRECT_NR);
    PUT(request->handle, slot, at->indirect_handle);
    memset(slot + at->indirect_handle + sizeof(request->handle), 0,
           at->indirect_grefs - at->indirect_handle - sizeof(request->handle));
    PUT(request->sector_number, slot, at->sector_number);
    PUT(request->indirect_grefs, slot, at->indirect_grefs);
}

INLINE void encode_discard(const struct blkif_offsets *at, const struct pv_blkif_request *request,
                           uint8_t *slot)
{
    slot[FLAG] = request->discard_flags;
    PUT(request->handle, slot, HANDLE);
    PUT(request->sector_number, slot, at->sector_number);
    PUT(request->nr_sectors, slot, at->nr_sectors);
}

INLINE void encode_request(const struct blkif_offsets *at, const struct pv_blkif_request *request,
                           uint8_t *slot)
{
    memset(slot, 0, at->id); /* the gap in front of it too */
    PUT(request->operation, slot, OPERATION);
    PUT(request->id, slot, at->id);
    if (carries_segments(request->operation))
        encode_direct(at, request, slot);
    else if (request->operation == BLKIF_OP_INDIRECT)
        encode_indirect(at, request, slot);
    else if (request->operation == BLKIF_OP_DISCARD)
        encode_discard(at, request, slot);
}

void pv_blkif_encode_request(enum pv_abi abi, const struct pv_blkif_request *request, void *slot)
{
    WITH_OFFSETS(abi, encode_request(at, request, slot));
}

INLINE void decode_response(const struct blkif_offsets *at, const uint8_t *slot,
                            struct pv_blkif_response *response)
{
    GET(response->id, slot, 0);
    GET(response->operation, slot, at->response_operation);
    GET(response->status, slot, at->response_status);
}

void pv_blkif_decode_response(enum pv_abi abi, const void *slot, struct pv_blkif_response *response)
{
    WITH_OFFSETS(abi, decode_response(at, slot, response));
}

INLINE void encode_response(const struct blkif_offsets *at,
                            const struct pv_blkif_response *response, uint8_t *slot)
{
    memset(slot, 0, at->response_size);
    PUT(response->id, slot, 0);
    PUT(response->operation, slot, at->response_operation);
    PUT(response->status, slot, at->response_status);
}

void pv_blkif_encode_response(enum pv_abi abi, const struct pv_blkif_response *response, void *slot)
{
    WITH_OFFSETS(abi, encode_response(at, response, slot));
}
