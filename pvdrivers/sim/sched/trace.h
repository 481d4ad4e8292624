/* Records of the scheduler's, in the buffer of the CPU that they are about: Xen writes one that
 * wakes a vcpu on the CPU that runs the code, here it is that of the vcpu. */
#ifndef PVDRIVERS_SIM_SCHED_TRACE_H
#define PVDRIVERS_SIM_SCHED_TRACE_H

#include "pvdrivers/sim/sched/internal.h"
#include "pvdrivers/sim/xentrace/xentrace.h"

/* vcpu | domid << 16 */
static inline uint32_t trace_word(vcpu_ref ref)
{
    return (uint32_t)domid_of(ref) << 16 | id_of(ref);
}

/* A vcpu, or of NO_VCPU the CPU's own, that it runs while it idles. */
static inline domid_t trace_domid(vcpu_ref ref)
{
    return ref == NO_VCPU ? DOMID_IDLE : domid_of(ref);
}

static inline uint32_t trace_id(vcpu_ref ref, uint32_t cpu)
{
    return ref == NO_VCPU ? cpu : id_of(ref);
}

static inline uint32_t trace_word_or_idle(vcpu_ref ref, uint32_t cpu)
{
    return (uint32_t)trace_domid(ref) << 16 | trace_id(ref, cpu);
}

/* What happens to a vcpu: domid, vcpu. */
static inline void trace_vcpu(struct pv_machine *machine, uint32_t event, vcpu_ref ref)
{
    XENTRACE(machine, vcpu_at(machine, ref)->cpu, event, domid_of(ref), id_of(ref));
}

/* And one word more. */
static inline void trace_vcpu_word(struct pv_machine *machine, uint32_t event, vcpu_ref ref,
                                   uint32_t word)
{
    XENTRACE(machine, vcpu_at(machine, ref)->cpu, event, domid_of(ref), id_of(ref), word);
}

/* domid and vcpu in one word, what it has run for. */
static inline void trace_ratelimit(struct pv_machine *machine, uint32_t event, vcpu_ref ref,
                                   uint64_t now)
{
    XENTRACE(machine, vcpu_at(machine, ref)->cpu, event, trace_word(ref),
             (uint32_t)(now - vcpu_at(machine, ref)->state_since));
}

/* Of NO_VCPU: the CPU's own. */
static inline void trace_runstate(struct pv_machine *machine, uint32_t cpu, vcpu_ref ref,
                                  uint32_t from, uint32_t to)
{
    XENTRACE(machine, cpu, TRC_SCHED_RUNSTATE_CHANGE | from << 8 | to << 4,
             trace_word_or_idle(ref, cpu));
}

/* ---- trace.c ---- */
/* A CPU has chosen, and nothing of it is carried out yet. */
void trace_choice(struct pv_machine *machine, uint32_t cpu, vcpu_ref next, uint64_t now);

#endif
