/* Argument structures of memory_op, with Xen's names (memory.h of Xen 4.17, x86-64). */
#ifndef PVDRIVERS_SIM_HYPERCALLS_ABI_MEMORY_H
#define PVDRIVERS_SIM_HYPERCALLS_ABI_MEMORY_H

#include "pvdrivers/sim/hypercalls/abi.h"

enum {
    XENMEM_increase_reservation = 0,
    XENMEM_decrease_reservation = 1,
    XENMEM_maximum_ram_page = 2,
    XENMEM_current_reservation = 3,
    XENMEM_maximum_reservation = 4,
    XENMEM_machphys_mfn_list = 5,
    XENMEM_populate_physmap = 6,
    XENMEM_memory_map = 9,
    XENMEM_machine_memory_map = 10,
    XENMEM_exchange = 11,
    XENMEM_set_memory_map = 13,
    XENMEM_maximum_gpfn = 14,
    XENMEM_get_sharing_freed_pages = 18,
    XENMEM_get_sharing_shared_pages = 19,
    XENMEM_claim_pages = 24
};

struct xen_memory_reservation {
    uint64_t extent_start; /* xen_pfn_t[] */
    uint64_t nr_extents;
    uint32_t extent_order, mem_flags;
    domid_t domid;
};

struct xen_machphys_mfn_list {
    uint32_t max_extents;
    uint64_t extent_start; /* xen_pfn_t[] */
    uint32_t nr_extents;
};

struct xen_memory_exchange {
    struct xen_memory_reservation in, out;
    uint64_t nr_exchanged;
};

struct xen_memory_map {
    uint32_t nr_entries;
    uint64_t buffer; /* struct e820entry[] */
};

struct xen_foreign_memory_map {
    domid_t domid;
    struct xen_memory_map map;
};

struct xen_memory_domain {
    domid_t domid;
};

#endif
