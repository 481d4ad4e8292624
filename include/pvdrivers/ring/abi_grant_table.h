/*
 * Grant tables as a guest and Xen share them, and the arguments of the grant operations
 * (grant_table.h). The tables are alike on every ABI; of the operations those with a frame number
 * or a pointer differ. Padding is declared.
 */
#ifndef PVDRIVERS_RING_ABI_GRANT_TABLE_H
#define PVDRIVERS_RING_ABI_GRANT_TABLE_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define GNTTAB_NR_RESERVED_ENTRIES 8 /* survive set_version */
#define GNTTAB_RESERVED_CONSOLE 0
#define GNTTAB_RESERVED_XENSTORE 1

/* Entry flags. The type is written last, behind a write barrier; it makes the entry live. */
#define GTF_invalid 0
#define GTF_permit_access 1
#define GTF_accept_transfer 2
#define GTF_transitive 3 /* v2 */
#define GTF_type_mask 3
#define GTF_readonly 4
#define GTF_reading 8  /* by Xen; v2: in the status word */
#define GTF_writing 16 /* by Xen; v2: in the status word */
#define GTF_PWT 32
#define GTF_PCD 64
#define GTF_PAT 128
#define GTF_sub_page 256 /* v2: copy only, never mappable */
#define GTF_transfer_committed 4
#define GTF_transfer_completed 8

#define GNTTABOP_map_grant_ref 0
#define GNTTABOP_unmap_grant_ref 1
#define GNTTABOP_setup_table 2
#define GNTTABOP_dump_table 3
#define GNTTABOP_transfer 4
#define GNTTABOP_copy 5
#define GNTTABOP_query_size 6
#define GNTTABOP_unmap_and_replace 7
#define GNTTABOP_set_version 8
#define GNTTABOP_get_status_frames 9
#define GNTTABOP_get_version 10
#define GNTTABOP_swap_grant_ref 11
#define GNTTABOP_cache_flush 12

#define GNTMAP_device_map 1
#define GNTMAP_host_map 2
#define GNTMAP_readonly 4
#define GNTMAP_application_map 8
#define GNTMAP_contains_pte 16

#define GNTCOPY_source_gref 1
#define GNTCOPY_dest_gref 2

#define GNTST_okay 0
#define GNTST_general_error -1
#define GNTST_bad_domain -2
#define GNTST_bad_gntref -3
#define GNTST_bad_handle -4
#define GNTST_bad_virt_addr -5
#define GNTST_bad_dev_addr -6
#define GNTST_no_device_space -7
#define GNTST_permission_denied -8
#define GNTST_bad_page -9
#define GNTST_bad_copy_arg -10
#define GNTST_address_too_big -11
#define GNTST_eagain -12
#define GNTST_no_space -13

#define GNTTAB_CACHE_CLEAN 1
#define GNTTAB_CACHE_INVAL 2
#define GNTTAB_CACHE_SOURCE_GREF 0x80000000

struct grant_entry_v1 {
    uint16_t flags;
    domid_t domid;
    uint32_t frame;
};

struct grant_entry_header {
    uint16_t flags;
    domid_t domid;
};

union grant_entry_v2 {
    struct grant_entry_header hdr;
    struct {
        struct grant_entry_header hdr;
        uint32_t pad0;
        uint64_t frame;
    } full_page;
    struct {
        struct grant_entry_header hdr;
        uint16_t page_off;
        uint16_t length;
        uint64_t frame;
    } sub_page;
    struct {
        struct grant_entry_header hdr;
        domid_t trans_domid;
        uint16_t pad0;
        grant_ref_t gref;
    } transitive;
};

typedef uint16_t grant_status_t; /* v2: reading and writing, one per entry in status frames */

struct gnttab_map_grant_ref {
    uint64_t host_addr;
    uint32_t flags; /* GNTMAP_* */
    grant_ref_t ref;
    domid_t dom;
    int16_t status; /* out */
    grant_handle_t handle;
    uint64_t dev_bus_addr;
};

struct gnttab_unmap_grant_ref {
    uint64_t host_addr;
    uint64_t dev_bus_addr;
    grant_handle_t handle;
    int16_t status; /* out */
    uint16_t pad;
};

struct gnttab_unmap_and_replace {
    uint64_t host_addr;
    uint64_t new_addr;
    grant_handle_t handle;
    int16_t status; /* out */
    uint16_t pad;
};

struct gnttab_setup_table_x86_64 {
    domid_t dom;
    uint16_t pad;
    uint32_t nr_frames;
    int16_t status; /* out */
    uint16_t pad2[3];
    uint64_t frame_list; /* pointer to frame numbers */
};

struct gnttab_setup_table_x86_32 {
    domid_t dom;
    uint16_t pad;
    uint32_t nr_frames;
    int16_t status; /* out */
    uint16_t pad2;
    uint32_t frame_list;
};

