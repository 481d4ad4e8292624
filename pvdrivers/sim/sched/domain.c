/* The subsystem: CPUs of a machine, vcpus of a domain; and what toolstacks set. */
#include "pvdrivers/sim/sched/trace.h"

#include <errno.h>

/* ---- The machine ----------------------------------------------------------------------------- */

static void init_cpu(struct scheduler *sched, uint16_t cpu, uint64_t now)
{
    sched->cpu[cpu] = (struct sched_cpu){.pool = NO_POOL,
                                         .current = NO_VCPU,
                                         .since = now,
                                         .idle_since = now,
                                         .next = NEVER,
                                         .heap_place = cpu};
    sched->heap[cpu] = cpu;
}

static void init_topology(struct scheduler *sched, const struct pv_machine_config *config)
{
    sched->nodes = 1; /* those that come later have memory alone */
    for (uint32_t i = 0; i < config->extent_count; i++)
        if (!config->extents[i].absent && config->extents[i].node >= sched->nodes)
            sched->nodes = config->extents[i].node + 1;
    uint32_t threads = config->threads_per_core ? config->threads_per_core : 1;
    sched->core_cpus = threads < SCHED_MAX_CPUS ? threads : SCHED_MAX_CPUS;
    uint64_t socket = (uint64_t)sched->core_cpus * config->cores_per_socket;
    sched->socket_cpus = socket && socket < SCHED_MAX_CPUS ? (uint32_t)socket : SCHED_MAX_CPUS;
    sched->credit2_runqueue = config->credit2_runqueue;
    sched->smt_power_savings = config->smt_power_savings;
}

static void init(struct machine *shared, const struct pv_machine_config *config)
{
    struct scheduler *sched = &shared->scheduler;
    sim_lock_init(&sched->lock);
    sched->cpus = config->cpus;
    sched->began = machine_now(shared);
    init_topology(sched, config);
    if (sched->cpus == 0)
        return;
    sched->pool_end = 1;
    pool_init(&sched->pool[0], 0, config->scheduler ? config->scheduler : PV_SCHEDULER_CREDIT);
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
    for (uint32_t queue = 0; queue < sched->cpus; queue++)
        sched->queue[queue].cpu_count = 0;
    for (uint16_t cpu = 0; cpu < sched->cpus; cpu++) {
        uint64_t idle_time = sched->cpu[cpu].idle_time;
        uint16_t slot = sched->cpu[cpu].pool;
        init_cpu(sched, cpu, now);
        sched->cpu[cpu].idle_time = idle_time;
        if (slot != NO_POOL)
            pool_join_cpu(sched, &sched->pool[slot], cpu, now);
    }
}

static void take_off(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    vcpu->queued = vcpu->moving = false;
    vcpu_set_state(machine, ref, RUNSTATE_blocked, now);
    if (!mask_test(&pool->cpus, vcpu->cpu))
        vcpu->cpu = (uint16_t)pool_nth_cpu(pool, id_of(ref));
}

/* What wanted a CPU wants one. */
static void put_back(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    affinity_loosen(machine, ref);
    ops_of_vcpu(machine, ref)->place(machine, ref);
    vcpu_changed(machine, ref, now, false);
}

/* In its pool from the beginning. */
static void repair_domain(struct pv_machine *machine, struct domain *d, uint64_t now)
{
    struct sched_pool *pool = pool_of(machine, d);
    uint16_t weight = d->sched.weight, cap = d->sched.cap;
    pool->domains++;
    d->sched.cap = 0;
    d->sched.active_vcpus = 0;
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        take_off(machine, make_ref(d, id), now);
    ops_of(pool)->join(machine, d, now);
    ops_of(pool)->set_domain(machine, d, weight, cap, now);
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        put_back(machine, make_ref(d, id), now);
}

static void repair(struct pv_machine *machine)
{
    uint64_t now = pv_machine_now(machine);
    start_afresh(scheduler(machine), now);
    process_time_repair(machine);
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        if (d->sched.member)
            repair_domain(machine, d, now);
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
    pool_join(machine, d, pool, now);
    XENTRACE(machine, 0, TRC_SCHED_DOM_ADD, d->domain_id);
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
    for (uint32_t id = 0; d->sched.member && id < d->max_vcpus; id++) {
        vcpu_changed(machine, make_ref(d, id), now, false);
        if (!is_scheduled(machine))
            runstate_changed(machine, make_ref(d, id));
    }
    sched_unlock(machine);
}

/* Who died with machine.lock may have changed a domain's state and not told us. */
static void repair_states(struct pv_machine *machine)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = find_domain(machine, (domid_t)domid);
        if (d)
            state_changed(machine, d);
    }
}

static uint64_t destroy(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    (void)from;
    state_changed(machine, d);
    sched_lock(machine);
    if (d->sched.member) {
        process_time_end(machine, d);
        pool_leave(machine, d);
        XENTRACE(machine, 0, TRC_SCHED_DOM_REM, d->domain_id);
    }
    d->sched.member = false;
    sched_unlock(machine);
    runstate_areas_release(machine, d);
    return 0;
}

const struct subsystem sched_subsystem = {
    .init = init,
    .repair = repair_states,
    .client_left = process_time_left,
    .area_size = process_time_area,
    .domain_create = create,
    .domain_state_changed = state_changed,
    .domain_destroy = destroy,
    .vcpu_paused = vcpu_paused,
    .view_open = process_time_open,
    .view_close = process_time_close,
    .debug_key = {'r', "dump run queues", .dump = sched_dump},
};
