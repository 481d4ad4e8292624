/*
 * Xen's trace buffers (trace.h): one for each physical CPU, in pages that the hypervisor shares
 * with privileged domains. `prod` and `cons` count bytes, modulo twice the size of what follows;
 * a record never lies across the end of it.
 *
 * A record is a header word (event, number of extra words, whether there is a time), the time as
 * two words, low before high, and the extra words.
 */
#ifndef PVDRIVERS_RING_ABI_TRACE_H
#define PVDRIVERS_RING_ABI_TRACE_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define TRACE_EXTRA_MAX 7
#define TRACE_EXTRA_SHIFT 28
#define TRC_CLS_SHIFT 16
#define TRC_SUBCLS_SHIFT 12
#define TRC_ALL 0x0ffff000
#define TRC_SCHED 0x0002f000
#define TRC_HD_CYCLE_FLAG 0x80000000

#define TRC_LOST_RECORDS 0x0001f001          /* count, vcpu and domid, time of the first */
#define TRC_TRACE_WRAP_BUFFER 0x0001f002     /* fills what is left before the end */
#define TRC_TRACE_CPU_CHANGE 0x0001f003      /* in files alone: CPU, bytes of it that follow */
#define TRC_SCHED_RUNSTATE_CHANGE 0x00021001 /* | old state << 8 | new one << 4 */
#define TRC_SCHED_CONTINUE_RUNNING 0x00021002
#define TRC_SCHED_DOM_ADD 0x00028001
#define TRC_SCHED_DOM_REM 0x00028002
#define TRC_SCHED_SLEEP 0x00028003
#define TRC_SCHED_WAKE 0x00028004
#define TRC_SCHED_YIELD 0x00028005
#define TRC_SCHED_BLOCK 0x00028006
#define TRC_SCHED_ADJDOM 0x00028009
#define TRC_SCHED_SWITCH 0x0002800a
#define TRC_SCHED_SWITCH_INFPREV 0x0002800e
#define TRC_SCHED_SWITCH_INFNEXT 0x0002800f
#define TRC_SCHED_SWITCH_INFCONT 0x00028011
#define TRC_DOM0_DOM_ADD 0x00041001
#define TRC_DOM0_DOM_REM 0x00041002
/* cffi: end */

/* TRC_SCHED_CLASS_EVT(CSCHED, n) and (CSCHED2, n): those that Xen 4.17's schedulers write and ours
 * do. */
#define TRC_CSCHED_ACCOUNT_START 0x00022002
#define TRC_CSCHED_ACCOUNT_STOP 0x00022003
#define TRC_CSCHED_STOLEN_UNIT 0x00022004
#define TRC_CSCHED_PICKED_CPU 0x00022005
#define TRC_CSCHED_TICKLE 0x00022006
#define TRC_CSCHED_BOOST_START 0x00022007
#define TRC_CSCHED_BOOST_END 0x00022008
#define TRC_CSCHED_SCHEDULE 0x00022009
#define TRC_CSCHED_RATELIMIT 0x0002200a
#define TRC_CSCHED_STEAL_CHECK 0x0002200b
#define TRC_CSCHED2_CREDIT_BURN 0x00022203
#define TRC_CSCHED2_TICKLE 0x00022206
#define TRC_CSCHED2_CREDIT_RESET 0x00022207
#define TRC_CSCHED2_TICKLE_NEW 0x0002220d
#define TRC_CSCHED2_MIGRATE 0x0002220f
#define TRC_CSCHED2_RUNQ_CANDIDATE 0x00022214
#define TRC_CSCHED2_SCHEDULE 0x00022215
#define TRC_CSCHED2_RATELIMIT 0x00022216

/* The head of a buffer. */
struct t_buf {
    uint32_t cons;
    uint32_t prod;
};

/* Where the buffers are: at word `mfn_offset[cpu]` from the start, the frames of that CPU's. */
struct t_info {
    uint16_t tbuf_size; /* pages of each */
    uint16_t mfn_offset[];
};

static_assert(sizeof(struct t_buf) == 8, "t_buf");
static_assert(sizeof(struct t_info) == 2, "t_info");

#endif
