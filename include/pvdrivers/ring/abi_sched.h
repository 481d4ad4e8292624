/* What a guest's kernel asks of the scheduler: the arguments of sched_op (sched.h). Padding is
 * declared. */
#ifndef PVDRIVERS_RING_ABI_SCHED_H
#define PVDRIVERS_RING_ABI_SCHED_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define SCHEDOP_yield 0
#define SCHEDOP_block 1
#define SCHEDOP_shutdown 2
#define SCHEDOP_poll 3
#define SCHEDOP_remote_shutdown 4
#define SCHEDOP_shutdown_code 5
#define SCHEDOP_watchdog 6

#define SHUTDOWN_poweroff 0
#define SHUTDOWN_reboot 1
#define SHUTDOWN_suspend 2
#define SHUTDOWN_crash 3
#define SHUTDOWN_watchdog 4
#define SHUTDOWN_soft_reset 5
#define SHUTDOWN_MAX 5

struct sched_shutdown {
    uint32_t reason; /* SHUTDOWN_* */
};

struct sched_remote_shutdown {
    domid_t domain_id;
    uint16_t pad;
    uint32_t reason;
};

struct sched_watchdog {
    uint32_t id;      /* 0: a new one */
    uint32_t timeout; /* seconds */
};

struct sched_poll_x86_64 {
    uint64_t ports; /* address of evtchn_port_t[nr_ports] */
    uint32_t nr_ports;
    uint32_t pad;
    uint64_t timeout; /* ns of system time, 0: none */
};
/* cffi: end */

struct sched_poll_x86_32 {
    uint32_t ports;
    uint32_t nr_ports;
    pv_x86_32_u64 timeout;
};

static_assert(sizeof(struct sched_remote_shutdown) == 8, "sched_remote_shutdown");
static_assert(sizeof(struct sched_poll_x86_64) == 24, "sched_poll x86_64");
static_assert(sizeof(struct sched_poll_x86_32) == 16, "sched_poll x86_32");

#endif
