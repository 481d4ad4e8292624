/* domctl: what a toolstack does to a domain. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_events.h"
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

static long resumedomain(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    int error = check_other(call, op);
    return error ? error : pv_domain_resume(call->machine, op->domain);
}

static long getdomaininfo(const struct hypercall *call, void *argument)
{
    struct xen_domctl *op = argument;
    long error = next_domain(call, op->domain, &op->u.getdomaininfo);
    if (!error)
        op->domain = op->u.getdomaininfo.domain;
    return error;
}

/* Its vcpus were made with it: the number is to be the same. */
static long max_vcpus(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    struct pv_domain_info info;
    int error = pv_domain_info(call->machine, op->domain, &info);
    return error ? error : op->u.max_vcpus.max == info.vcpus ? 0 : -EINVAL;
}

static long setdomainhandle(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    return pv_domain_set_handle(call->machine, op->domain, op->u.setdomainhandle.handle);
}

static long set_address_size(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    return pv_domain_set_address_size(call->machine, op->domain, op->u.address_size.size);
}

static long get_address_size(const struct hypercall *call, void *argument)
{
    struct xen_domctl *op = argument;
    int bits = pv_domain_get_address_size(call->machine, op->domain);
    op->u.address_size.size = (uint32_t)bits;
    return bits < 0 ? bits : 0;
}

static long set_virq_handler(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    return pv_machine_set_virq_handler(call->machine, op->domain, op->u.set_virq_handler.virq);
}

/* What Xen answers for a paravirtual domain. */
static long of_hvm_domains(const struct hypercall *call, void *argument)
{
    struct pv_domain_info info;
    int error = pv_domain_info(call->machine, ((struct xen_domctl *)argument)->domain, &info);
    return error ? error : -EINVAL;
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
    [XEN_DOMCTL_createdomain] = ROW(BOTH, domctl_createdomain),
    [XEN_DOMCTL_destroydomain] = ROW(IN, destroydomain),
    [XEN_DOMCTL_pausedomain] = ROW(IN, pausedomain),
    [XEN_DOMCTL_unpausedomain] = ROW(IN, unpausedomain),
    [XEN_DOMCTL_getdomaininfo] = ROW(BOTH, getdomaininfo),
    [XEN_DOMCTL_setvcpuaffinity] = ROW(BOTH, domctl_setvcpuaffinity),
    [XEN_DOMCTL_setvcpucontext] = ROW(IN, domctl_setvcpucontext),
    [XEN_DOMCTL_getvcpucontext] = ROW(BOTH, domctl_getvcpucontext),
    [XEN_DOMCTL_max_vcpus] = ROW(IN, max_vcpus),
    [XEN_DOMCTL_setdomainhandle] = ROW(IN, setdomainhandle),
    [XEN_DOMCTL_resumedomain] = ROW(IN, resumedomain),
    [XEN_DOMCTL_gethvmcontext] = ROW(IN, of_hvm_domains),
    [XEN_DOMCTL_sethvmcontext] = ROW(IN, of_hvm_domains),
    [XEN_DOMCTL_gethvmcontext_partial] = ROW(IN, of_hvm_domains),
    [XEN_DOMCTL_set_address_size] = ROW(IN, set_address_size),
    [XEN_DOMCTL_get_address_size] = ROW(BOTH, get_address_size),
    [XEN_DOMCTL_set_virq_handler] = ROW(IN, set_virq_handler),
    [XEN_DOMCTL_getvcpuinfo] = ROW(BOTH, domctl_getvcpuinfo),
    [XEN_DOMCTL_scheduler_op] = ROW(BOTH, domctl_scheduler_op),
    [XEN_DOMCTL_getvcpuaffinity] = ROW(BOTH, domctl_getvcpuaffinity),
    [XEN_DOMCTL_getpageframeinfo3] = ROW(IN, domctl_getpageframeinfo3),
    [XEN_DOMCTL_max_mem] = ROW(IN, max_mem),
};

long do_domctl(const struct hypercall *call)
{
    return RUN_TOOLSTACK_OPERATION(call, domctls, XEN_DOMCTL_INTERFACE_VERSION);
}
