/*
 * What the files of the vcpus room share:
 *   vcpus.c       the subsystem, contexts, up and down   timers.c      when they expire
 *   sched_op.c    yield, block, poll, shutdown, watchdog  timekeeper.c  who has them expire
 *   timer_op.c    what a guest sets                      dump.c        the debug key
 */
#ifndef PVDRIVERS_SIM_VCPUS_INTERNAL_H
#define PVDRIVERS_SIM_VCPUS_INTERNAL_H

#include "pvdrivers/sim/machine_vcpus.h"
#include "pvdrivers/sim/vcpus/vcpus.h"

#include <errno.h>

static_assert(TIMER_LEAVES >= DOMID_FIRST_RESERVED, "one for each domid");

/* In a read-side section: 0, -ESRCH or -ENOENT. */
static inline int find_vcpu(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                            struct domain **d)
{
    *d = find_live_domain(machine, NULL, domid);
    return !*d ? -ESRCH : vcpu < (*d)->max_vcpus ? 0 : -ENOENT;
}

/* The same for a hypercall of that domain's, which pays for it. */
static inline int begin_call(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                             enum pv_account kind, struct domain **d)
{
    int error = find_vcpu(machine, caller, vcpu, d);
    if (*d)
        account(*d, kind, 1);
    return error;
}

/* ---- timers.c; the second argument's domain in a read-side section ---- */
void timers_init(struct machine *shared);
/* When it expires, ns; 0: never. */
void timer_set(struct pv_machine *machine, struct domain *d, uint32_t vcpu, enum timer_kind kind,
               uint64_t at);
/* Each `period` ns from `at` on; 0: never. */
void timer_set_period(struct pv_machine *machine, struct domain *d, uint32_t vcpu, uint64_t at,
                      uint64_t period);
/* SCHEDOP_watchdog. `at` 0: it goes. Its number from 1 on, 0, -ENOSPC or -EINVAL. */
int watchdog_set(struct pv_machine *machine, struct domain *d, uint32_t id, uint64_t at);
/* All of a domain's. */
void timers_forget(struct pv_machine *machine, struct domain *d);
uint64_t timers_next(struct pv_machine *machine);
/* What is due by now happens. Under no lock. */
void timers_expire(struct pv_machine *machine);

/* ---- dump.c; in a read-side section, under no lock ---- */
void timers_dump(struct pv_machine *machine, struct domain *d);

/* ---- timekeeper.c: a thread of the process that made the machine, in real time ---- */
/* Starts it, unless it is there or has nothing to do here. 0 or a negative errno. */
int timekeeper_start(struct pv_machine *machine);
void timekeeper_stop(struct pv_machine *machine);
/* It looks at `next` again. */
void timekeeper_wake(struct pv_machine *machine);

#endif
