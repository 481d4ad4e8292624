/* Which CPU takes a vcpu that waits for another one. Those that would rather run on it come first,
 * then all that may, and its own node's before those of the others. */
#include "pvdrivers/sim/sched/trace.h"

/* For one of two searches: `preferred` for those that would rather run on the CPU, then all. */
struct search {
    uint32_t cpu;
    int priority; /* it is to be more urgent than that */
    bool preferred;
    uint64_t now;
};

static bool may_steal(const struct sched_pool *pool, const struct sched_vcpu *vcpu,
                      const struct search *search)
{
    if (search->preferred && !affinity_prefers(pool, vcpu))
        return false;
    if (search->now - vcpu->left_at < pool->migration_delay_us * NS_PER_US)
        return false; /* its CPU's caches still have what is its */
    return mask_test(search->preferred ? &vcpu->preferred : &vcpu->affinity, search->cpu);
}

static vcpu_ref steal_from(struct pv_machine *machine, uint32_t peer, const struct search *search)
{
    const struct sched_pool *pool = pool_of_cpu(machine, search->cpu);
    for (vcpu_ref ref = queue_of_cpu(machine, peer)->first; ref != NO_VCPU;
         ref = vcpu_at(machine, ref)->next) {
        const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
        if (vcpu->priority <= search->priority)
            return NO_VCPU;
        if (may_steal(pool, vcpu, search))
            return ref;
    }
    return NO_VCPU;
}

static vcpu_ref search_node(struct pv_machine *machine, uint32_t node, struct cpu_mask peers,
                            const struct search *search)
{
    struct scheduler *sched = scheduler(machine);
    struct cpu_range cpus = cpus_of_node(sched, node);
    uint32_t peer;
    for (uint32_t from = sched->stolen_from[node];
         (peer = mask_find(&peers, cpus, from)) != SCHED_MAX_CPUS; from = peer + 1) {
        mask_put(&peers, peer, false);
        XENTRACE(machine, search->cpu, TRC_CSCHED_STEAL_CHECK, peer, 1);
        vcpu_ref ref = steal_from(machine, peer, search);
        if (ref == NO_VCPU)
            continue;
        XENTRACE(machine, search->cpu, TRC_CSCHED_STOLEN_UNIT, peer, domid_of(ref), id_of(ref));
        runqueue_remove(machine, ref);
        vcpu_at(machine, ref)->cpu = (uint16_t)search->cpu;
        sched->stolen_from[node] = (uint16_t)(peer + 1);
        sched->steals++;
        return ref;
    }
    return NO_VCPU;
}

static vcpu_ref search_nodes(struct pv_machine *machine, const struct cpu_mask *peers,
                             const struct search *search)
{
    const struct scheduler *sched = scheduler(machine);
    uint32_t own = node_of(sched, search->cpu);
    vcpu_ref ref = NO_VCPU;
    for (uint32_t i = 0; i < sched->nodes && ref == NO_VCPU; i++)
        ref = search_node(machine, (own + i) % sched->nodes, *peers, search);
    return ref;
}

vcpu_ref steal(struct pv_machine *machine, uint32_t cpu, int priority, uint64_t now)
{
    const struct sched_pool *pool = pool_of_cpu(machine, cpu);
    struct search search = {cpu, priority, .preferred = true, now};
    vcpu_ref ref = NO_VCPU;
    if (!mask_test(&pool->cpus, cpu))
        return NO_VCPU; /* it is about to leave */
    struct cpu_mask peers = mask_without(&pool->cpus, &pool->idlers);
    mask_put(&peers, cpu, false);
    if (pool->soft_affinity)
        ref = search_nodes(machine, &peers, &search);
    search.preferred = false;
    return ref == NO_VCPU ? search_nodes(machine, &peers, &search) : ref;
}
