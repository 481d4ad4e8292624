/* domctls of a vcpu. On a machine without CPUs it runs whenever its domain does, anywhere. */
#include "pvdrivers/sim/cpupool.h"
#include "pvdrivers/sim/hypercalls/internal.h"
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
    op->online = true;
    op->blocked = !error && runstate.state == RUNSTATE_blocked;
    op->running = error ? info.state == PV_DOMAIN_RUNNING : runstate.state == RUNSTATE_running;
    op->cpu_time = runstate.time[RUNSTATE_running];
    op->cpu = runstate.cpu;
    return 0;
}

static int get_hard(const struct hypercall *call, domid_t domid, uint32_t vcpu, uint64_t *cpus)
{
    int error = pv_vcpu_get_affinity(call->machine, domid, vcpu, cpus);
    if (error != -ENODEV)
        return error;
    memset(cpus, 0xff, PV_SCHED_MAX_CPUS / 8);
    return 0;
}

/* What was set, whatever CPUs the domain's pool has. No CPU is preferred to another one. */
long domctl_getvcpuaffinity(const struct hypercall *call, void *argument)
{
    struct xen_domctl *domctl = argument;
    const struct xen_domctl_vcpuaffinity *op = &domctl->u.vcpuaffinity;
    uint64_t cpus[PV_SCHED_MAX_CPUS / 64];
    struct pv_domain_info info;
    int error = check_vcpu(call, domctl->domain, op->vcpu, &info);
    if (!error && op->flags & XEN_VCPUAFFINITY_HARD) {
        error = get_hard(call, domctl->domain, op->vcpu, cpus);
        if (!error)
            error = cpus_to_guest(&op->cpumap_hard, cpus);
    }
    if (!error && op->flags & XEN_VCPUAFFINITY_SOFT) {
        memset(cpus, 0xff, sizeof cpus);
        error = cpus_to_guest(&op->cpumap_soft, cpus);
    }
    return error;
}

/* Where it may run from now on, told back as what that leaves of its pool's CPUs. */
static int set_hard(const struct hypercall *call, domid_t domid, uint32_t vcpu,
                    const struct xenctl_bitmap *map)
{
    uint64_t cpus[PV_SCHED_MAX_CPUS / 64];
    struct pv_cpupool_info pool;
    int error = cpus_from_guest(cpus, map);
    if (!error)
        error = pv_vcpu_set_affinity(call->machine, domid, vcpu, cpus);
    if (!error)
        error = pv_cpupool_of_domain(call->machine, domid, &pool.pool);
    if (!error)
        error = pv_cpupool_get_info(call->machine, pool.pool, &pool);
    for (unsigned i = 0; !error && i < PV_SCHED_MAX_CPUS / 64; i++)
        cpus[i] &= pool.cpus[i];
    return error ? error : cpus_to_guest(map, cpus);
}

long domctl_setvcpuaffinity(const struct hypercall *call, void *argument)
{
    struct xen_domctl *domctl = argument;
    const struct xen_domctl_vcpuaffinity *op = &domctl->u.vcpuaffinity;
    struct pv_domain_info info;
    int error = check_vcpu(call, domctl->domain, op->vcpu, &info);
    if (error)
        return error;
    if (!(op->flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)))
        return -EINVAL;
    if (op->flags & XEN_VCPUAFFINITY_SOFT)
        return -EOPNOTSUPP;
    return set_hard(call, domctl->domain, op->vcpu, &op->cpumap_hard);
}
