/*
 * Any hypercall by Xen's number, with the argument structures of Xen 4.17 on x86-64: what programs
 * of Xen's make through libxencall (pvdrivers/dropin/). Addresses in arguments are of this process;
 * what is there is copied before it is looked at, and an address that is not mapped is -EFAULT.
 *
 * What this machine does not have answers -ENOSYS, as Xen of a build without it. Xen's checks of
 * privilege hold: sysctl and domctl are a privileged domain's, others get -EPERM.
 */
#ifndef PVDRIVERS_SIM_HYPERCALL_H
#define PVDRIVERS_SIM_HYPERCALL_H

#include "pvdrivers/sim/machine.h"

/* cffi: begin */
/* The Xen that the machine says it is: that of the interface versions it understands. */
#define PV_XEN_MAJOR 4
#define PV_XEN_MINOR 17

#define PV_HYPERCALL_ARGS 5

/* `caller` makes it. What the hypercall returns: 0 or positive, or a negative errno. */
PV_API int64_t pv_hypercall(struct pv_machine *machine, domid_t caller, uint32_t op,
                            const uint64_t *args /* PV_HYPERCALL_ARGS of them */);
/* cffi: end */

#define PV_XEN_EXTRAVERSION ".0-pvdrivers"

#endif
