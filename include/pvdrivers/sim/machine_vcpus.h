/*
 * What a guest's kernel asks of the simulated hypervisor for its vcpus: vcpu_op, with Xen's
 * arguments (ring/abi_vcpu.h). `caller` is the domain, which makes the call on its vcpu `current`;
 * `vcpu` is the one it is about.
 *
 * Calls return 0 or a positive result, or a negative errno: -ESRCH no such domain, -ENOENT no such
 * vcpu; others are named at the call.
 */
#ifndef PVDRIVERS_SIM_MACHINE_VCPUS_H
#define PVDRIVERS_SIM_MACHINE_VCPUS_H

#include "pvdrivers/ring/abi_vcpu.h"
#include "pvdrivers/sim/machine.h"

/* cffi: begin */
/* From now on the vcpu's vcpu_info is there, once and for all. A vcpu beyond those of shared_info
 * (32, on ia64 64) has one that its guest does not see until then. All that may have been raised
 * for it is raised again. -ENXIO it crosses the end of its page, or is not aligned to a word;
 * -EINVAL no such page, it was registered before, or the vcpu is another one and up. */
PV_API int pv_vcpu_op_register_vcpu_info(struct pv_machine *machine, domid_t caller,
                                         uint32_t current, uint32_t vcpu,
                                         const struct vcpu_register_vcpu_info *info);
/* cffi: end */

#endif
