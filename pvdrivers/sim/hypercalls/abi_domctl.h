/* Argument structures of domctl, with Xen's names (domctl.h of Xen 4.17, x86-64). */
#ifndef PVDRIVERS_SIM_HYPERCALLS_ABI_DOMCTL_H
#define PVDRIVERS_SIM_HYPERCALLS_ABI_DOMCTL_H

#include "pvdrivers/sim/hypercalls/abi.h"

#define XEN_DOMCTL_INTERFACE_VERSION 0x15

enum {
    XEN_DOMCTL_createdomain = 1,
    XEN_DOMCTL_destroydomain = 2,
    XEN_DOMCTL_pausedomain = 3,
    XEN_DOMCTL_unpausedomain = 4,
    XEN_DOMCTL_getdomaininfo = 5,
    XEN_DOMCTL_setvcpuaffinity = 9,
    XEN_DOMCTL_max_mem = 11,
    XEN_DOMCTL_setvcpucontext = 12,
    XEN_DOMCTL_getvcpucontext = 13,
    XEN_DOMCTL_getvcpuinfo = 14,
    XEN_DOMCTL_max_vcpus = 15,
    XEN_DOMCTL_scheduler_op = 16,
    XEN_DOMCTL_setdomainhandle = 17,
    XEN_DOMCTL_getvcpuaffinity = 25,
    XEN_DOMCTL_resumedomain = 27,
    XEN_DOMCTL_gethvmcontext = 33,
    XEN_DOMCTL_sethvmcontext = 34,
    XEN_DOMCTL_set_address_size = 35,
    XEN_DOMCTL_get_address_size = 36,
    XEN_DOMCTL_gethvmcontext_partial = 55,
    XEN_DOMCTL_getpageframeinfo3 = 61,
    XEN_DOMCTL_set_virq_handler = 66
};

#define XEN_DOMCTL_CDF_oos_off (1u << 3)
#define XEN_X86_MSR_RELAXED (1u << 0)

struct xen_arch_domainconfig {
    uint32_t emulation_flags, misc_flags;
};

struct xen_domctl_createdomain {
    uint32_t ssidref;
    xen_domain_handle_t handle;
    uint32_t flags, iommu_opts;
    uint32_t max_vcpus, max_evtchn_port;
    int32_t max_grant_frames, max_maptrack_frames;
    uint32_t grant_opts, vmtrace_size, cpupool_id;
    struct xen_arch_domainconfig arch;
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
    struct xen_arch_domainconfig arch_config;
};

#define XEN_VCPUAFFINITY_HARD (1u << 0)
#define XEN_VCPUAFFINITY_SOFT (1u << 1)

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

#define XEN_DOMCTL_PFINFO_NOTAB (0u << 28)
#define XEN_DOMCTL_PFINFO_BROKEN (0xdu << 28)
#define XEN_DOMCTL_PFINFO_XTAB (0xfu << 28)

struct xen_domctl_getpageframeinfo3 {
    uint64_t num;
    uint64_t array; /* xen_pfn_t[]: gfns, then what they are */
};

struct xen_domctl_max_mem {
    uint64_t max_memkb;
};

struct xen_domctl_vcpucontext {
    uint32_t vcpu;
    uint64_t ctxt; /* struct vcpu_guest_context */
};

struct xen_domctl_max_vcpus {
    uint32_t max;
};

struct xen_domctl_setdomainhandle {
    xen_domain_handle_t handle;
};

struct xen_domctl_address_size {
    uint32_t size;
};

struct xen_domctl_set_virq_handler {
    uint32_t virq;
};

struct xen_domctl {
    uint32_t cmd, interface_version;
    domid_t domain;
    uint16_t pad[3];
    union {
        struct xen_domctl_createdomain createdomain;
        struct xen_domctl_getdomaininfo getdomaininfo;
        struct xen_domctl_vcpuaffinity vcpuaffinity;
        struct xen_domctl_getvcpuinfo getvcpuinfo;
        struct xen_domctl_scheduler_op scheduler_op;
        struct xen_domctl_getpageframeinfo3 getpageframeinfo3;
        struct xen_domctl_max_mem max_mem;
        struct xen_domctl_vcpucontext vcpucontext;
        struct xen_domctl_max_vcpus max_vcpus;
        struct xen_domctl_setdomainhandle setdomainhandle;
        struct xen_domctl_address_size address_size;
        struct xen_domctl_set_virq_handler set_virq_handler;
        uint8_t pad[128];
    } u;
};

#endif
