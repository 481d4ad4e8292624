/* Numbers of hypercalls, and argument structures of xen_version, with Xen's names (xen.h, version.h
 * and domctl.h of Xen 4.17, x86-64). Guest handles are addresses. */
#ifndef PVDRIVERS_SIM_HYPERCALLS_ABI_H
#define PVDRIVERS_SIM_HYPERCALLS_ABI_H

#include "pvdrivers/types.h"

enum {
    __HYPERVISOR_platform_op = 7,
    __HYPERVISOR_memory_op = 12,
    __HYPERVISOR_multicall = 13,
    __HYPERVISOR_xen_version = 17,
    __HYPERVISOR_grant_table_op = 20,
    __HYPERVISOR_vcpu_op = 24,
    __HYPERVISOR_sched_op = 29,
    __HYPERVISOR_event_channel_op = 32,
    __HYPERVISOR_sysctl = 35,
    __HYPERVISOR_domctl = 36,
    /* Of ia64 domains: ia64_dom0vp_op, ia64_debug_op */
    __HYPERVISOR_arch_0 = 48,
    __HYPERVISOR_arch_2 = 50
};

struct multicall_entry {
    uint64_t op, result;
    uint64_t args[6];
};

/* ---- xen_version ----------------------------------------------------------------------------- */

enum {
    XENVER_version,
    XENVER_extraversion,
    XENVER_compile_info,
    XENVER_capabilities,
    XENVER_changeset,
    XENVER_platform_parameters,
    XENVER_get_features,
    XENVER_pagesize,
    XENVER_guest_handle,
    XENVER_commandline,
    XENVER_build_id
};

typedef char xen_extraversion_t[16];
typedef char xen_capabilities_info_t[1024];
typedef char xen_changeset_info_t[64];
typedef char xen_commandline_t[1024];
typedef uint8_t xen_domain_handle_t[16];

struct xen_compile_info {
    char compiler[64];
    char compile_by[16];
    char compile_domain[32];
    char compile_date[32];
};

struct xen_platform_parameters {
    uint64_t virt_start;
};

struct xen_feature_info {
    uint32_t submap_idx, submap;
};
#define XENFEAT_auto_translated_physmap 2
#define XENFEAT_dom0 11

/* ---- Of the toolstack's --------------------------------------------------------------------- */

struct xenctl_bitmap {
    uint64_t bitmap; /* bytes, the lowest bit first */
    uint32_t nr_bits;
};

/* Of xen_domctl and xen_sysctl. */
struct toolstack_header {
    uint32_t cmd, interface_version;
};

#endif