struct gnttab_dump_table {
    domid_t dom;
    int16_t status; /* out */
};

struct gnttab_transfer_x86_64 {
    uint64_t mfn;
    domid_t domid;
    uint16_t pad;
    grant_ref_t ref;
    int16_t status; /* out */
    uint16_t pad2[3];
};

struct gnttab_transfer_x86_32 {
    uint32_t mfn;
    domid_t domid;
    uint16_t pad;
    grant_ref_t ref;
    int16_t status; /* out */
    uint16_t pad2;
};

struct gnttab_copy_ptr_x86_64 {
    union {
        grant_ref_t ref;
        uint64_t gmfn;
    } u;
    domid_t domid;
    uint16_t offset;
    uint32_t pad;
};

struct gnttab_copy_ptr_x86_32 {
    union {
        grant_ref_t ref;
        uint32_t gmfn;
    } u;
    domid_t domid;
    uint16_t offset;
};

struct gnttab_copy_x86_64 {
    struct gnttab_copy_ptr_x86_64 source, dest;
    uint16_t len;
    uint16_t flags; /* GNTCOPY_* */
    int16_t status; /* out */
    uint16_t pad;
};

struct gnttab_copy_x86_32 {
    struct gnttab_copy_ptr_x86_32 source, dest;
    uint16_t len;
    uint16_t flags; /* GNTCOPY_* */
    int16_t status; /* out */
    uint16_t pad;
};

struct gnttab_query_size {
    domid_t dom;
    uint16_t pad;
    uint32_t nr_frames;     /* out */
    uint32_t max_nr_frames; /* out */
    int16_t status;         /* out */
    uint16_t pad2;
};

struct gnttab_set_version {
    uint32_t version; /* in and out */
};

struct gnttab_get_status_frames_x86_64 {
    uint32_t nr_frames;
    domid_t dom;
    int16_t status;      /* out */
    uint64_t frame_list; /* pointer to uint64_t */
};

struct gnttab_get_status_frames_x86_32 {
    uint32_t nr_frames;
    domid_t dom;
    int16_t status; /* out */
    uint32_t frame_list;
};

struct gnttab_get_version {
    domid_t dom;
    uint16_t pad;
    uint32_t version; /* out */
};

struct gnttab_swap_grant_ref {
    grant_ref_t ref_a;
    grant_ref_t ref_b;
    int16_t status; /* out */
    uint16_t pad;
};

struct gnttab_cache_flush {
    union {
        uint64_t dev_bus_addr;
        grant_ref_t ref;
    } a;
    uint16_t offset; /* bytes in the page */
    uint16_t length;
    uint32_t op; /* GNTTAB_CACHE_* */
};
/* cffi: end */

static_assert(sizeof(struct grant_entry_v1) == 8, "grant_entry_v1");
static_assert(sizeof(union grant_entry_v2) == 16, "grant_entry_v2");
static_assert(sizeof(struct gnttab_map_grant_ref) == 32, "gnttab_map_grant_ref");
static_assert(sizeof(struct gnttab_unmap_grant_ref) == 24, "gnttab_unmap_grant_ref");
static_assert(sizeof(struct gnttab_unmap_and_replace) == 24, "gnttab_unmap_and_replace");
static_assert(sizeof(struct gnttab_setup_table_x86_64) == 24, "gnttab_setup_table x86_64");
static_assert(sizeof(struct gnttab_setup_table_x86_32) == 16, "gnttab_setup_table x86_32");
static_assert(sizeof(struct gnttab_dump_table) == 4, "gnttab_dump_table");
static_assert(sizeof(struct gnttab_transfer_x86_64) == 24, "gnttab_transfer x86_64");
static_assert(sizeof(struct gnttab_transfer_x86_32) == 16, "gnttab_transfer x86_32");
static_assert(sizeof(struct gnttab_copy_x86_64) == 40, "gnttab_copy x86_64");
static_assert(sizeof(struct gnttab_copy_x86_32) == 24, "gnttab_copy x86_32");
static_assert(sizeof(struct gnttab_query_size) == 16, "gnttab_query_size");
static_assert(sizeof(struct gnttab_set_version) == 4, "gnttab_set_version");
static_assert(sizeof(struct gnttab_get_status_frames_x86_64) == 16, "get_status_frames x86_64");
static_assert(sizeof(struct gnttab_get_status_frames_x86_32) == 12, "get_status_frames x86_32");
static_assert(sizeof(struct gnttab_get_version) == 8, "gnttab_get_version");
static_assert(sizeof(struct gnttab_swap_grant_ref) == 12, "gnttab_swap_grant_ref");
static_assert(sizeof(struct gnttab_cache_flush) == 16, "gnttab_cache_flush");

#endif
