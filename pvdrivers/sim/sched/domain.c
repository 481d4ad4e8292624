/* The subsystem: CPUs of a machine, vcpus of a domain; and what toolstacks set. */
#include "pvdrivers/sim/sched/internal.h"

#include <errno.h>

/* ---- The machine ----------------------------------------------------------------------------- */

static void init_cpu(struct scheduler *sched, uint16_t cpu)
{
    sched->cpu[cpu] = (struct sched_cpu){
        .current = NO_VCPU, .first = NO_VCPU, .last = NO_VCPU, .next = NEVER, .heap_place = cpu};
    sched->heap[cpu] = cpu;
    mask_put(&sched->idlers, cpu, true);
}

static void init(struct machine *shared, const struct pv_machine_config *config)
{
    struct scheduler *sched = &shared->scheduler;
    sim_lock_init(&sched->lock);
    sched->cpus = config->cpus;
    sched->slice_us = PV_SCHED_DEFAULT_TSLICE_MS * 1000;
    sched->ratelimit_us = PV_SCHED_DEFAULT_RATELIMIT_US;
    sched->account_at = PV_SCHED_DEFAULT_TSLICE_MS * NS_PER_MS;
    for (uint16_t cpu = 0; cpu < sched->cpus; cpu++)
        init_cpu(sched, cpu);
}

/* ---- The lock, and what a process has left that died with it --------------------------------- */

/* Every CPU idles, and nobody is active. */
static void start_afresh(struct scheduler *sched, uint64_t now)
{
    for (uint16_t cpu = 0; cpu < sched->cpus; cpu++) {
        uint64_t idle_time = sched->cpu[cpu].idle_time;
        init_cpu(sched, cpu);
        sched->cpu[cpu].idle_time = idle_time;
        sched->cpu[cpu].since = now;
    }
    sched->active_domains = sched->weight = 0;
}

/* What wanted a CPU wants one. */
static void repair_vcpu(struct pv_machine *machine, struct domain *d, uint32_t id, uint64_t now)
{
    struct sched_vcpu *vcpu = &d->vcpu[id].sched;
    vcpu->active = vcpu->queued = vcpu->moving = vcpu->parked = false;
    vcpu_set_state(vcpu, RUNSTATE_blocked, now);
    vcpu_changed(machine, make_ref(d, id), now, false);
}

static void repair(struct pv_machine *machine)
{
    uint64_t now = pv_machine_now(machine);
    start_afresh(scheduler(machine), now);
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        for (uint32_t id = 0; domain_is_found(d) && id < d->max_vcpus; id++)
            repair_vcpu(machine, d, id, now);
    }
}

void sched_lock(struct pv_machine *machine)
{
    if (sim_lock(&scheduler(machine)->lock))
        repair(machine);
}

void sched_unlock(struct pv_machine *machine)
{
    sim_unlock(&scheduler(machine)->lock);
}

/* ---- A domain -------------------------------------------------------------------------------- */

static int create(struct pv_machine *machine, struct domain *d,
                  const struct pv_domain_config *config)
{
    const struct scheduler *sched = scheduler(machine);
    uint64_t now = pv_machine_now(machine);
    (void)config;
    sched_lock(machine);
    d->sched = (struct sched_domain){.weight = PV_SCHED_DEFAULT_WEIGHT};
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        struct sched_vcpu *vcpu = &d->vcpu[id].sched;
        credit_vcpu_init(vcpu, now);
        for (uint32_t cpu = 0; cpu < sched->cpus; cpu++)
            mask_put(&vcpu->affinity, cpu, true);
        if (sched->cpus)
            vcpu->cpu = (uint16_t)((d->domain_id + id) % sched->cpus);
    }
    sched_unlock(machine);
    return 0;
}

/* Its vcpus run while it is RUNNING. */
static void state_changed(struct pv_machine *machine, struct domain *d)
{
    uint64_t now = pv_machine_now(machine);
    if (scheduler(machine)->cpus == 0)
        return;
    sched_lock(machine);
    d->sched.runnable = domain_state(d) == PV_DOMAIN_RUNNING;
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        vcpu_changed(machine, make_ref(d, id), now, false);
    sched_unlock(machine);
}

static uint64_t destroy(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    (void)from;
    state_changed(machine, d);
    sched_lock(machine);
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        if (d->vcpu[id].sched.active)
            account_stop(machine, d, &d->vcpu[id].sched);
    sched_unlock(machine);
    return 0;
}

const struct subsystem sched_subsystem = {
    .init = init,
    .domain_create = create,
    .domain_state_changed = state_changed,
    .domain_destroy = destroy,
    .debug_key = {'r', "dump run queues", sched_dump},
};
