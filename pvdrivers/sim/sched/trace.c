/* What Xen records when a CPU has chosen whom it runs (sched/core.c: sched_switch_units). */
#include "pvdrivers/sim/sched/trace.h"

/* ns since it was in this state, as Xen's 32 bits have it. */
static uint32_t since(struct pv_machine *machine, uint32_t cpu, vcpu_ref ref, uint64_t now)
{
    return (uint32_t)(now - (ref == NO_VCPU ? scheduler(machine)->cpu[cpu].idle_since
                                            : vcpu_at(machine, ref)->state_since));
}

static uint32_t slice(struct pv_machine *machine, uint32_t cpu, vcpu_ref next, uint64_t now)
{
    return next == NO_VCPU ? UINT32_MAX : (uint32_t)(scheduler(machine)->cpu[cpu].slice_end - now);
}

void trace_choice(struct pv_machine *machine, uint32_t cpu, vcpu_ref next, uint64_t now)
{
    vcpu_ref before = scheduler(machine)->cpu[cpu].current;
    domid_t from = trace_domid(before), to = trace_domid(next);
    uint32_t from_id = trace_id(before, cpu), to_id = trace_id(next, cpu);
    if (next == before) {
        XENTRACE(machine, cpu, TRC_SCHED_SWITCH_INFCONT, to, to_id, since(machine, cpu, next, now),
                 slice(machine, cpu, next, now));
        XENTRACE(machine, cpu, TRC_SCHED_CONTINUE_RUNNING, trace_word_or_idle(next, cpu));
        return;
    }
    bool waited = next != NO_VCPU && vcpu_at(machine, next)->state == RUNSTATE_runnable;
    XENTRACE(machine, cpu, TRC_SCHED_SWITCH_INFPREV, from, from_id,
             since(machine, cpu, before, now));
    XENTRACE(machine, cpu, TRC_SCHED_SWITCH_INFNEXT, to, to_id,
             waited ? since(machine, cpu, next, now) : 0, slice(machine, cpu, next, now));
    XENTRACE(machine, cpu, TRC_SCHED_SWITCH, from, from_id, to, to_id);
}
