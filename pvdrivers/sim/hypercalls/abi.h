/* Argument structures of xen_version, sysctl and domctl, with Xen's names (version.h, sysctl.h and
 * domctl.h of Xen 4.17, x86-64). Guest handles are addresses. */
#ifndef PVDRIVERS_SIM_HYPERCALLS_ABI_H
#define PVDRIVERS_SIM_HYPERCALLS_ABI_H

#include "pvdrivers/types.h"

enum {
    __HYPERVISOR_xen_version = 17,
    __HYPERVISOR_grant_table_op = 20,
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

/* ---- sched_op -------------------------------------------------------------------------------- */

#define SCHEDOP_remote_shutdown 4

struct sched_remote_shutdown {
    domid_t domain_id;
    uint32_t reason;
};

/* ---- Of the toolstack's --------------------------------------------------------------------- */

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
    XEN_DOMCTL_getdomaininfo = 5
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

struct xen_domctl {
    uint32_t cmd, interface_version;
    domid_t domain;
    uint16_t pad[3];
    union {
        struct xen_domctl_getdomaininfo getdomaininfo;
        uint8_t pad[128];
    } u;
};

/* ---- sysctl ---------------------------------------------------------------------------------- */

#define XEN_SYSCTL_INTERFACE_VERSION 0x15

enum { XEN_SYSCTL_readconsole = 1, XEN_SYSCTL_getdomaininfolist = 6, XEN_SYSCTL_debug_keys = 7 };

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

struct xen_sysctl {
    uint32_t cmd, interface_version;
    union {
        struct xen_sysctl_readconsole readconsole;
        struct xen_sysctl_getdomaininfolist getdomaininfolist;
        struct xen_sysctl_debug_keys debug_keys;
        uint8_t pad[128];
    } u;
};

#endif
