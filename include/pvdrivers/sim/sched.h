/*
 * Virtual CPUs on a machine's CPUs, in virtual time, as Xen's credit and credit2 schedulers share
 * them out (sched/credit.c and sched/credit2.c of Xen; docs/pvsim.md says what is modelled). What a
 * vcpu does is CPU time that it wants: it is runnable while it wants some, runs while it has a CPU,
 * and is reported when it has had it.
 *
 * In real time nothing is scheduled. Settings are kept and answered; a vcpu is blocked, and has run
 * for the CPU time of the processes that have views of its domain, as their clocks count it: a
 * process with views of several domains gives each the same, and the vcpus of a domain have the
 * same.
 *
 * Calls return 0 or a non-negative result, or a negative errno: ESRCH no such domain, EINVAL an
 * argument out of range, ENODEV a machine that has no CPUs, or does not schedule them.
 */
#ifndef PVDRIVERS_SIM_SCHED_H
#define PVDRIVERS_SIM_SCHED_H

#include "pvdrivers/sim/machine.h"

/* cffi: begin */

#define PV_SCHED_MAX_CPUS 256
#define PV_SCHED_MIN_WEIGHT 1
#define PV_SCHED_MAX_WEIGHT 65535
#define PV_SCHED_DEFAULT_WEIGHT 256
#define PV_SCHED_MAX_TSLICE_MS 1000
#define PV_SCHED_DEFAULT_TSLICE_MS 30
#define PV_SCHED_MIN_RATELIMIT_US 100
#define PV_SCHED_MAX_RATELIMIT_US 500000
#define PV_SCHED_DEFAULT_RATELIMIT_US 1000
#define PV_SCHED_MAX_MIGRATION_DELAY_US 100000

/* vcpu.h's RUNSTATE_* */
#define RUNSTATE_running 0
#define RUNSTATE_runnable 1
#define RUNSTATE_blocked 2
#define RUNSTATE_offline 3

struct pv_vcpu_runstate {
    uint32_t state;
    uint32_t cpu;              /* that it runs on, or last waited for */
    uint64_t state_entry_time; /* ns */
    uint64_t time[4]; /* ns in each state, up to now; runnable is what xenstat calls steal */
};

/* domctl.h's XEN_SCHEDULER_* */
#define PV_SCHEDULER_CREDIT 5
#define PV_SCHEDULER_CREDIT2 6

/* xen_sysctl_credit_schedule, xen_sysctl_credit2_schedule: credit2 has the rate limit alone, the
 * others are 0 */
struct pv_sched_params {
    uint32_t tslice_ms;    /* 1 or more */
    uint32_t ratelimit_us; /* within a slice; 0: none */
    /* For so long after a vcpu had a CPU, no other CPU takes it from that one's queue. */
    uint32_t migration_delay_us;
};

/* xen_domctl_sched_credit, xen_domctl_sched_credit2 */
struct pv_sched_domain {
    uint32_t weight; /* of each active vcpu, 1 to 65535 */
    uint32_t cap;    /* percent of one CPU for the domain; 0: none */
};

struct pv_sched_stats {
    uint64_t decisions; /* a CPU chose whom it runs */
    uint64_t switches;  /* to another vcpu, or from or to idling */
    uint64_t steals;    /* a CPU took a vcpu from another one's queue */
    uint64_t boosts;    /* a vcpu woke with priority BOOST */
};

/* A vcpu has had what it wanted, at this time (ns). */
struct pv_sched_done {
    uint64_t time;
    domid_t domid;
    uint16_t vcpu;
};

/* Of a cpupool's scheduler. ENOENT: there is no such pool. */
PV_API int pv_sched_set_params(struct pv_machine *machine, uint32_t pool,
                               const struct pv_sched_params *params);
PV_API int pv_sched_get_params(struct pv_machine *machine, uint32_t pool,
                               struct pv_sched_params *params);
PV_API int pv_sched_set_domain(struct pv_machine *machine, domid_t domid,
                               const struct pv_sched_domain *settings);
PV_API int pv_sched_get_domain(struct pv_machine *machine, domid_t domid,
                               struct pv_sched_domain *settings);
PV_API int pv_sched_get_stats(struct pv_machine *machine, struct pv_sched_stats *stats);
/* ns that a CPU has run nobody. */
PV_API int pv_sched_get_idle_time(struct pv_machine *machine, uint32_t cpu, uint64_t *ns);

/* PV_SCHED_MAX_CPUS bits each, or NULL for what is there. `hard`: the CPUs a vcpu may run on, one
 * of its pool's at least. `soft`: those of them on which it would rather run. */
PV_API int pv_vcpu_set_affinity(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                                const uint64_t *hard, const uint64_t *soft);
PV_API int pv_vcpu_get_affinity(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                                uint64_t *hard, uint64_t *soft);
PV_API int pv_vcpu_get_runstate(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                                struct pv_vcpu_runstate *runstate);
/* The vcpu wants `ns` more, and wakes, unless it waits for an event (SCHEDOP_block, _poll) or is
 * down. */
PV_API int pv_vcpu_demand(struct pv_machine *machine, domid_t domid, uint32_t vcpu, uint64_t ns);

/* Moves virtual time on, to `until` (ns) at most: no further than to the first vcpu that has had
 * what it wanted. Returns how many there are at that time, `max` (1 or more) of them at most. One
 * that wants nothing more when time moves on again blocks. */
PV_API int pv_sched_run(struct pv_machine *machine, uint64_t until, struct pv_sched_done *done,
                        uint32_t max);
/* cffi: end */

#endif
