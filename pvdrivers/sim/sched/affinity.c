/* The CPUs on which a vcpu may run, and those of them on which it would rather run. */
#include "pvdrivers/sim/sched/internal.h"

#include <errno.h>
#include <string.h>

static void set(struct sched_vcpu *vcpu, const struct cpu_mask *hard, const struct cpu_mask *soft)
{
    vcpu->affinity = *hard;
    vcpu->soft_affinity = *soft;
    vcpu->prefers = !mask_contains(soft, hard) && mask_meets(soft, hard);
    vcpu->preferred = mask_both(hard, soft);
}

void affinity_clear(const struct scheduler *sched, struct sched_vcpu *vcpu)
{
    struct cpu_mask all = {0};
    mask_put_range(&all, all_cpus(sched), true);
    set(vcpu, &all, &all);
}

void affinity_loosen(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct cpu_mask all = {0};
    mask_put_range(&all, all_cpus(scheduler(machine)), true);
    if (!mask_meets(&vcpu->affinity, &pool_of(machine, domain_of(machine, ref))->cpus))
        set(vcpu, &all, &vcpu->soft_affinity);
}

bool affinity_prefers(const struct sched_pool *pool, const struct sched_vcpu *vcpu)
{
    return vcpu->prefers && !mask_contains(&vcpu->soft_affinity, &pool->cpus);
}

static struct cpu_mask read_mask(const struct scheduler *sched, const uint64_t *words)
{
    struct cpu_mask mask = {0};
    for (uint32_t cpu = 0; cpu < sched->cpus; cpu++)
        mask_put(&mask, cpu, words[cpu / 64] >> cpu % 64 & 1);
    return mask;
}

int pv_vcpu_set_affinity(struct pv_machine *machine, domid_t domid, uint32_t id,
                         const uint64_t *hard, const uint64_t *soft)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = sched_find(machine, domid, id, &d);
    if (error)
        return error;
    sched_lock(machine);
    struct sched_vcpu *vcpu = &d->vcpu[id].sched;
    struct sched_pool *pool = pool_of(machine, d);
    struct cpu_mask hard_mask = hard ? read_mask(scheduler(machine), hard) : vcpu->affinity;
    struct cpu_mask soft_mask = soft ? read_mask(scheduler(machine), soft) : vcpu->soft_affinity;
    if (mask_meets(&hard_mask, &pool->cpus)) {
        set(vcpu, &hard_mask, &soft_mask);
        pool->soft_affinity = pool->soft_affinity || soft;
        vcpu_move(machine, make_ref(d, id), pv_machine_now(machine));
    } else {
        error = -EINVAL;
    }
    sched_unlock(machine);
    return error;
}

int pv_vcpu_get_affinity(struct pv_machine *machine, domid_t domid, uint32_t id, uint64_t *hard,
                         uint64_t *soft)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = sched_find(machine, domid, id, &d);
    if (error)
        return error;
    sched_lock(machine);
    memcpy(hard, d->vcpu[id].sched.affinity.words, sizeof(struct cpu_mask));
    memcpy(soft, d->vcpu[id].sched.soft_affinity.words, sizeof(struct cpu_mask));
    sched_unlock(machine);
    return 0;
}
