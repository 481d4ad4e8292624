/* Which CPU of its pool a vcpu waits at, and which CPU takes one that waits elsewhere. */
#include "pvdrivers/sim/sched/internal.h"

/* The first CPU from `from` on, round the end, that is in both masks; SCHED_MAX_CPUS: none. */
static uint32_t find_from(const struct scheduler *sched, const struct cpu_mask *a,
                          const struct cpu_mask *b, uint32_t from)
{
    for (uint32_t i = 0; i < sched->cpus; i++) {
        uint32_t cpu = (from + i) % sched->cpus;
        if (mask_test(a, cpu) && mask_test(b, cpu))
            return cpu;
    }
    return SCHED_MAX_CPUS;
}

uint32_t place_choose(struct pv_machine *machine, vcpu_ref ref)
{
    const struct scheduler *sched = scheduler(machine);
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    bool allowed = mask_test(&vcpu->affinity, vcpu->cpu) && mask_test(&pool->cpus, vcpu->cpu);
    if (allowed && mask_test(&pool->idlers, vcpu->cpu))
        return vcpu->cpu;
    uint32_t idle = find_from(sched, &pool->idlers, &vcpu->affinity, vcpu->cpu + 1u);
    if (idle != SCHED_MAX_CPUS)
        return idle;
    return allowed ? vcpu->cpu : find_from(sched, &pool->cpus, &vcpu->affinity, vcpu->cpu);
}

uint32_t place_idle(struct pv_machine *machine, vcpu_ref ref)
{
    const struct scheduler *sched = scheduler(machine);
    struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    uint32_t idle = find_from(sched, &pool->idlers, &vcpu->affinity, pool->bias);
    if (idle != SCHED_MAX_CPUS)
        pool->bias = (idle + 1) % sched->cpus; /* each in its turn */
    return idle;
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

static vcpu_ref steal_from(struct pv_machine *machine, uint32_t peer, uint32_t cpu, int priority)
{
    for (vcpu_ref ref = scheduler(machine)->cpu[peer].first; ref != NO_VCPU;
         ref = vcpu_at(machine, ref)->next) {
        const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
        if (vcpu->priority <= priority)
            return NO_VCPU;
        if (mask_test(&vcpu->affinity, cpu))
            return ref;
    }
    return NO_VCPU;
}

vcpu_ref place_steal(struct pv_machine *machine, uint32_t cpu, int priority)
{
    struct scheduler *sched = scheduler(machine);
    struct sched_pool *pool = pool_of_cpu(machine, cpu);
    if (!mask_test(&pool->cpus, cpu))
        return NO_VCPU; /* it is about to leave */
    for (uint32_t i = 1; i <= sched->cpus; i++) {
        uint32_t peer = (pool->stolen_from + i) % sched->cpus;
        if (peer == cpu || !mask_test(&pool->cpus, peer))
            continue;
        vcpu_ref ref = steal_from(machine, peer, cpu, priority);
        if (ref == NO_VCPU)
            continue;
        runqueue_remove(machine, ref);
        vcpu_at(machine, ref)->cpu = (uint16_t)cpu;
        pool->stolen_from = peer; /* the next search begins behind it */
        sched->steals++;
        return ref;
    }
    return NO_VCPU;
}
