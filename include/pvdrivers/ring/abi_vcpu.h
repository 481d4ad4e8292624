/*
 * What a guest's kernel asks of the hypervisor for its vcpus: the arguments of vcpu_op (vcpu.h).
 * Padding is declared.
 */
#ifndef PVDRIVERS_RING_ABI_VCPU_H
#define PVDRIVERS_RING_ABI_VCPU_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define VCPUOP_register_vcpu_info 10

struct vcpu_register_vcpu_info {
    uint64_t mfn;    /* a gfn of the guest's */
    uint32_t offset; /* bytes */
    uint32_t rsvd;
};
/* cffi: end */

static_assert(sizeof(struct vcpu_register_vcpu_info) == 16, "vcpu_register_vcpu_info");

#endif
