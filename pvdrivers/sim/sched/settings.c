/* What toolstacks and vcpus ask of the scheduler. */
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/sched/trace.h"

#include <errno.h>

/* ---- The scheduler --------------------------------------------------------------------------- */

static bool limit_is_valid(uint32_t limit)
{
    return limit == 0 || (limit >= PV_SCHED_MIN_RATELIMIT_US && limit <= PV_SCHED_MAX_RATELIMIT_US);
}

static bool params_are_valid(const struct sched_pool *pool, const struct pv_sched_params *params)
{
    if (!limit_is_valid(params->ratelimit_us))
        return false;
    if (pool->scheduler == PV_SCHEDULER_CREDIT2)
        return params->tslice_ms == 0 && params->migration_delay_us == 0;
    return params->tslice_ms >= 1 && params->tslice_ms <= PV_SCHED_MAX_TSLICE_MS &&
           params->ratelimit_us <= params->tslice_ms * 1000 &&
           params->migration_delay_us <= PV_SCHED_MAX_MIGRATION_DELAY_US;
}

static int set_params(struct sched_pool *pool, const struct pv_sched_params *params)
{
    if (!pool)
        return -ENOENT;
    if (!params_are_valid(pool, params))
        return -EINVAL;
    pool->ratelimit_us = params->ratelimit_us;
    if (pool->scheduler == PV_SCHEDULER_CREDIT) {
        pool->slice_us = params->tslice_ms * 1000;
        pool->migration_delay_us = params->migration_delay_us;
    }
    return 0;
}

int pv_sched_set_params(struct pv_machine *machine, uint32_t id,
                        const struct pv_sched_params *params)
{
    sched_lock(machine);
    int error = set_params(pool_find(scheduler(machine), id), params);
    sched_unlock(machine);
    return error;
}

int pv_sched_get_params(struct pv_machine *machine, uint32_t id, struct pv_sched_params *params)
{
    sched_lock(machine);
    const struct sched_pool *pool = pool_find(scheduler(machine), id);
    if (pool)
        *params = (struct pv_sched_params){pool->slice_us / 1000, pool->ratelimit_us,
                                           pool->migration_delay_us};
    sched_unlock(machine);
    return pool ? 0 : -ENOENT;
}

int pv_sched_get_stats(struct pv_machine *machine, struct pv_sched_stats *stats)
{
    const struct scheduler *sched = scheduler(machine);
    if (sched->cpus == 0)
        return -ENODEV;
    sched_lock(machine);
    *stats =
        (struct pv_sched_stats){sched->decisions, sched->switches, sched->steals, sched->boosts};
    sched_unlock(machine);
    return 0;
}

int pv_sched_get_idle_time(struct pv_machine *machine, uint32_t cpu, uint64_t *ns)
{
    struct scheduler *sched = scheduler(machine);
    if (sched->cpus == 0)
        return -ENODEV;
    if (cpu >= sched->cpus)
        return -EINVAL;
    sched_lock(machine);
    if (sched->cpu[cpu].current == NO_VCPU)
        cpu_charge(machine, &sched->cpu[cpu], pv_machine_now(machine));
    *ns = is_scheduled(machine) ? sched->cpu[cpu].idle_time : process_time_idle(machine);
    sched_unlock(machine);
    return 0;
}

/* ---- A domain -------------------------------------------------------------------------------- */

int sched_find(struct pv_machine *machine, domid_t domid, uint32_t vcpu, struct domain **d)
{
    if (scheduler(machine)->cpus == 0)
        return -ENODEV;
    *d = find_live_domain(machine, NULL, domid);
    if (!*d)
        return -ESRCH;
    return vcpu < (*d)->max_vcpus ? 0 : -EINVAL;
}

int pv_sched_set_domain(struct pv_machine *machine, domid_t domid,
                        const struct pv_sched_domain *settings)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = sched_find(machine, domid, 0, &d);
    if (error)
        return error;
    uint32_t weight = settings->weight;
    if (weight < PV_SCHED_MIN_WEIGHT || weight > PV_SCHED_MAX_WEIGHT ||
        settings->cap > 100 * d->max_vcpus)
        return -EINVAL;
    sched_lock(machine);
    ops_of(pool_of(machine, d))
        ->set_domain(machine, d, (uint16_t)weight, (uint16_t)settings->cap,
                     pv_machine_now(machine));
    XENTRACE(machine, 0, TRC_SCHED_ADJDOM, domid);
    sched_unlock(machine);
    return 0;
}

int pv_sched_get_domain(struct pv_machine *machine, domid_t domid, struct pv_sched_domain *settings)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = sched_find(machine, domid, 0, &d);
    if (error)
        return error;
    sched_lock(machine);
    *settings = (struct pv_sched_domain){d->sched.weight, d->sched.cap};
    sched_unlock(machine);
    return 0;
}

/* ---- A vcpu ---------------------------------------------------------------------------------- */

int pv_vcpu_get_runstate(struct pv_machine *machine, domid_t domid, uint32_t id,
                         struct pv_vcpu_runstate *runstate)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = sched_find(machine, domid, id, &d);
    if (error)
        return error;
    sched_lock(machine);
    const struct sched_vcpu *vcpu = &d->vcpu[id].sched;
    *runstate = (struct pv_vcpu_runstate){
        .state = vcpu->state, .cpu = vcpu->cpu, .state_entry_time = vcpu->state_since};
    runstate_times(machine, d, id, runstate->time);
    sched_unlock(machine);
    return 0;
}

int pv_vcpu_demand(struct pv_machine *machine, domid_t domid, uint32_t id, uint64_t ns)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = sched_find(machine, domid, id, &d);
    if (error || !is_scheduled(machine))
        return error ? error : -ENODEV;
    sched_lock(machine);
    struct sched_vcpu *vcpu = &d->vcpu[id].sched;
    uint64_t now = pv_machine_now(machine);
    if (vcpu->state == RUNSTATE_running)
        cpu_charge(machine, &scheduler(machine)->cpu[vcpu->cpu], now);
    vcpu->demand = ns > UINT64_MAX - vcpu->demand ? UINT64_MAX : vcpu->demand + ns;
    if (vcpu->state == RUNSTATE_running)
        cpu_update(machine, vcpu->cpu);
    else
        vcpu_changed(machine, make_ref(d, id), now, true);
    sched_unlock(machine);
    return 0;
}
