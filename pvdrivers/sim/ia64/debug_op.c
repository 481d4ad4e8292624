/* At what events of a domain's vcpus Xen would stop it for a debugger. They are kept; nothing here
 * runs a vcpu's instructions. */
#include "pvdrivers/sim/ia64/internal.h"

#include <errno.h>

static int run(struct pv_machine *machine, const struct domain *caller, uint64_t cmd,
               struct domain *d, uint64_t buffer)
{
    union xen_ia64_debug_op op;
    int error = xencomm_from_guest(machine, caller, &op, buffer, sizeof op, 0);
    if (error)
        return error;
    switch (cmd) {
    case XEN_IA64_DEBUG_OP_SET_FLAGS:
        __atomic_store_n(&d->ia64.debug_flags, op.flags, __ATOMIC_RELAXED);
        return 0;
    case XEN_IA64_DEBUG_OP_GET_FLAGS:
        op.flags = __atomic_load_n(&d->ia64.debug_flags, __ATOMIC_RELAXED);
        return xencomm_to_guest(machine, caller, buffer, &op, sizeof op, 0);
    default:
        return -ENOSYS;
    }
}

int pv_ia64_debug_op(struct pv_machine *machine, domid_t caller, uint64_t cmd, uint64_t domid,
                     uint64_t buffer)
{
    RCU_SECTION(machine);
    struct domain *by = find_live_domain(machine, NULL, caller);
    if (!by)
        return -ESRCH;
    if (by->abi != PV_ABI_IA64)
        return -ENOSYS;
    if (!by->privileged)
        return -EPERM;
    struct domain *d = named_domain(machine, NULL, domid);
    return d ? run(machine, by, cmd, d, buffer) : -ESRCH;
}
