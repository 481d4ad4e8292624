/* domctl: what a toolstack does to a domain. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_memory.h"

/* A domain that destroyed or paused itself could not return from the call. */
static int check_other(const struct hypercall *call, const struct xen_domctl *op)
{
    return op->domain == call->caller ? -EINVAL : 0;
}

static long destroydomain(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    int error = check_other(call, op);
    return error ? error : pv_domain_destroy(call->machine, op->domain);
}

static long pausedomain(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    int error = check_other(call, op);
    return error ? error : pv_domain_pause(call->machine, op->domain);
}

static long unpausedomain(const struct hypercall *call, void *argument)
{
    return pv_domain_unpause(call->machine, ((struct xen_domctl *)argument)->domain);
}

static long getdomaininfo(const struct hypercall *call, void *argument)
{
    struct xen_domctl *op = argument;
    long error = next_domain(call, op->domain, &op->u.getdomaininfo);
    if (!error)
        op->domain = op->u.getdomaininfo.domain;
    return error;
}

static long max_mem(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    if (op->u.max_mem.max_memkb > UINT64_MAX >> 10)
        return -EINVAL;
    return pv_domain_set_max_memory(call->machine, call->caller, op->domain,
                                    op->u.max_mem.max_memkb << 10);
}

#define ROW(use, run) {sizeof(struct xen_domctl), use, run}

static const struct operation domctls[] = {
    [XEN_DOMCTL_destroydomain] = ROW(IN, destroydomain),
    [XEN_DOMCTL_pausedomain] = ROW(IN, pausedomain),
    [XEN_DOMCTL_unpausedomain] = ROW(IN, unpausedomain),
    [XEN_DOMCTL_getdomaininfo] = ROW(BOTH, getdomaininfo),
    [XEN_DOMCTL_setvcpuaffinity] = ROW(BOTH, domctl_setvcpuaffinity),
    [XEN_DOMCTL_getvcpuinfo] = ROW(BOTH, domctl_getvcpuinfo),
    [XEN_DOMCTL_scheduler_op] = ROW(BOTH, domctl_scheduler_op),
    [XEN_DOMCTL_getvcpuaffinity] = ROW(BOTH, domctl_getvcpuaffinity),
    [XEN_DOMCTL_max_mem] = ROW(IN, max_mem),
};

long do_domctl(const struct hypercall *call)
{
    return RUN_TOOLSTACK_OPERATION(call, domctls, XEN_DOMCTL_INTERFACE_VERSION);
}
