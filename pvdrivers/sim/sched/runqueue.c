/* The vcpus that wait for a CPU, in a list for each CPU. */
#include "pvdrivers/sim/sched/internal.h"

static void link_before(struct pv_machine *machine, struct sched_cpu *cpu, vcpu_ref ref,
                        vcpu_ref next)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    vcpu->next = next;
    vcpu->prev = next == NO_VCPU ? cpu->last : vcpu_at(machine, next)->prev;
    *(vcpu->prev == NO_VCPU ? &cpu->first : &vcpu_at(machine, vcpu->prev)->next) = ref;
    *(next == NO_VCPU ? &cpu->last : &vcpu_at(machine, next)->prev) = ref;
}

void runqueue_insert(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct sched_cpu *cpu = &scheduler(machine)->cpu[vcpu->cpu];
    vcpu_ref next = cpu->first;
    while (next != NO_VCPU && vcpu_at(machine, next)->priority >= vcpu->priority)
        next = vcpu_at(machine, next)->next;
    vcpu->queued = true;
    link_before(machine, cpu, ref, next);
}

void runqueue_remove(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct sched_cpu *cpu = &scheduler(machine)->cpu[vcpu->cpu];
    *(vcpu->prev == NO_VCPU ? &cpu->first : &vcpu_at(machine, vcpu->prev)->next) = vcpu->next;
    *(vcpu->next == NO_VCPU ? &cpu->last : &vcpu_at(machine, vcpu->next)->prev) = vcpu->prev;
    vcpu->queued = false;
}

void runqueue_sort(struct pv_machine *machine, uint32_t cpu)
{
    vcpu_ref ref = scheduler(machine)->cpu[cpu].first, next;
    scheduler(machine)->cpu[cpu].first = scheduler(machine)->cpu[cpu].last = NO_VCPU;
    for (; ref != NO_VCPU; ref = next) {
        next = vcpu_at(machine, ref)->next;
        runqueue_insert(machine, ref);
    }
}
