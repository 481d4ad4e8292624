/* The subsystem: CPUs of a machine, vcpus of a domain; and what toolstacks set. */
#include "pvdrivers/sim/sched/internal.h"

#include <errno.h>

/* ---- The machine ----------------------------------------------------------------------------- */

static void init_cpu(struct scheduler *sched, uint16_t cpu, uint64_t now)
{
    sched->cpu[cpu] = (struct sched_cpu){.pool = NO_POOL,
                                         .current = NO_VCPU,
                                         .first = NO_VCPU,
                                         .last = NO_VCPU,
                                         .since = now,
                                         .next = NEVER,
                                         .heap_place = cpu};
    sched->heap[cpu] = cpu;
}

static void init(struct machine *shared, const struct pv_machine_config *config)
{
    struct scheduler *sched = &shared->scheduler;
    sim_lock_init(&sched->lock);
    sched->cpus = config->cpus;
    sched->began = machine_now(shared);
    if (sched->cpus == 0)
        return;
    sched->pool_end = 1;
    pool_init(&sched->pool[0], 0, PV_SCHEDULER_CREDIT);
    for (uint16_t cpu = 0; cpu < sched->cpus; cpu++) {
        init_cpu(sched, cpu, 0);
        pool_join_cpu(sched, &sched->pool[0], cpu, 0);
    }
}

/* ---- The lock, and what a process has left that died with it --------------------------------- */

static void empty_pool(struct sched_pool *pool)
{
    pool->cpus = pool->idlers = (struct cpu_mask){0};
    pool->cpu_count = pool->domains = pool->active_domains = pool->weight = 0;
}

/* Every CPU idles, in the pool that it names, and nobody is active. */
static void start_afresh(struct scheduler *sched, uint64_t now)
{
    for (uint32_t slot = 0; slot < sched->pool_end; slot++)
        empty_pool(&sched->pool[slot]);
    for (uint16_t cpu = 0; cpu < sched->cpus; cpu++) {
        uint64_t idle_time = sched->cpu[cpu].idle_time;
        uint16_t slot = sched->cpu[cpu].pool;
        init_cpu(sched, cpu, now);
        sched->cpu[cpu].idle_time = idle_time;
        if (slot != NO_POOL)
            pool_join_cpu(sched, &sched->pool[slot], cpu, now);
    }
}

/* What wanted a CPU wants one. */
static void repair_vcpu(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    vcpu->active = vcpu->queued = vcpu->moving = vcpu->parked = false;
    vcpu_set_state(vcpu, RUNSTATE_blocked, now);
    affinity_loosen(machine, ref);
    vcpu->cpu = (uint16_t)place_choose(machine, ref);
    vcpu_changed(machine, ref, now, false);
}

static void repair(struct pv_machine *machine)
{
    uint64_t now = pv_machine_now(machine);
    start_afresh(scheduler(machine), now);
    process_time_repair(machine);
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        if (!d->sched.member)
            continue;
        pool_of(machine, d)->domains++;
        for (uint32_t id = 0; id < d->max_vcpus; id++)
            repair_vcpu(machine, make_ref(d, id), now);
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

static int join(struct pv_machine *machine, struct domain *d, uint32_t id, uint64_t now)
{
    struct sched_pool *pool = pool_find(scheduler(machine), id);
    if (!pool)
        return -ESRCH;
    if (pool->cpu_count == 0)
        return -ENODEV;
    d->sched = (struct sched_domain){0};
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        d->vcpu[vcpu].sched = (struct sched_vcpu){
            .state = RUNSTATE_blocked, .state_since = now, .next = NO_VCPU, .prev = NO_VCPU};
    pool_join(machine, d, pool);
    /* Release: a member's vcpus can be repaired, should the process die here. */
    __atomic_store_n(&d->sched.member, true, __ATOMIC_RELEASE);
    return 0;
}

static int create(struct pv_machine *machine, struct domain *d,
                  const struct pv_domain_config *config)
{
    if (scheduler(machine)->cpus == 0)
        return config->cpupool ? -ESRCH : 0;
    uint64_t now = pv_machine_now(machine);
    sched_lock(machine);
    int error = join(machine, d, config->cpupool, now);
    sched_unlock(machine);
    return error;
}

/* Its vcpus run while it is RUNNING. */
static void state_changed(struct pv_machine *machine, struct domain *d)
{
    uint64_t now = pv_machine_now(machine);
    sched_lock(machine);
    d->sched.runnable = domain_state(d) == PV_DOMAIN_RUNNING;
    for (uint32_t id = 0; d->sched.member && id < d->max_vcpus; id++)
        vcpu_changed(machine, make_ref(d, id), now, false);
    sched_unlock(machine);
}

static uint64_t destroy(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    (void)from;
    state_changed(machine, d);
    sched_lock(machine);
    if (d->sched.member) {
        process_time_end(machine, d);
        pool_leave(machine, d);
    }
    d->sched.member = false;
    sched_unlock(machine);
    return 0;
}

const struct subsystem sched_subsystem = {
    .init = init,
    .client_left = process_time_left,
    .area_size = process_time_area,
    .domain_create = create,
    .domain_state_changed = state_changed,
    .domain_destroy = destroy,
    .vcpu_paused = vcpu_paused,
    .view_open = process_time_open,
    .view_close = process_time_close,
    .debug_key = {'r', "dump run queues", sched_dump},
};
