/* Cpupools: which CPUs and which domains a scheduler has. */
#include "pvdrivers/sim/sched/internal.h"

void pool_init(struct sched_pool *pool, uint32_t id, uint32_t scheduler)
{
    *pool = (struct sched_pool){.id = id,
                                .scheduler = scheduler,
                                .ratelimit_us = PV_SCHED_DEFAULT_RATELIMIT_US,
                                .timer_at = NEVER};
    if (scheduler == PV_SCHEDULER_CREDIT)
        pool->slice_us = PV_SCHED_DEFAULT_TSLICE_MS * 1000;
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
    pool->cpu_count++;
    runqueue_join(sched, ops_of(pool)->queue_for(sched, pool, cpu), cpu);
    if (pool->cpu_count == 1)
        pool->timer_at = ops_of(pool)->first_timer(pool, now);
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
    mask_put(&queue_of_cpu(machine, cpu)->cpus, cpu, false);
    pool->cpu_count--;
    send_all_away(machine, pool, cpu, now);
    queue_of_cpu(machine, cpu)->cpu_count--;
    scheduler(machine)->cpu[cpu].pool = NO_POOL;
    if (pool->cpu_count == 0)
        pool->timer_at = NEVER;
}

uint32_t pool_nth_cpu(const struct sched_pool *pool, uint32_t n)
{
    uint32_t cpu = 0;
    for (n %= pool->cpu_count; n > 0 || !mask_test(&pool->cpus, cpu); cpu++)
        n -= mask_test(&pool->cpus, cpu);
    return cpu;
}

/* ---- Domains --------------------------------------------------------------------------------- */

/* At the head of the list. */
void pool_link(struct pv_machine *machine, struct domain *d)
{
    struct sched_domain *own = &d->sched;
    struct sched_pool *pool = pool_of(machine, d);
    if (pool->active_domains++ == 0) {
        pool->first_active = own->next = own->prev = d->domain_id;
        return;
    }
    struct sched_domain *next = &domain_window(machine, pool->first_active)->sched;
    own->next = pool->first_active;
    own->prev = next->prev;
    domain_window(machine, own->prev)->sched.next = d->domain_id;
    next->prev = d->domain_id;
    pool->first_active = d->domain_id;
}

void pool_unlink(struct pv_machine *machine, const struct domain *d)
{
    const struct sched_domain *own = &d->sched;
    struct sched_pool *pool = pool_of(machine, d);
    domain_window(machine, own->prev)->sched.next = own->next;
    domain_window(machine, own->next)->sched.prev = own->prev;
    pool->active_domains--;
    if (pool->first_active == d->domain_id)
        pool->first_active = own->next;
}

bool pool_has(struct pv_machine *machine, const struct sched_pool *pool, const struct domain *d)
{
    return d->sched.member && pool_of(machine, d) == pool;
}

void pool_join(struct pv_machine *machine, struct domain *d, struct sched_pool *pool, uint64_t now)
{
    const struct scheduler *sched = scheduler(machine);
    d->sched.pool = (uint16_t)(pool - sched->pool);
    d->sched.weight = PV_SCHED_DEFAULT_WEIGHT;
    d->sched.cap = 0;
    pool->domains++;
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        struct sched_vcpu *vcpu = &d->vcpu[id].sched;
        affinity_clear(sched, vcpu);
        vcpu->cpu = (uint16_t)pool_nth_cpu(pool, d->domain_id + id);
    }
    ops_of(pool)->join(machine, d, now);
}

void pool_leave(struct pv_machine *machine, struct domain *d)
{
    ops_of(pool_of(machine, d))->leave(machine, d);
    pool_of(machine, d)->domains--;
}

void pool_move(struct pv_machine *machine, struct domain *d, struct sched_pool *to, uint64_t now)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        vcpu_take_off(machine, make_ref(d, id), now);
    pool_leave(machine, d);
    pool_join(machine, d, to, now);
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        ops_of(to)->place(machine, make_ref(d, id));
        vcpu_put_back(machine, make_ref(d, id), now);
    }
}
