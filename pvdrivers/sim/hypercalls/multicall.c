/* multicall: several hypercalls as one. libxenctrl makes those so whose result is a long. */
#include "pvdrivers/sim/hypercalls/internal.h"

#include <stddef.h>

static int make_call(const struct hypercall *call, uint64_t address)
{
    struct multicall_entry entry;
    if (copy_from_guest(&entry, address, sizeof entry))
        return -EFAULT;
    if (entry.op == __HYPERVISOR_multicall)
        return -EINVAL;
    entry.result = entry.op > UINT32_MAX ? (uint64_t)-ENOSYS
                                         : (uint64_t)pv_hypercall(call->machine, call->caller,
                                                                  (uint32_t)entry.op, entry.args);
    return copy_to_guest(address + offsetof(struct multicall_entry, result), &entry.result,
                         sizeof entry.result);
}

/* (list, how many): each has its own result. */
long do_multicall(const struct hypercall *call)
{
    int error = 0;
    for (uint32_t i = 0; !error && i < (uint32_t)call->args[1]; i++)
        error = make_call(call, call->args[0] + i * sizeof(struct multicall_entry));
    return error;
}
