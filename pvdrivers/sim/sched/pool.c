/* Cpupools: which CPUs and which domains a scheduler has. */
#include "pvdrivers/sim/sched/internal.h"

void pool_init(struct sched_pool *pool, uint32_t id, uint32_t scheduler)
{
    *pool = (struct sched_pool){.id = id,
                                .scheduler = scheduler,
                                .slice_us = PV_SCHED_DEFAULT_TSLICE_MS * 1000,
                                .ratelimit_us = PV_SCHED_DEFAULT_RATELIMIT_US,
                                .account_at = NEVER};
    /* Release: a pool that exists is complete, should the process die here. */
    __atomic_store_n(&pool->exists, true, __ATOMIC_RELEASE);
}

struct sched_pool *pool_find(struct scheduler *sched, uint32_t id)
{
    for (uint32_t slot = 0; slot < sched->pool_end; slot++)
        if (sched->pool[slot].exists && sched->pool[slot].id == id)
            return &sched->pool[slot];
    return NULL;
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

void pool_join_cpu(struct scheduler *sched, struct sched_pool *pool, uint32_t cpu, uint64_t now)
{
    sched->cpu[cpu].pool = (uint16_t)(pool - sched->pool);
    mask_put(&pool->cpus, cpu, true);
    mask_put(&pool->idlers, cpu, true);
    if (pool->cpu_count++ == 0)
        pool->account_at = now + pool->slice_us * NS_PER_US;
}

/* A vcpu that waited or ran there goes elsewhere. */
static void send_away(struct pv_machine *machine, vcpu_ref ref, uint32_t cpu, uint64_t now)
{
    affinity_loosen(machine, ref);
    if (vcpu_at(machine, ref)->cpu == cpu)
        vcpu_move(machine, ref, now);
}

/* Those that wait before the one that runs, whose CPU then finds nobody. */
static void send_all_away(struct pv_machine *machine, struct sched_pool *pool, uint32_t cpu,
                          uint64_t now)
{
    vcpu_ref running = scheduler(machine)->cpu[cpu].current;
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        const struct domain *d = domain_window(machine, (domid_t)domid);
        for (uint32_t id = 0; pool_has(machine, pool, d) && id < d->max_vcpus; id++)
            if (make_ref(d, id) != running)
                send_away(machine, make_ref(d, id), cpu, now);
    }
    if (running != NO_VCPU)
        send_away(machine, running, cpu, now);
}

void pool_leave_cpu(struct pv_machine *machine, struct sched_pool *pool, uint32_t cpu, uint64_t now)
{
    mask_put(&pool->cpus, cpu, false); /* nobody comes any more */
    mask_put(&pool->idlers, cpu, false);
    pool->cpu_count--;
    send_all_away(machine, pool, cpu, now);
    scheduler(machine)->cpu[cpu].pool = NO_POOL;
    if (pool->cpu_count == 0)
        pool->account_at = NEVER;
}

uint32_t pool_nth_cpu(const struct sched_pool *pool, uint32_t n)
{
    uint32_t cpu = 0;
    for (n %= pool->cpu_count; n > 0 || !mask_test(&pool->cpus, cpu); cpu++)
        n -= mask_test(&pool->cpus, cpu);
    return cpu;
}

/* ---- Domains --------------------------------------------------------------------------------- */

bool pool_has(struct pv_machine *machine, const struct sched_pool *pool, const struct domain *d)
{
    return d->sched.member && pool_of(machine, d) == pool;
}

void pool_join(struct pv_machine *machine, struct domain *d, struct sched_pool *pool)
{
    const struct scheduler *sched = scheduler(machine);
    d->sched.pool = (uint16_t)(pool - sched->pool);
    d->sched.weight = PV_SCHED_DEFAULT_WEIGHT;
    d->sched.cap = 0;
    pool->domains++;
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        struct sched_vcpu *vcpu = &d->vcpu[id].sched;
        credit_vcpu_init(vcpu);
        affinity_clear(sched, vcpu);
        vcpu->cpu = (uint16_t)pool_nth_cpu(pool, d->domain_id + id);
    }
}

void pool_leave(struct pv_machine *machine, struct domain *d)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        if (d->vcpu[id].sched.active)
            account_stop(machine, d, &d->vcpu[id].sched);
    pool_of(machine, d)->domains--;
}

void pool_move(struct pv_machine *machine, struct domain *d, struct sched_pool *to, uint64_t now)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        vcpu_take_off(machine, make_ref(d, id), now);
    pool_leave(machine, d);
    pool_join(machine, d, to);
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        d->vcpu[id].sched.cpu = (uint16_t)place_choose(machine, make_ref(d, id));
        vcpu_put_back(machine, make_ref(d, id), now);
    }
}
