/* Argument structures of sysctl, with Xen's names (sysctl.h of Xen 4.17, x86-64). */
#ifndef PVDRIVERS_SIM_HYPERCALLS_ABI_SYSCTL_H
#define PVDRIVERS_SIM_HYPERCALLS_ABI_SYSCTL_H

#include "pvdrivers/sim/hypercalls/abi.h"

#define XEN_SYSCTL_INTERFACE_VERSION 0x15

enum {
    XEN_SYSCTL_readconsole = 1,
    XEN_SYSCTL_tbuf_op = 2,
    XEN_SYSCTL_physinfo = 3,
    XEN_SYSCTL_sched_id = 4,
    XEN_SYSCTL_getdomaininfolist = 6,
    XEN_SYSCTL_debug_keys = 7,
    XEN_SYSCTL_getcpuinfo = 8,
    XEN_SYSCTL_availheap = 9,
    XEN_SYSCTL_page_offline_op = 14,
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

enum {
    XEN_SYSCTL_TBUFOP_get_info,
    XEN_SYSCTL_TBUFOP_set_cpu_mask,
    XEN_SYSCTL_TBUFOP_set_evt_mask,
    XEN_SYSCTL_TBUFOP_set_size,
    XEN_SYSCTL_TBUFOP_enable,
    XEN_SYSCTL_TBUFOP_disable
};

struct xen_sysctl_tbuf_op {
    uint32_t cmd;
    struct xenctl_bitmap cpu_mask;
    uint32_t evt_mask;
    uint64_t buffer_mfn;
    uint32_t size; /* in: pages of a buffer; out: bytes of t_info */
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

struct xen_sysctl_availheap {
    uint32_t min_bitwidth, max_bitwidth;
    int32_t node;
    uint64_t avail_bytes;
};

enum { sysctl_page_offline = 1, sysctl_page_online = 2, sysctl_query_page_offline = 3 };

struct xen_sysctl_page_offline_op {
    uint32_t cmd, start, end; /* frames, the last one included */
    uint64_t status;          /* uint32_t[], PG_* */
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
        struct xen_sysctl_tbuf_op tbuf_op;
        struct xen_sysctl_getdomaininfolist getdomaininfolist;
        struct xen_sysctl_physinfo physinfo;
        struct xen_sysctl_sched_id sched_id;
        struct xen_sysctl_debug_keys debug_keys;
        struct xen_sysctl_getcpuinfo getcpuinfo;
        struct xen_sysctl_availheap availheap;
        struct xen_sysctl_page_offline_op page_offline;
        struct xen_sysctl_cputopoinfo cputopoinfo;
        struct xen_sysctl_numainfo numainfo;
        struct xen_sysctl_cpupool_op cpupool_op;
        struct xen_sysctl_scheduler_op scheduler_op;
        struct xen_sysctl_pcitopoinfo pcitopoinfo;
        uint8_t pad[128];
    } u;
};

#endif
