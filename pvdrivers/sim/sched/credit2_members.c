/* Who belongs to a runqueue, and the credits of all of them. The member with the highest weight
 * burns one a ns, the others as much more as their weights are less. */
#include "pvdrivers/sim/sched/credit2.h"
#include "pvdrivers/sim/sched/trace.h"

void credit2_find_max_weight(struct pv_machine *machine, struct sched_queue *queue)
{
    queue->max_weight = 1;
    for (vcpu_ref ref = queue->members; ref != NO_VCPU; ref = vcpu_at(machine, ref)->next_member)
        if (domain_of(machine, ref)->sched.weight > queue->max_weight)
            queue->max_weight = domain_of(machine, ref)->sched.weight;
}

void credit2_join_queue(struct pv_machine *machine, vcpu_ref ref, uint16_t id)
{
    struct sched_queue *queue = &scheduler(machine)->queue[id];
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    vcpu->queue = id;
    vcpu->belongs = true;
    vcpu->next_member = queue->members;
    vcpu->prev_member = NO_VCPU;
    if (queue->members != NO_VCPU)
        vcpu_at(machine, queue->members)->prev_member = ref;
    queue->members = ref;
    queue->expected.average += vcpu->load.average;
    credit2_find_max_weight(machine, queue);
}

void credit2_leave_queue(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct sched_queue *queue = queue_of(machine, vcpu);
    vcpu_ref next = vcpu->next_member, prev = vcpu->prev_member;
    *(prev == NO_VCPU ? &queue->members : &vcpu_at(machine, prev)->next_member) = next;
    if (next != NO_VCPU)
        vcpu_at(machine, next)->prev_member = prev;
    vcpu->belongs = false;
    int64_t expected = queue->expected.average - vcpu->load.average;
    queue->expected.average = expected > 0 ? expected : 0;
    credit2_find_max_weight(machine, queue);
}

void credit2_burn(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    uint64_t ran = now - vcpu->burned_until, weight = domain_of(machine, ref)->sched.weight;
    uint64_t cost = ran * queue_of(machine, vcpu)->max_weight + vcpu->residual;
    vcpu->residual = cost % weight;
    int64_t credit = vcpu->priority - (int64_t)(cost / weight);
    vcpu->priority = (int32_t)(credit < -CREDIT2_INIT ? -CREDIT2_INIT : credit);
    vcpu->burned_until = now;
    if (has_cap(machine, ref))
        vcpu->budget -= (int64_t)ran;
    XENTRACE(machine, vcpu->cpu, TRC_CSCHED2_CREDIT_BURN, trace_word(ref), (uint32_t)vcpu->priority,
             has_cap(machine, ref) ? (uint32_t)vcpu->budget : (uint32_t)INT32_MIN, (uint32_t)ran);
}

void credit2_reset(struct pv_machine *machine, struct sched_queue *queue, vcpu_ref next,
                   uint64_t now)
{
    int32_t more = CREDIT2_INIT;
    if (vcpu_at(machine, next)->priority == -CREDIT2_INIT)
        more += CREDIT2_INIT;
    for (vcpu_ref ref = queue->members; ref != NO_VCPU; ref = vcpu_at(machine, ref)->next_member) {
        struct sched_vcpu *vcpu = vcpu_at(machine, ref);
        if (vcpu->state == RUNSTATE_running)
            credit2_burn(machine, ref, now);
        int32_t before = vcpu->priority;
        vcpu->priority += more;
        if (vcpu->priority > CREDIT2_INIT + CREDIT2_CARRY)
            vcpu->priority = CREDIT2_INIT + CREDIT2_CARRY;
        XENTRACE(machine, vcpu->cpu, TRC_CSCHED2_CREDIT_RESET, trace_word(ref), (uint32_t)before,
                 (uint32_t)vcpu->priority);
    }
}

int64_t credit2_time(struct pv_machine *machine, vcpu_ref ref, int64_t credit)
{
    return credit * domain_of(machine, ref)->sched.weight /
           queue_of(machine, vcpu_at(machine, ref))->max_weight;
}
