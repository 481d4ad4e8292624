/*
 * What Xen shares with a guest from its first instruction: shared_info with its vcpu_info slots
 * and bitmaps, and the start_info of a PV guest (xen.h, arch-x86/xen.h, arch-ia64.h of 2012).
 * vcpu_time_info is alike on every ABI; start_info of ia64 is the x86_64 one. Padding is declared.
 */
#ifndef PVDRIVERS_RING_ABI_SHARED_INFO_H
#define PVDRIVERS_RING_ABI_SHARED_INFO_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define XEN_LEGACY_MAX_VCPUS_x86 32
#define XEN_LEGACY_MAX_VCPUS_ia64 64
#define MAX_GUEST_CMDLINE 1024

#define SIF_PRIVILEGED 1
#define SIF_INITDOMAIN 2
#define SIF_MULTIBOOT_MOD 4
#define SIF_MOD_START_PFN 8
#define SIF_VIRT_P2M_4TOOLS 16
#define SIF_PM_MASK 0xff00

/* ns = system_time + (((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul) >> 32; an odd
 * version means that Xen is writing. */
struct vcpu_time_info {
    uint32_t version;
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time; /* ns */
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags; /* x86 */
    uint8_t pad1[2];
};

struct arch_vcpu_info_x86_64 {
    uint64_t cr2;
    uint64_t pad;
};

struct arch_vcpu_info_x86_32 {
    uint32_t cr2;
    uint32_t pad[5];
};

struct vcpu_info_x86_64 {
    uint8_t evtchn_upcall_pending;
    uint8_t evtchn_upcall_mask;
    uint8_t pad[6];
    uint64_t evtchn_pending_sel;
    struct arch_vcpu_info_x86_64 arch;
    struct vcpu_time_info time;
};

struct vcpu_info_x86_32 {
    uint8_t evtchn_upcall_pending;
    uint8_t evtchn_upcall_mask;
    uint8_t pad[2];
    uint32_t evtchn_pending_sel;
    struct arch_vcpu_info_x86_32 arch;
    struct vcpu_time_info time;
};

/* Its arch part is empty. */
struct vcpu_info_ia64 {
    uint8_t evtchn_upcall_pending;
    uint8_t evtchn_upcall_mask;
    uint8_t pad[6];
    uint64_t evtchn_pending_sel;
    struct vcpu_time_info time;
};

struct arch_shared_info_x86_64 {
    uint64_t max_pfn;
    uint64_t pfn_to_mfn_frame_list_list;
    uint64_t nmi_reason;
    uint64_t p2m_cr3;
    uint64_t p2m_vaddr;
    uint64_t p2m_generation;
};

struct arch_shared_info_x86_32 {
    uint32_t max_pfn;
    uint32_t pfn_to_mfn_frame_list_list;
    uint32_t nmi_reason;
    uint32_t p2m_cr3;
    uint32_t p2m_vaddr;
    uint32_t p2m_generation;
    uint32_t wc_sec_hi;
};

struct arch_shared_info_ia64 {
    uint64_t start_info_pfn;
    uint32_t evtchn_vector;
    uint32_t memmap_info_num_pages;
    uint64_t memmap_info_pfn;
    uint64_t pad[31];
};

struct shared_info_x86_64 {
    struct vcpu_info_x86_64 vcpu_info[XEN_LEGACY_MAX_VCPUS_x86];
    uint64_t evtchn_pending[64];
    uint64_t evtchn_mask[64];
    uint32_t wc_version;
    uint32_t wc_sec;
    uint32_t wc_nsec;
    uint32_t wc_sec_hi;
    struct arch_shared_info_x86_64 arch;
};

struct shared_info_x86_32 {
    struct vcpu_info_x86_32 vcpu_info[XEN_LEGACY_MAX_VCPUS_x86];
    uint32_t evtchn_pending[32];
    uint32_t evtchn_mask[32];
    uint32_t wc_version;
    uint32_t wc_sec;
    uint32_t wc_nsec;
    struct arch_shared_info_x86_32 arch;
};

struct shared_info_ia64 {
    struct vcpu_info_ia64 vcpu_info[XEN_LEGACY_MAX_VCPUS_ia64];
    uint64_t evtchn_pending[64];
    uint64_t evtchn_mask[64];
    uint32_t wc_version;
    uint32_t wc_sec;
    uint32_t wc_nsec;
    uint32_t pad;
    struct arch_shared_info_ia64 arch;
};

struct start_info_x86_64 {
    char magic[32];       /* "xen-<version>-<platform>" */
    uint64_t nr_pages;    /* of this domain */
    uint64_t shared_info; /* machine address */
    uint32_t flags;       /* SIF_* */
    uint32_t pad;
    uint64_t store_mfn;
    uint32_t store_evtchn;
    uint32_t pad2;
    union {
        struct {
            uint64_t mfn;
            uint32_t evtchn;
            uint32_t pad;
        } domU;
        struct {
            uint32_t info_off;
            uint32_t info_size;
        } dom0;
    } console;
    uint64_t pt_base;
    uint64_t nr_pt_frames;
    uint64_t mfn_list;
    uint64_t mod_start;
    uint64_t mod_len; /* bytes */
    int8_t cmd_line[MAX_GUEST_CMDLINE];
    uint64_t first_p2m_pfn;
    uint64_t nr_p2m_frames;
};

struct start_info_x86_32 {
    char magic[32];
    uint32_t nr_pages;
    uint32_t shared_info;
    uint32_t flags;
    uint32_t store_mfn;
    uint32_t store_evtchn;
    union {
        struct {
            uint32_t mfn;
            uint32_t evtchn;
        } domU;
        struct {
            uint32_t info_off;
            uint32_t info_size;
        } dom0;
    } console;
    uint32_t pt_base;
    uint32_t nr_pt_frames;
    uint32_t mfn_list;
    uint32_t mod_start;
    uint32_t mod_len;
    int8_t cmd_line[MAX_GUEST_CMDLINE];
    uint32_t first_p2m_pfn;
    uint32_t nr_p2m_frames;
};
/* cffi: end */

static_assert(sizeof(struct vcpu_time_info) == 32, "vcpu_time_info");
static_assert(sizeof(struct vcpu_info_x86_64) == 64, "vcpu_info x86_64");
static_assert(sizeof(struct vcpu_info_x86_32) == 64, "vcpu_info x86_32");
static_assert(sizeof(struct vcpu_info_ia64) == 48, "vcpu_info ia64");
static_assert(sizeof(struct arch_shared_info_ia64) == 272, "arch_shared_info ia64");
static_assert(sizeof(struct shared_info_x86_64) == 3136, "shared_info x86_64");
static_assert(sizeof(struct shared_info_x86_32) == 2344, "shared_info x86_32");
static_assert(sizeof(struct shared_info_ia64) == 4384, "shared_info ia64");
static_assert(sizeof(struct start_info_x86_64) == 1168, "start_info x86_64");
static_assert(sizeof(struct start_info_x86_32) == 1112, "start_info x86_32");

#endif
