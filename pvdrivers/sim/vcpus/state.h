/* What the vcpus room keeps of each vcpu, of each domain and of the machine: when timers expire. */
#ifndef PVDRIVERS_SIM_VCPUS_STATE_H
#define PVDRIVERS_SIM_VCPUS_STATE_H

#include <pthread.h>
#include <stdint.h>

enum timer_kind { TIMER_PERIODIC, TIMER_SINGLESHOT, TIMER_POLL, VCPU_TIMERS };
#define WATCHDOGS 2
#define TIMER_LEAVES 32768 /* one for each domid */

struct vcpu_timers {
    uint64_t at[VCPU_TIMERS]; /* ns; 0: not set */
    uint64_t period;          /* ns */
};

struct domain_timers {
    uint64_t watchdog_at[WATCHDOGS]; /* ns; 0: the watchdog does not exist */
};

struct timers {
    pthread_mutex_t lock;
    uint32_t changes; /* counted; a futex */
    /* A tree of times, ns; 0: never. From TIMER_LEAVES on each domain's first one, by domid; at i
     * the earlier of 2i and 2i + 1, and so at 1 the first of all. */
    uint64_t first[2 * TIMER_LEAVES];
};

#endif
