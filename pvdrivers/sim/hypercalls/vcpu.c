/* domctls of a vcpu. On a machine without CPUs it runs whenever its domain does, anywhere. */
#include "pvdrivers/sim/cpupool.h"
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/ia64.h"
#include "pvdrivers/sim/sched.h"

#include <string.h>

static int check_vcpu(const struct hypercall *call, domid_t domid, uint32_t vcpu,
                      struct pv_domain_info *info)
{
    int error = pv_domain_info(call->machine, domid, info);
    return error ? error : vcpu < info->vcpus ? 0 : -EINVAL;
}

long domctl_getvcpuinfo(const struct hypercall *call, void *argument)
{
    struct xen_domctl *domctl = argument;
    struct xen_domctl_getvcpuinfo *op = &domctl->u.getvcpuinfo;
    struct pv_vcpu_runstate runstate = {0};
    struct pv_domain_info info;
    int error = check_vcpu(call, domctl->domain, op->vcpu, &info);
    if (error)
        return error;
    error = pv_vcpu_get_runstate(call->machine, domctl->domain, op->vcpu, &runstate);
    if (error && error != -ENODEV)
        return error;
    op->online = pv_vcpu_op_is_up(call->machine, domctl->domain, op->vcpu) == 1;
    op->blocked = !error && runstate.state == RUNSTATE_blocked;
    op->running = error ? info.state == PV_DOMAIN_RUNNING : runstate.state == RUNSTATE_running;
    op->cpu_time = runstate.time[RUNSTATE_running];
    op->cpu = runstate.cpu;
    return 0;
}

long domctl_setvcpucontext(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *domctl = argument;
    const struct xen_domctl_vcpucontext *op = &domctl->u.vcpucontext;
    union vcpu_context context;
    struct pv_domain_info info;
    int error = check_vcpu(call, domctl->domain, op->vcpu, &info);
    if (error)
        return error;
    if (copy_from_guest(&context, op->ctxt, pv_vcpu_context_size(info.abi)))
        return -EFAULT;
    return info.abi == PV_ABI_IA64
               ? pv_ia64_vcpu_set_context(call->machine, domctl->domain, op->vcpu, &context.ia64)
               : pv_vcpu_set_context(call->machine, domctl->domain, op->vcpu, &context);
}

long domctl_getvcpucontext(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *domctl = argument;
    const struct xen_domctl_vcpucontext *op = &domctl->u.vcpucontext;
    union vcpu_context context;
    struct pv_domain_info info;
    int error = check_vcpu(call, domctl->domain, op->vcpu, &info);
    if (!error && info.abi == PV_ABI_IA64)
        error = pv_ia64_vcpu_get_context(call->machine, domctl->domain, op->vcpu, &context.ia64);
    else if (!error)
        error = pv_vcpu_get_context(call->machine, domctl->domain, op->vcpu, &context);
    return error ? error : copy_to_guest(op->ctxt, &context, pv_vcpu_context_size(info.abi));
}

typedef uint64_t cpus_t[PV_SCHED_MAX_CPUS / 64];

static int get_affinity(const struct hypercall *call, domid_t domid, uint32_t vcpu, cpus_t hard,
                        cpus_t soft)
{
    int error = pv_vcpu_get_affinity(call->machine, domid, vcpu, hard, soft);
    if (error != -ENODEV)
        return error;
    memset(hard, 0xff, sizeof(cpus_t));
    memset(soft, 0xff, sizeof(cpus_t));
    return 0;
}

static int answer(const struct xen_domctl_vcpuaffinity *op, const cpus_t hard, const cpus_t soft)
{
    int error = 0;
    if (op->flags & XEN_VCPUAFFINITY_HARD)
        error = cpus_to_guest(&op->cpumap_hard, hard);
    if (!error && op->flags & XEN_VCPUAFFINITY_SOFT)
        error = cpus_to_guest(&op->cpumap_soft, soft);
    return error;
}

/* What was set, whatever CPUs the domain's pool has. */
long domctl_getvcpuaffinity(const struct hypercall *call, void *argument)
{
    struct xen_domctl *domctl = argument;
    const struct xen_domctl_vcpuaffinity *op = &domctl->u.vcpuaffinity;
    struct pv_domain_info info;
    cpus_t hard, soft;
    int error = check_vcpu(call, domctl->domain, op->vcpu, &info);
    if (!error)
        error = get_affinity(call, domctl->domain, op->vcpu, hard, soft);
    return error ? error : answer(op, hard, soft);
}

static int set_affinity(const struct hypercall *call, domid_t domid,
                        const struct xen_domctl_vcpuaffinity *op)
{
    cpus_t hard, soft;
    bool hard_too = op->flags & XEN_VCPUAFFINITY_HARD, soft_too = op->flags & XEN_VCPUAFFINITY_SOFT;
    int error = hard_too ? cpus_from_guest(hard, &op->cpumap_hard) : 0;
    if (!error && soft_too)
        error = cpus_from_guest(soft, &op->cpumap_soft);
    if (error)
        return error;
    return pv_vcpu_set_affinity(call->machine, domid, op->vcpu, hard_too ? hard : NULL,
                                soft_too ? soft : NULL);
}

/* Told back as what that leaves of its pool's CPUs, and of the CPUs on which it may run. */
long domctl_setvcpuaffinity(const struct hypercall *call, void *argument)
{
    struct xen_domctl *domctl = argument;
    const struct xen_domctl_vcpuaffinity *op = &domctl->u.vcpuaffinity;
    struct pv_domain_info info;
    struct pv_cpupool_info pool;
    cpus_t hard, soft;
    int error = check_vcpu(call, domctl->domain, op->vcpu, &info);
    if (error)
        return error;
    if (!(op->flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)))
        return -EINVAL;
    error = set_affinity(call, domctl->domain, op);
    if (!error)
        error = get_affinity(call, domctl->domain, op->vcpu, hard, soft);
    if (!error)
        error = pv_cpupool_of_domain(call->machine, domctl->domain, &pool.pool);
    if (!error)
        error = pv_cpupool_get_info(call->machine, pool.pool, &pool);
    for (unsigned i = 0; !error && i < PV_SCHED_MAX_CPUS / 64; i++) {
        hard[i] &= pool.cpus[i];
        soft[i] &= hard[i];
    }
    return error ? error : answer(op, hard, soft);
}
