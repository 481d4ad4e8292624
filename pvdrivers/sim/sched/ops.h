/* What a scheduler of a pool does; the rest of the room is the same for all. Under the lock; times
 * in ns. A vcpu that runs is in no queue, and one that waits in the queue of its CPU. */
#ifndef PVDRIVERS_SIM_SCHED_OPS_H
#define PVDRIVERS_SIM_SCHED_OPS_H

#include "pvdrivers/sim/core/machine.h"

struct sched_ops {
    const char *name;
    /* The runqueue of a CPU that joins the pool. */
    uint32_t (*queue_for)(const struct scheduler *sched, const struct sched_pool *pool,
                          uint32_t cpu);
    /* The pool's timer, when it has a CPU, and what happens when it has come. */
    uint64_t (*first_timer)(const struct sched_pool *pool, uint64_t now);
    void (*timer)(struct pv_machine *machine, struct sched_pool *pool, uint64_t now);
    /* Between two ticks of a CPU that runs somebody; NEVER: there are none. */
    uint64_t (*tick_time)(const struct sched_pool *pool);
    void (*tick)(struct pv_machine *machine, uint32_t cpu, uint64_t now);

    /* ---- A domain, whose vcpus are on no CPU and in no queue ---- */
    void (*join)(struct pv_machine *machine, struct domain *d, uint64_t now);
    void (*leave)(struct pv_machine *machine, struct domain *d);
    /* Its settings from now on; at any time. */
    void (*set_domain)(struct pv_machine *machine, struct domain *d, uint16_t weight, uint16_t cap,
                       uint64_t now);

    /* ---- A vcpu ---- */
    /* It has become runnable, by an event or not: waits, and a CPU may choose anew. */
    void (*wake)(struct pv_machine *machine, vcpu_ref ref, uint64_t now, bool event);
    /* It waits, and is not runnable any more. */
    void (*sleep)(struct pv_machine *machine, vcpu_ref ref, uint64_t now);
    /* Gives it a CPU that it may use, while it neither waits nor runs. */
    void (*place)(struct pv_machine *machine, vcpu_ref ref);

    /* ---- A CPU ---- */
    /* Whom it runs from now on, in no queue any more, or NO_VCPU; `slice`: for how long. */
    vcpu_ref (*choose)(struct pv_machine *machine, uint32_t cpu, uint64_t now, uint64_t *slice);
    /* Somebody has lost his CPU to that choice. */
    void (*left)(struct pv_machine *machine, vcpu_ref ref, uint64_t now);
    /* The choice is carried out. May be NULL. */
    void (*chosen)(struct pv_machine *machine, uint32_t cpu, uint64_t now);
};

extern const struct sched_ops credit_ops, credit2_ops;

#endif
