/*
 * Slots of the block protocol as they lie on the ring (io/blkif.h). Padding is declared, so that
 * every byte of a slot has a name and can be written. ia64 uses the x86_64 layouts.
 */
#ifndef PVDRIVERS_RING_ABI_BLKIF_H
#define PVDRIVERS_RING_ABI_BLKIF_H

#include "pvdrivers/ring/abi_types.h"
#include "pvdrivers/ring/blkif.h"

struct blkif_request_segment {
    grant_ref_t gref;
    uint8_t first_sect, last_sect;
    uint16_t pad;
};
static_assert(sizeof(struct blkif_request_segment) == 8, "blkif_request_segment");

struct blkif_request_x86_64 {
    uint8_t operation;
    uint8_t nr_segments;
    uint16_t handle;
    uint32_t pad;
    uint64_t id;
    uint64_t sector_number;
    struct blkif_request_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};
static_assert(sizeof(struct blkif_request_x86_64) == 112, "blkif_request x86_64");

struct blkif_request_x86_32 {
    uint8_t operation;
    uint8_t nr_segments;
    uint16_t handle;
    pv_x86_32_u64 id;
    pv_x86_32_u64 sector_number;
    struct blkif_request_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};
static_assert(sizeof(struct blkif_request_x86_32) == 108, "blkif_request x86_32");

struct blkif_request_discard_x86_64 {
    uint8_t operation;
    uint8_t flag;
    uint16_t handle;
    uint32_t pad;
    uint64_t id;
    uint64_t sector_number;
    uint64_t nr_sectors;
};
static_assert(sizeof(struct blkif_request_discard_x86_64) == 32, "blkif_request_discard x86_64");

struct blkif_request_discard_x86_32 {
    uint8_t operation;
    uint8_t flag;
    uint16_t handle;
    pv_x86_32_u64 id;
    pv_x86_32_u64 sector_number;
    pv_x86_32_u64 nr_sectors;
};
static_assert(sizeof(struct blkif_request_discard_x86_32) == 28, "blkif_request_discard x86_32");

struct blkif_request_indirect_x86_64 {
    uint8_t operation;
    uint8_t indirect_op;
    uint16_t nr_segments;
    uint32_t pad;
    uint64_t id;
    uint64_t sector_number;
    uint16_t handle;
    uint16_t pad2;
    grant_ref_t indirect_grefs[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST];
    uint32_t pad3;
};
static_assert(sizeof(struct blkif_request_indirect_x86_64) == 64, "blkif_request_indirect x86_64");

struct blkif_request_indirect_x86_32 {
    uint8_t operation;
    uint8_t indirect_op;
    uint16_t nr_segments;
    pv_x86_32_u64 id;
    pv_x86_32_u64 sector_number;
    uint16_t handle;
    uint16_t pad2;
    grant_ref_t indirect_grefs[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST];
    pv_x86_32_u64 pad;
};
static_assert(sizeof(struct blkif_request_indirect_x86_32) == 64, "blkif_request_indirect x86_32");

struct blkif_response_x86_64 {
    uint64_t id;
    uint8_t operation;
    uint8_t pad;
    int16_t status;
    uint32_t pad2;
};
static_assert(sizeof(struct blkif_response_x86_64) == 16, "blkif_response x86_64");

struct blkif_response_x86_32 {
    pv_x86_32_u64 id;
    uint8_t operation;
    uint8_t pad;
    int16_t status;
};
static_assert(sizeof(struct blkif_response_x86_32) == 12, "blkif_response x86_32");

union blkif_sring_entry_x86_64 {
    struct blkif_request_x86_64 req;
    struct blkif_response_x86_64 rsp;
};
static_assert(sizeof(union blkif_sring_entry_x86_64) == 112, "blkif_sring_entry x86_64");

union blkif_sring_entry_x86_32 {
    struct blkif_request_x86_32 req;
    struct blkif_response_x86_32 rsp;
};
static_assert(sizeof(union blkif_sring_entry_x86_32) == 108, "blkif_sring_entry x86_32");

#endif
