/* How a workload's thread waits for the other end: it polls for as long as that has paid off, and
 * then sleeps until its event channel tells of something. */
#ifndef TOOLS_PVBENCH_LOAD_WAIT_H
#define TOOLS_PVBENCH_LOAD_WAIT_H

#include "pvdrivers/poll/group.h"

#define NS_PER_S 1000000000ull

struct pv_load_wait {
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *evtchn;
    enum pv_poll_mode mode;
    uint64_t window;           /* ns to poll without an answer in mode HYBRID */
    uint64_t last_progress_ns; /* when there was work last */
    uint64_t next_yield;       /* ns: not before */
};

/* Monotonic, ns. */
uint64_t pv_load_now_ns(void);
/* There was work. */
void pv_load_wait_progress(struct pv_load_wait *wait, uint64_t now);
/* There was none: true when it is time to arm every queue and to sleep, else it is to be looked for
 * again. */
bool pv_load_wait_is_over(struct pv_load_wait *wait, uint64_t now);
/* Sleeps until an event or for `ns`, but not for long: nothing tells of a stop. */
void pv_load_wait_sleep(struct pv_load_wait *wait, uint64_t ns);

#endif
