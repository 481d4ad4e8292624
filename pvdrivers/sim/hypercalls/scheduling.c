/* sysctls and domctls of the scheduler and of cpupools. A machine without CPUs has neither: ENODEV.
 */
#include "pvdrivers/sim/cpupool.h"
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/sched.h"

static_assert(PV_SCHEDULER_CREDIT == XEN_SCHEDULER_CREDIT &&
                  PV_SCHEDULER_CREDIT2 == XEN_SCHEDULER_CREDIT2,
              "a scheduler's number is Xen's");

/* ---- cpupool_op ------------------------------------------------------------------------------ */

static long tell_pool(const struct hypercall *call, struct xen_sysctl_cpupool_op *op)
{
    struct pv_cpupool_info info;
    int error = pv_cpupool_get_info(call->machine, op->cpupool_id, &info);
    if (error)
        return error;
    op->cpupool_id = info.pool;
    op->sched_id = info.scheduler;
    op->n_dom = info.domains;
    return cpus_to_guest(&op->cpumap, info.cpus);
}

static long tell_free_cpus(const struct hypercall *call, const struct xen_sysctl_cpupool_op *op)
{
    uint64_t cpus[PV_SCHED_MAX_CPUS / 64];
    int error = pv_cpupool_get_free(call->machine, cpus);
    return error ? error : cpus_to_guest(&op->cpumap, cpus);
}

long sysctl_cpupool_op(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_cpupool_op *op = &((struct xen_sysctl *)argument)->u.cpupool_op;
    struct pv_machine *machine = call->machine;
    switch (op->op) {
    case XEN_SYSCTL_CPUPOOL_OP_CREATE:
        return pv_cpupool_create(machine, &op->cpupool_id, op->sched_id);
    case XEN_SYSCTL_CPUPOOL_OP_DESTROY:
        return pv_cpupool_destroy(machine, op->cpupool_id);
    case XEN_SYSCTL_CPUPOOL_OP_INFO:
        return tell_pool(call, op);
    case XEN_SYSCTL_CPUPOOL_OP_ADDCPU:
        return pv_cpupool_add_cpu(machine, op->cpupool_id, op->cpu);
    case XEN_SYSCTL_CPUPOOL_OP_RMCPU:
        return pv_cpupool_remove_cpu(machine, op->cpupool_id, op->cpu);
    case XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN:
        return op->domid < DOMID_FIRST_RESERVED
                   ? pv_cpupool_move_domain(machine, op->cpupool_id, (domid_t)op->domid)
                   : -ESRCH;
    case XEN_SYSCTL_CPUPOOL_OP_FREEINFO:
        return tell_free_cpus(call, op);
    default:
        return -ENOSYS;
    }
}

/* ---- Schedulers ------------------------------------------------------------------------------ */

/* 0, or -EINVAL when the pool has another scheduler than the caller thinks. */
static int check_scheduler(const struct hypercall *call, uint32_t pool, uint32_t scheduler)
{
    struct pv_cpupool_info info;
    int error = pv_cpupool_get_info(call->machine, pool, &info);
    if (error == -ENOENT || (!error && info.pool != pool))
        return -ESRCH;
    return error ? error : info.scheduler == scheduler ? 0 : -EINVAL;
}

/* That of Pool-0, which new pools have if none is named; 0, none of Xen's, without CPUs. */
long sysctl_sched_id(const struct hypercall *call, void *argument)
{
    struct pv_cpupool_info info;
    bool none = pv_cpupool_get_info(call->machine, 0, &info);
    ((struct xen_sysctl *)argument)->u.sched_id.sched_id = none ? 0 : info.scheduler;
    return 0;
}

static long set_params(const struct hypercall *call, const struct xen_sysctl_scheduler_op *op)
{
    const struct xen_sysctl_credit_schedule *credit = &op->u.sched_credit;
    struct pv_sched_params params = {.ratelimit_us = op->u.sched_credit2.ratelimit_us};
    if (op->sched_id == PV_SCHEDULER_CREDIT)
        params = (struct pv_sched_params){credit->tslice_ms, credit->ratelimit_us,
                                          credit->vcpu_migr_delay_us};
    return pv_sched_set_params(call->machine, op->cpupool_id, &params);
}

static long get_params(const struct hypercall *call, struct xen_sysctl_scheduler_op *op)
{
    struct pv_sched_params params;
    int error = pv_sched_get_params(call->machine, op->cpupool_id, &params);
    if (error)
        return error;
    if (op->sched_id == PV_SCHEDULER_CREDIT)
        op->u.sched_credit = (struct xen_sysctl_credit_schedule){
            params.tslice_ms, params.ratelimit_us, params.migration_delay_us};
    else
        op->u.sched_credit2.ratelimit_us = params.ratelimit_us;
    return 0;
}

long sysctl_scheduler_op(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_scheduler_op *op = &((struct xen_sysctl *)argument)->u.scheduler_op;
    int error = check_scheduler(call, op->cpupool_id, op->sched_id);
    if (error)
        return error;
    switch (op->cmd) {
    case XEN_SYSCTL_SCHEDOP_putinfo:
        return set_params(call, op);
    case XEN_SYSCTL_SCHEDOP_getinfo:
        return get_params(call, op);
    default:
        return -EINVAL;
    }
}

#define KEEP_WEIGHT 0
#define KEEP_CAP UINT16_MAX

static long set_domain(const struct hypercall *call, domid_t domid,
                       const struct xen_domctl_sched_credit *wanted)
{
    struct pv_sched_domain settings;
    int error = pv_sched_get_domain(call->machine, domid, &settings);
    if (error)
        return error;
    if (wanted->weight != KEEP_WEIGHT)
        settings.weight = wanted->weight;
    if (wanted->cap != KEEP_CAP)
        settings.cap = wanted->cap;
    return pv_sched_set_domain(call->machine, domid, &settings);
}

static long get_domain(const struct hypercall *call, domid_t domid,
                       struct xen_domctl_sched_credit *credit)
{
    struct pv_sched_domain settings;
    int error = pv_sched_get_domain(call->machine, domid, &settings);
    if (!error)
        *credit =
            (struct xen_domctl_sched_credit){(uint16_t)settings.weight, (uint16_t)settings.cap};
    return error;
}

long domctl_scheduler_op(const struct hypercall *call, void *argument)
{
    struct xen_domctl *domctl = argument;
    struct xen_domctl_scheduler_op *op = &domctl->u.scheduler_op;
    uint32_t pool;
    int error = pv_cpupool_of_domain(call->machine, domctl->domain, &pool);
    if (!error)
        error = check_scheduler(call, pool, op->sched_id);
    if (error)
        return error;
    switch (op->cmd) {
    case XEN_DOMCTL_SCHEDOP_putinfo:
        return set_domain(call, domctl->domain, &op->u.credit);
    case XEN_DOMCTL_SCHEDOP_getinfo:
        return get_domain(call, domctl->domain, &op->u.credit);
    default:
        return -EINVAL; /* this scheduler has no parameters of single vcpus */
    }
}
