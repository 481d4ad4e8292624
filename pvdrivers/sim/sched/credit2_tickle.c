/* Which CPU is told that a vcpu waits: one that idles, on a core of which nothing runs if there is
 * one, or the one whose vcpu has the fewest credits. */
#include "pvdrivers/sim/sched/credit2.h"
#include "pvdrivers/sim/sched/trace.h"

#define TOLERANCE 50000 /* ns before the end of the rate limit */

/* Whether all threads of the CPU's core idle that are in the queue. */
static bool is_core_idle(const struct scheduler *sched, const struct sched_queue *queue,
                         const struct cpu_mask *idlers, uint32_t cpu)
{
    struct cpu_range core = core_of(sched, cpu);
    return mask_count(idlers, core) == mask_count(&queue->cpus, core);
}

uint32_t credit2_find_idle(struct pv_machine *machine, vcpu_ref ref, const struct cpu_mask *cpus)
{
    const struct scheduler *sched = scheduler(machine);
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    const struct sched_queue *queue = queue_of(machine, vcpu);
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    struct cpu_mask idlers = mask_both(&queue->cpus, &pool->idlers);
    if (!mask_meets(&idlers, cpus))
        return SCHED_MAX_CPUS;
    struct cpu_mask left = mask_both(&idlers, cpus);
    uint32_t first = mask_find(&left, all_cpus(sched), vcpu->cpu);
    if (sched->core_cpus == 1)
        return first;
    for (uint32_t cpu = first; cpu != SCHED_MAX_CPUS;
         cpu = mask_find(&left, all_cpus(sched), cpu)) {
        if (is_core_idle(sched, queue, &idlers, cpu) != sched->smt_power_savings)
            return cpu;
        mask_put(&left, cpu, false);
    }
    return first;
}

/* By how much it may take the CPU from the one that runs there; 0 or less: it may not. */
static int64_t score(struct pv_machine *machine, vcpu_ref ref, uint32_t cpu, uint64_t now)
{
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    const struct sched_pool *pool = pool_of_cpu(machine, cpu);
    vcpu_ref current = scheduler(machine)->cpu[cpu].current;
    if (current == NO_VCPU)
        return 0;
    const struct sched_vcpu *running = vcpu_at(machine, current);
    uint64_t limit = pool->ratelimit_us * NS_PER_US;
    if (limit > TOLERANCE && now - running->state_since <= limit - TOLERANCE)
        return 0;
    credit2_burn(machine, current, now);
    int64_t more = (int64_t)vcpu->priority - running->priority;
    if (vcpu->cpu != cpu)
        more -= CREDIT2_RESIST;
    if (more <= 0)
        return more;
    if (mask_test(&vcpu->soft_affinity, cpu))
        more += CREDIT2_INIT;
    if (!mask_test(&running->soft_affinity, cpu))
        more += CREDIT2_INIT;
    return more;
}

static uint32_t find_busy(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    const struct sched_queue *queue = queue_of(machine, vcpu);
    uint32_t best = SCHED_MAX_CPUS, count = scheduler(machine)->cpus;
    int64_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t cpu = (vcpu->cpu + i) % count;
        if (!mask_test(&queue->cpus, cpu) || !mask_test(&vcpu->affinity, cpu))
            continue;
        int64_t own = score(machine, ref, cpu, now);
        if (own <= most)
            continue;
        most = own;
        best = cpu;
        if (i == 0 && mask_test(&vcpu->soft_affinity, cpu))
            break; /* its own, and it likes that */
    }
    return best;
}

void credit2_tickle(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    uint32_t cpu = SCHED_MAX_CPUS;
    XENTRACE(machine, vcpu->cpu, TRC_CSCHED2_TICKLE_NEW, trace_word(ref), vcpu->cpu,
             (uint32_t)vcpu->priority);
    if (affinity_prefers(pool_of(machine, domain_of(machine, ref)), vcpu))
        cpu = credit2_find_idle(machine, ref, &vcpu->preferred);
    if (cpu == SCHED_MAX_CPUS)
        cpu = credit2_find_idle(machine, ref, &vcpu->affinity);
    if (cpu == SCHED_MAX_CPUS)
        cpu = find_busy(machine, ref, now);
    if (cpu == SCHED_MAX_CPUS)
        return;
    XENTRACE(machine, vcpu->cpu, TRC_CSCHED2_TICKLE, cpu);
    cpu_schedule(machine, cpu, now);
}
