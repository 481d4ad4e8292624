/* What the vcpus room keeps of each vcpu, of each domain and of the machine: when timers expire. */
#ifndef PVDRIVERS_SIM_VCPUS_STATE_H
#define PVDRIVERS_SIM_VCPUS_STATE_H

#include <pthread.h>
#include <stdint.h>

enum timer_kind { TIMER_PERIODIC, TIMER_SINGLESHOT, TIMER_POLL, VCPU_TIMERS };
#define WATCHDOGS 2
#define TIMER_WORDS 512 /* of 64 domids */

struct vcpu_timers {
    uint64_t at[VCPU_TIMERS]; /* ns; 0: not set */
    uint64_t period;          /* ns */
};

struct domain_timers {
    uint64_t watchdog_at[WATCHDOGS]; /* ns; 0: the watchdog does not exist */
    uint64_t next;                   /* the first of all; UINT64_MAX: none */
};

struct timers {
    pthread_mutex_t lock;
    uint32_t changes;              /* counted; a futex */
    uint64_t next;                 /* the first of all domains' */
    uint64_t domains[TIMER_WORDS]; /* bit by domid: those that have one */
};

#endif
