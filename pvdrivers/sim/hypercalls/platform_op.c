/* platform_op: what domain 0 says of the hardware. */
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/hypercalls/abi_platform.h"
#include "pvdrivers/sim/hypercalls/internal.h"

/* A proximity domain is the node of that number. */
static long mem_hotadd(const struct hypercall *call, void *argument)
{
    const struct xenpf_mem_hotadd *op = &((struct xen_platform_op *)argument)->u.mem_add;
    if (op->spfn >= op->epfn || op->epfn > UINT64_MAX >> FRAME_SHIFT)
        return -EINVAL;
    const struct pv_memory_extent extent = {.start = op->spfn << FRAME_SHIFT,
                                            .size = (op->epfn - op->spfn) << FRAME_SHIFT,
                                            .node = op->pxm};
    return pv_machine_add_memory(call->machine, &extent);
}

static const struct operation platform_ops[] = {
    [XENPF_mem_hotadd] = {sizeof(struct xen_platform_op), IN, mem_hotadd},
};

long do_platform_op(const struct hypercall *call)
{
    return RUN_TOOLSTACK_OPERATION(call, platform_ops, XENPF_INTERFACE_VERSION);
}
