/* The vcpus that wait for a CPU, in lists that one or more CPUs share. */
#include "pvdrivers/sim/sched/internal.h"

static void link_before(struct pv_machine *machine, struct sched_queue *queue, vcpu_ref ref,
                        vcpu_ref next)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    vcpu->next = next;
    vcpu->prev = next == NO_VCPU ? queue->last : vcpu_at(machine, next)->prev;
    *(vcpu->prev == NO_VCPU ? &queue->first : &vcpu_at(machine, vcpu->prev)->next) = ref;
    *(next == NO_VCPU ? &queue->last : &vcpu_at(machine, next)->prev) = ref;
}

void runqueue_insert(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct sched_queue *queue = queue_of_cpu(machine, vcpu->cpu);
    vcpu_ref next = queue->first;
    while (next != NO_VCPU && vcpu_at(machine, next)->priority >= vcpu->priority)
        next = vcpu_at(machine, next)->next;
    vcpu->queued = true;
    link_before(machine, queue, ref, next);
}

void runqueue_remove(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct sched_queue *queue = queue_of_cpu(machine, vcpu->cpu);
    *(vcpu->prev == NO_VCPU ? &queue->first : &vcpu_at(machine, vcpu->prev)->next) = vcpu->next;
    *(vcpu->next == NO_VCPU ? &queue->last : &vcpu_at(machine, vcpu->next)->prev) = vcpu->prev;
    vcpu->queued = false;
}

/* Xen sorts those without credits behind the others, and leaves the order of the others, boosted or
 * not, as it is (csched_runq_sort). */
static bool has_credits(struct pv_machine *machine, vcpu_ref ref)
{
    return vcpu_at(machine, ref)->priority >= UNDER;
}

static bool is_sorted(struct pv_machine *machine, const struct sched_queue *queue)
{
    bool last = true;
    for (vcpu_ref ref = queue->first; ref != NO_VCPU; ref = vcpu_at(machine, ref)->next) {
        bool own = has_credits(machine, ref);
        if (own && !last)
            return false;
        last = own;
    }
    return true;
}

void runqueue_sort(struct pv_machine *machine, struct sched_queue *queue)
{
    if (is_sorted(machine, queue))
        return;
    vcpu_ref ref = queue->first, after;
    queue->first = queue->last = NO_VCPU;
    for (; ref != NO_VCPU; ref = after) {
        bool own = has_credits(machine, ref);
        vcpu_ref next = NO_VCPU, prev = queue->last; /* most belong at the end */
        after = vcpu_at(machine, ref)->next;
        for (; prev != NO_VCPU && own && !has_credits(machine, prev);
             prev = vcpu_at(machine, prev)->prev)
            next = prev;
        link_before(machine, queue, ref, next);
    }
}

void runqueue_join(struct scheduler *sched, uint32_t queue, uint32_t cpu)
{
    struct sched_queue *own = &sched->queue[queue];
    if (own->cpu_count++ == 0)
        *own = (struct sched_queue){.first = NO_VCPU,
                                    .last = NO_VCPU,
                                    .cpu_count = 1,
                                    .members = NO_VCPU,
                                    .max_weight = 1,
                                    .bias = cpu};
    mask_put(&own->cpus, cpu, true);
    sched->cpu[cpu].queue = (uint16_t)queue;
}

uint32_t runqueue_unused(const struct scheduler *sched)
{
    uint32_t queue = 0;
    while (sched->queue[queue].cpu_count)
        queue++; /* there are as many as CPUs */
    return queue;
}
