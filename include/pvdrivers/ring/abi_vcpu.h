/*
 * What a guest's kernel asks of the hypervisor for its vcpus: the arguments of vcpu_op (vcpu.h).
 * Padding is declared.
 */
#ifndef PVDRIVERS_RING_ABI_VCPU_H
#define PVDRIVERS_RING_ABI_VCPU_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define VCPUOP_initialise 0
#define VCPUOP_up 1
#define VCPUOP_down 2
#define VCPUOP_is_up 3
#define VCPUOP_get_runstate_info 4
#define VCPUOP_register_runstate_memory_area 5
#define VCPUOP_set_periodic_timer 6
#define VCPUOP_stop_periodic_timer 7
#define VCPUOP_set_singleshot_timer 8
#define VCPUOP_stop_singleshot_timer 9
#define VCPUOP_register_vcpu_info 10

#define VCPU_SSHOTTMR_future 1 /* -ETIME when it has passed already */

struct vcpu_runstate_info {
    uint32_t state; /* RUNSTATE_* */
    uint32_t pad;
    uint64_t state_entry_time; /* ns */
    uint64_t time[4];          /* ns in each state */
};

struct vcpu_register_runstate_memory_area {
    uint64_t p; /* 0: there is none any more */
};

struct vcpu_set_periodic_timer {
    uint64_t period_ns;
};

struct vcpu_set_singleshot_timer {
    uint64_t timeout_abs_ns;
    uint32_t flags; /* VCPU_SSHOTTMR_* */
    uint32_t pad;
};

struct vcpu_register_vcpu_info {
    uint64_t mfn;    /* a gfn of the guest's */
    uint32_t offset; /* bytes */
    uint32_t rsvd;
};
/* cffi: end */

struct vcpu_runstate_info_x86_32 {
    uint32_t state;
    pv_x86_32_u64 state_entry_time;
    pv_x86_32_u64 time[4];
};

static_assert(sizeof(struct vcpu_runstate_info) == 48, "vcpu_runstate_info");
static_assert(sizeof(struct vcpu_runstate_info_x86_32) == 44, "vcpu_runstate_info x86_32");
static_assert(sizeof(struct vcpu_set_singleshot_timer) == 16, "vcpu_set_singleshot_timer");
static_assert(sizeof(struct vcpu_register_vcpu_info) == 16, "vcpu_register_vcpu_info");

#endif
