/* Which CPU of its pool a vcpu waits at, and which CPU takes one that waits elsewhere. The CPUs
 * that a vcpu prefers are asked first, then all on which it may run. */
#include "pvdrivers/sim/sched/internal.h"

uint32_t place_find(const struct scheduler *sched, const struct cpu_mask *a,
                    const struct cpu_mask *b, uint32_t from)
{
    if (!mask_meets(a, b))
        return SCHED_MAX_CPUS;
    uint32_t cpu = from % sched->cpus;
    while (!mask_test(a, cpu) || !mask_test(b, cpu))
        cpu = (cpu + 1) % sched->cpus;
    return cpu;
}

static uint32_t idle_from(struct pv_machine *machine, vcpu_ref ref, uint32_t from)
{
    const struct scheduler *sched = scheduler(machine);
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    uint32_t idle = SCHED_MAX_CPUS;
    if (affinity_prefers(pool, vcpu))
        idle = place_find(sched, &pool->idlers, &vcpu->preferred, from);
    if (idle == SCHED_MAX_CPUS)
        idle = place_find(sched, &pool->idlers, &vcpu->affinity, from);
    return idle;
}

uint32_t place_choose(struct pv_machine *machine, vcpu_ref ref)
{
    const struct scheduler *sched = scheduler(machine);
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    bool allowed = mask_test(&vcpu->affinity, vcpu->cpu) && mask_test(&pool->cpus, vcpu->cpu);
    bool liked = !affinity_prefers(pool, vcpu) || mask_test(&vcpu->preferred, vcpu->cpu);
    if (allowed && liked && mask_test(&pool->idlers, vcpu->cpu))
        return vcpu->cpu;
    uint32_t idle = idle_from(machine, ref, vcpu->cpu + 1u);
    if (idle != SCHED_MAX_CPUS)
        return idle;
    return allowed ? vcpu->cpu : place_find(sched, &pool->cpus, &vcpu->affinity, vcpu->cpu);
}

uint32_t place_idle(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    uint32_t idle = idle_from(machine, ref, pool->bias);
    if (idle != SCHED_MAX_CPUS)
        pool->bias = (idle + 1) % scheduler(machine)->cpus; /* each in its turn */
    return idle;
}

bool place_is_better_elsewhere(struct pv_machine *machine, vcpu_ref ref)
{
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    return affinity_prefers(pool, vcpu) && !mask_test(&vcpu->preferred, vcpu->cpu) &&
           mask_meets(&vcpu->preferred, &pool->idlers);
}

uint32_t place_tickled(struct pv_machine *machine, vcpu_ref ref)
{
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    const struct sched_cpu *cpu = &scheduler(machine)->cpu[vcpu->cpu];
    if (cpu->current == NO_VCPU)
        return vcpu->cpu;
    uint32_t idle = place_idle(machine, ref);
    if (idle != SCHED_MAX_CPUS)
        return idle; /* it steals */
    bool urgent = vcpu->priority > vcpu_at(machine, cpu->current)->priority;
    return urgent ? vcpu->cpu : SCHED_MAX_CPUS;
}

/* For one of two searches: `preferred` for those that would rather run on the CPU, then all. */
struct steal {
    uint32_t cpu;
    int priority; /* it is to be more urgent than that */
    bool preferred;
    uint64_t now;
};

static bool may_steal(const struct sched_pool *pool, const struct sched_vcpu *vcpu,
                      const struct steal *steal)
{
    if (steal->preferred && !affinity_prefers(pool, vcpu))
        return false;
    if (steal->now - vcpu->left_at < pool->migration_delay_us * NS_PER_US)
        return false; /* its CPU's caches still have what is its */
    return mask_test(steal->preferred ? &vcpu->preferred : &vcpu->affinity, steal->cpu);
}

static vcpu_ref steal_from(struct pv_machine *machine, uint32_t peer, const struct steal *steal)
{
    const struct sched_pool *pool = pool_of_cpu(machine, steal->cpu);
    for (vcpu_ref ref = queue_of_cpu(machine, peer)->first; ref != NO_VCPU;
         ref = vcpu_at(machine, ref)->next) {
        const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
        if (vcpu->priority <= steal->priority)
            return NO_VCPU;
        if (may_steal(pool, vcpu, steal))
            return ref;
    }
    return NO_VCPU;
}

static vcpu_ref search(struct pv_machine *machine, struct sched_pool *pool,
                       const struct steal *steal)
{
    struct scheduler *sched = scheduler(machine);
    for (uint32_t i = 1; i <= sched->cpus; i++) {
        uint32_t peer = (pool->stolen_from + i) % sched->cpus;
        if (peer == steal->cpu || !mask_test(&pool->cpus, peer))
            continue;
        vcpu_ref ref = steal_from(machine, peer, steal);
        if (ref == NO_VCPU)
            continue;
        runqueue_remove(machine, ref);
        vcpu_at(machine, ref)->cpu = (uint16_t)steal->cpu;
        pool->stolen_from = peer; /* the next search begins behind it */
        sched->steals++;
        return ref;
    }
    return NO_VCPU;
}

vcpu_ref place_steal(struct pv_machine *machine, uint32_t cpu, int priority, uint64_t now)
{
    struct sched_pool *pool = pool_of_cpu(machine, cpu);
    struct steal steal = {cpu, priority, .preferred = true, now};
    vcpu_ref ref = NO_VCPU;
    if (!mask_test(&pool->cpus, cpu))
        return NO_VCPU; /* it is about to leave */
    if (pool->soft_affinity)
        ref = search(machine, pool, &steal);
    steal.preferred = false;
    return ref == NO_VCPU ? search(machine, pool, &steal) : ref;
}
