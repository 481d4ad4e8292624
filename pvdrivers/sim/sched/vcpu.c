/* A vcpu's states, and what it wants. */
#include "pvdrivers/sim/sched/trace.h"

static uint32_t pause_flags(const struct sched_vcpu *vcpu)
{
    return vcpu_pause_flags(
        (const struct vcpu *)((const uint8_t *)vcpu - offsetof(struct vcpu, sched)));
}

bool vcpu_is_runnable(const struct domain *d, const struct sched_vcpu *vcpu)
{
    return d->sched.runnable && vcpu->demand > 0 && !pause_flags(vcpu) && !vcpu->parked &&
           !vcpu->moving;
}

/* As Xen has it: one that is paused or down, or that its cap has parked, is offline. */
uint8_t vcpu_rest_state(const struct domain *d, const struct sched_vcpu *vcpu)
{
    if (vcpu->demand == 0 || pause_flags(vcpu) & VPF_blocked)
        return RUNSTATE_blocked;
    return vcpu_is_runnable(d, vcpu) ? RUNSTATE_runnable : RUNSTATE_offline;
}

void vcpu_set_state(struct pv_machine *machine, vcpu_ref ref, uint8_t state, uint64_t now)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    if (vcpu->state == state)
        return;
    trace_runstate(machine, vcpu->cpu, ref, vcpu->state, state);
    vcpu->time[vcpu->state] += now - vcpu->state_since;
    vcpu->state = state;
    vcpu->state_since = now;
    if (vcpu->area.page[0])
        runstate_changed(machine, ref);
}

static void wake(struct pv_machine *machine, vcpu_ref ref, uint64_t now, bool boost)
{
    trace_vcpu(machine, TRC_SCHED_WAKE, ref);
    vcpu_set_state(machine, ref, RUNSTATE_runnable, now);
    ops_of_vcpu(machine, ref)->wake(machine, ref, now, boost);
}

static void trace_end(struct pv_machine *machine, vcpu_ref ref, uint8_t state)
{
    trace_vcpu(machine, state == RUNSTATE_blocked ? TRC_SCHED_BLOCK : TRC_SCHED_SLEEP, ref);
}

void vcpu_changed(struct pv_machine *machine, vcpu_ref ref, uint64_t now, bool boost)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    uint8_t state = vcpu_rest_state(domain_of(machine, ref), vcpu);
    bool runnable = state == RUNSTATE_runnable;
    if (vcpu->state == RUNSTATE_running) {
        if (!runnable) {
            trace_end(machine, ref, state);
            cpu_schedule(machine, vcpu->cpu, now);
        }
        return;
    }
    if (runnable && !vcpu->queued) {
        wake(machine, ref, now, boost);
        return;
    }
    if (!runnable && vcpu->queued) {
        trace_end(machine, ref, state);
        ops_of_vcpu(machine, ref)->sleep(machine, ref, now);
    }
    vcpu_set_state(machine, ref, state, now);
}

void vcpu_take_off(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    vcpu_at(machine, ref)->moving = true;
    vcpu_changed(machine, ref, now, false);
}

void vcpu_put_back(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    vcpu_at(machine, ref)->moving = false;
    vcpu_changed(machine, ref, now, false);
}

void vcpu_move(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    vcpu_take_off(machine, ref, now);
    ops_of_vcpu(machine, ref)->place(machine, ref);
    vcpu_put_back(machine, ref, now);
}

void vcpu_paused(struct pv_machine *machine, struct domain *d, uint32_t vcpu, bool paused)
{
    if (!scheduler(machine)->cpus)
        return;
    sched_lock(machine);
    if (d->sched.member && is_scheduled(machine))
        vcpu_changed(machine, make_ref(d, vcpu), pv_machine_now(machine), !paused);
    else if (d->sched.member)
        runstate_changed(machine, make_ref(d, vcpu));
    sched_unlock(machine);
}

void vcpu_yield(struct pv_machine *machine, struct domain *d, uint32_t vcpu)
{
    sched_lock(machine);
    struct sched_vcpu *own = &d->vcpu[vcpu].sched;
    if (d->sched.member && own->state == RUNSTATE_running) {
        trace_vcpu(machine, TRC_SCHED_YIELD, make_ref(d, vcpu));
        own->yields = true;
        cpu_schedule(machine, own->cpu, pv_machine_now(machine));
        own->yields = false;
    }
    sched_unlock(machine);
}
