/* Argument structures of memory_op, xen_version, sysctl and domctl, with Xen's names (memory.h,
 * version.h, sysctl.h and domctl.h of Xen 4.17, x86-64). Guest handles are addresses. */
#ifndef PVDRIVERS_SIM_HYPERCALLS_ABI_H
#define PVDRIVERS_SIM_HYPERCALLS_ABI_H

#include "pvdrivers/types.h"

enum {
    __HYPERVISOR_memory_op = 12,
    __HYPERVISOR_xen_version = 17,
    __HYPERVISOR_grant_table_op = 20,
    __HYPERVISOR_vcpu_op = 24,
    __HYPERVISOR_sched_op = 29,
    __HYPERVISOR_event_channel_op = 32,
    __HYPERVISOR_sysctl = 35,
    __HYPERVISOR_domctl = 36
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

/* ---- memory_op ------------------------------------------------------------------------------- */

enum {
    XENMEM_decrease_reservation = 1,
    XENMEM_maximum_ram_page = 2,
    XENMEM_current_reservation = 3,
    XENMEM_maximum_reservation = 4,
    XENMEM_populate_physmap = 6,
    XENMEM_maximum_gpfn = 14
};

struct xen_memory_reservation {
    uint64_t extent_start; /* xen_pfn_t[] */
    uint64_t nr_extents;
    uint32_t extent_order, mem_flags;
    domid_t domid;
};

struct xen_memory_domain {
    domid_t domid;
};

/* ---- Of the toolstack's --------------------------------------------------------------------- */

struct xenctl_bitmap {
    uint64_t bitmap; /* bytes, the lowest bit first */
    uint32_t nr_bits;
};

/* Of xen_domctl and xen_sysctl. */
struct toolstack_header {
    uint32_t cmd, interface_version;
};

/* ---- domctl ---------------------------------------------------------------------------------- */

#define XEN_DOMCTL_INTERFACE_VERSION 0x15

enum {
    XEN_DOMCTL_destroydomain = 2,
    XEN_DOMCTL_pausedomain = 3,
    XEN_DOMCTL_unpausedomain = 4,
    XEN_DOMCTL_getdomaininfo = 5,
    XEN_DOMCTL_setvcpuaffinity = 9,
    XEN_DOMCTL_max_mem = 11,
    XEN_DOMCTL_getvcpuinfo = 14,
    XEN_DOMCTL_scheduler_op = 16,
    XEN_DOMCTL_getvcpuaffinity = 25
};

#define XEN_DOMINF_dying (1u << 0)
#define XEN_DOMINF_shutdown (1u << 2)
#define XEN_DOMINF_paused (1u << 3)
#define XEN_DOMINF_blocked (1u << 4)
#define XEN_DOMINF_running (1u << 5)
#define XEN_DOMINF_shutdownshift 16

struct xen_domctl_getdomaininfo {
    domid_t domain;
    uint16_t pad1;
    uint32_t flags;
    uint64_t tot_pages, max_pages, outstanding_pages, shr_pages, paged_pages;
    uint64_t shared_info_frame;
    uint64_t cpu_time;
    uint32_t nr_online_vcpus, max_vcpu_id;
    uint32_t ssidref;
    xen_domain_handle_t handle;
    uint32_t cpupool;
    uint8_t gpaddr_bits;
    uint8_t pad2[7];
    struct {
        uint32_t emulation_flags, misc_flags;
    } arch_config;
};

#define XEN_VCPUAFFINITY_HARD (1u << 0)
#define XEN_VCPUAFFINITY_SOFT (1u << 1)
#define XEN_VCPUAFFINITY_FORCE (1u << 2)

struct xen_domctl_vcpuaffinity {
    uint32_t vcpu, flags;
    struct xenctl_bitmap cpumap_hard, cpumap_soft;
};

struct xen_domctl_getvcpuinfo {
    uint32_t vcpu;
    uint8_t online, blocked, running;
    uint64_t cpu_time;
    uint32_t cpu;
};

#define XEN_SCHEDULER_CREDIT 5
#define XEN_SCHEDULER_CREDIT2 6
#define XEN_DOMCTL_SCHEDOP_putinfo 0
#define XEN_DOMCTL_SCHEDOP_getinfo 1

struct xen_domctl_sched_credit {
    uint16_t weight, cap;
};

struct xen_domctl_scheduler_op {
    uint32_t sched_id, cmd;
    union {
        struct xen_domctl_sched_credit credit;
        struct {
            uint64_t vcpus;
            uint32_t nr_vcpus, padding;
        } v;
    } u;
};

struct xen_domctl_max_mem {
    uint64_t max_memkb;
};

struct xen_domctl {
    uint32_t cmd, interface_version;
    domid_t domain;
    uint16_t pad[3];
    union {
        struct xen_domctl_getdomaininfo getdomaininfo;
        struct xen_domctl_vcpuaffinity vcpuaffinity;
        struct xen_domctl_getvcpuinfo getvcpuinfo;
        struct xen_domctl_scheduler_op scheduler_op;
        struct xen_domctl_max_mem max_mem;
        uint8_t pad[128];
    } u;
};

/* ---- sysctl ---------------------------------------------------------------------------------- */

#define XEN_SYSCTL_INTERFACE_VERSION 0x15

enum {
    XEN_SYSCTL_readconsole = 1,
    XEN_SYSCTL_physinfo = 3,
    XEN_SYSCTL_sched_id = 4,
    XEN_SYSCTL_getdomaininfolist = 6,
    XEN_SYSCTL_debug_keys = 7,
    XEN_SYSCTL_getcpuinfo = 8,
    XEN_SYSCTL_cputopoinfo = 16,
    XEN_SYSCTL_numainfo = 17,
    XEN_SYSCTL_cpupool_op = 18,
    XEN_SYSCTL_scheduler_op = 19,
    XEN_SYSCTL_pcitopoinfo = 22
};

struct xen_sysctl_readconsole {
    uint8_t clear, incremental;
    uint8_t pad0, pad1;
    uint32_t index;
    uint64_t buffer;
    uint32_t count;
};

struct xen_sysctl_getdomaininfolist {
    domid_t first_domain;
    uint32_t max_domains;
    uint64_t buffer; /* struct xen_domctl_getdomaininfo[] */
    uint32_t num_domains;
};

struct xen_sysctl_debug_keys {
    uint64_t keys;
    uint32_t nr_keys;
};

#define XEN_SYSCTL_PHYSCAP_pv (1u << 1)
#define XEN_SYSCTL_PHYSCAP_gnttab_v1 (1u << 8)
#define XEN_SYSCTL_PHYSCAP_gnttab_v2 (1u << 9)

struct xen_sysctl_physinfo {
    uint32_t threads_per_core, cores_per_socket;
    uint32_t nr_cpus, max_cpu_id;
    uint32_t nr_nodes, max_node_id;
    uint32_t cpu_khz;
    uint32_t capabilities, arch_capabilities;
    uint32_t pad;
    uint64_t total_pages, free_pages, scrub_pages, outstanding_pages;
    uint64_t max_mfn;
    uint32_t hw_cap[8];
};

struct xen_sysctl_sched_id {
    uint32_t sched_id;
};

struct xen_sysctl_cpuinfo {
    uint64_t idletime;
};

struct xen_sysctl_getcpuinfo {
    uint32_t max_cpus;
    uint64_t info; /* struct xen_sysctl_cpuinfo[] */
    uint32_t nr_cpus;
};

struct xen_sysctl_cputopo {
    uint32_t core, socket, node;
};

struct xen_sysctl_cputopoinfo {
    uint32_t num_cpus;
    uint64_t cputopo; /* struct xen_sysctl_cputopo[] */
};

struct xen_sysctl_meminfo {
    uint64_t memsize, memfree;
};

struct xen_sysctl_numainfo {
    uint32_t num_nodes;
    uint64_t meminfo;  /* struct xen_sysctl_meminfo[] */
    uint64_t distance; /* uint32_t[], a row for each node */
};

#define XEN_INVALID_DEV (~1u)

struct xen_sysctl_pcitopoinfo {
    uint32_t num_devs;
    uint64_t devs;  /* struct physdev_pci_device[] */
    uint64_t nodes; /* uint32_t[] */
};

enum {
    XEN_SYSCTL_CPUPOOL_OP_CREATE = 1,
    XEN_SYSCTL_CPUPOOL_OP_DESTROY = 2,
    XEN_SYSCTL_CPUPOOL_OP_INFO = 3,
    XEN_SYSCTL_CPUPOOL_OP_ADDCPU = 4,
    XEN_SYSCTL_CPUPOOL_OP_RMCPU = 5,
    XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN = 6,
    XEN_SYSCTL_CPUPOOL_OP_FREEINFO = 7
};

struct xen_sysctl_cpupool_op {
    uint32_t op;
    uint32_t cpupool_id, sched_id, domid, cpu, n_dom;
    struct xenctl_bitmap cpumap;
};

#define XEN_SYSCTL_SCHEDOP_putinfo 0
#define XEN_SYSCTL_SCHEDOP_getinfo 1

struct xen_sysctl_credit_schedule {
    uint32_t tslice_ms, ratelimit_us, vcpu_migr_delay_us;
};

struct xen_sysctl_credit2_schedule {
    uint32_t ratelimit_us;
};

struct xen_sysctl_scheduler_op {
    uint32_t cpupool_id, sched_id, cmd;
    union {
        struct xen_sysctl_credit_schedule sched_credit;
        struct xen_sysctl_credit2_schedule sched_credit2;
        uint64_t sched_arinc653;
    } u;
};

struct xen_sysctl {
    uint32_t cmd, interface_version;
    union {
        struct xen_sysctl_readconsole readconsole;
        struct xen_sysctl_getdomaininfolist getdomaininfolist;
        struct xen_sysctl_physinfo physinfo;
        struct xen_sysctl_sched_id sched_id;
        struct xen_sysctl_debug_keys debug_keys;
        struct xen_sysctl_getcpuinfo getcpuinfo;
        struct xen_sysctl_cputopoinfo cputopoinfo;
        struct xen_sysctl_numainfo numainfo;
        struct xen_sysctl_cpupool_op cpupool_op;
        struct xen_sysctl_scheduler_op scheduler_op;
        struct xen_sysctl_pcitopoinfo pcitopoinfo;
        uint8_t pad[128];
    } u;
};

#endif
