/* Which CPU of its pool a vcpu waits at. The CPUs that a vcpu prefers are asked first, then all on
 * which it may run; of those that idle the best one has the most idle ones around it. */
#include "pvdrivers/sim/sched/internal.h"

/* ---- A place that is chosen with care -------------------------------------------------------- */

/* `cpu`, which idles, or the one of `left`, which idle, that replaces it: in the same socket with
 * more idle threads on its core, in another one with more than twice as many idle CPUs. To save
 * power, with fewer of either. `bias`: where the search in that group began; NULL if none did. */
static uint32_t idlest(struct scheduler *sched, const struct cpu_mask *idlers, struct cpu_mask left,
                       uint32_t cpu, uint16_t **bias)
{
    uint32_t other;
    mask_put(&left, cpu, false);
    while ((other = mask_find(&left, all_cpus(sched), cpu + 1)) != SCHED_MAX_CPUS) {
        bool near = is_in(socket_of(sched, cpu), other);
        struct cpu_range around = near ? core_of(sched, other) : socket_of(sched, other);
        uint32_t here = mask_count(idlers, near ? core_of(sched, cpu) : socket_of(sched, cpu));
        uint32_t there = mask_count(idlers, around);
        if (sched->smt_power_savings ? here > there : here * (near ? 1 : 2) < there) {
            *bias = &sched->cpu[other].idle_bias;
            cpu = mask_find(&left, around, **bias);
            around = core_of(sched, cpu);
        }
        mask_put_range(&left, around, false);
    }
    return cpu;
}

/* Nobody else wants the CPU on which it runs. */
static bool is_alone(struct pv_machine *machine, vcpu_ref ref, uint32_t cpu)
{
    return scheduler(machine)->cpu[cpu].current == ref &&
           queue_of_cpu(machine, cpu)->first == NO_VCPU;
}

static uint32_t pick(struct pv_machine *machine, vcpu_ref ref, uint16_t **bias)
{
    struct scheduler *sched = scheduler(machine);
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct cpu_mask idlers = pool->idlers;
    if (is_alone(machine, ref, vcpu->cpu))
        mask_put(&idlers, vcpu->cpu, true);
    struct cpu_mask cpus = mask_both(&vcpu->preferred, &pool->cpus);
    if (!affinity_prefers(pool, vcpu) || !mask_meets(&cpus, &idlers))
        cpus = mask_both(&vcpu->affinity, &pool->cpus);
    struct cpu_mask idle = mask_both(&cpus, &idlers);
    uint32_t cpu = mask_find(&cpus, all_cpus(sched), vcpu->cpu);
    uint32_t idler = mask_find(&idle, all_cpus(sched), cpu);
    if (idler == SCHED_MAX_CPUS || is_flat(sched))
        return idler == SCHED_MAX_CPUS ? cpu : idler;
    return idlest(sched, &idlers, idle, idler, bias);
}

uint32_t place_choose(struct pv_machine *machine, vcpu_ref ref)
{
    uint16_t *bias = NULL;
    uint32_t cpu = pick(machine, ref, &bias);
    if (bias)
        *bias = (uint16_t)(cpu + 1);
    return cpu;
}

bool place_is_better_elsewhere(struct pv_machine *machine, vcpu_ref ref)
{
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    uint16_t *bias;
    return mask_meets(&vcpu->affinity, &pool->idlers) && pick(machine, ref, &bias) != vcpu->cpu;
}

/* ---- A place for one that wakes -------------------------------------------------------------- */

uint32_t place_idle(struct pv_machine *machine, vcpu_ref ref)
{
    const struct scheduler *sched = scheduler(machine);
    struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    if (!mask_meets(&vcpu->affinity, &pool->idlers))
        return SCHED_MAX_CPUS;
    bool prefers = affinity_prefers(pool, vcpu) && mask_meets(&vcpu->preferred, &pool->idlers);
    struct cpu_mask idle = mask_both(prefers ? &vcpu->preferred : &vcpu->affinity, &pool->idlers);
    uint32_t cpu = mask_find(&idle, all_cpus(sched), pool->bias);
    pool->bias = (cpu + 1) % sched->cpus; /* each in its turn */
    return cpu;
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
