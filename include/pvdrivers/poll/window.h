/*
 * The poll window: how long a poller without work goes on polling before it sleeps. To sleep and be
 * woken costs both ends more than a short wait, and a long wait wastes processor time, so the
 * window follows the length of the last waits. Linux's KVM decides the same way how long to poll
 * before it halts a processor.
 */
#ifndef PVDRIVERS_POLL_WINDOW_H
#define PVDRIVERS_POLL_WINDOW_H

#include <stdint.h>

#define PV_POLL_WINDOW_MAX_NS 200000u /* several sleeps and wake-ups */

/* After `waited` ns without work there was some: the next window, where the last was `window`. */
static inline uint64_t pv_poll_window_next(uint64_t window, uint64_t waited)
{
    if (waited <= window)
        return window;
    if (waited > PV_POLL_WINDOW_MAX_NS)
        return window / 2;
    return 2 * waited < PV_POLL_WINDOW_MAX_NS ? 2 * waited : PV_POLL_WINDOW_MAX_NS;
}

/*
 * A poller yields its processor: the other end, or a kernel thread that writes to a file, may need
 * this very one. A yield costs less than a microsecond when nothing else wants the processor. But a
 * program that computes keeps it for its whole time slice, and a poller that yielded at every look
 * would make no progress.
 */
#define PV_YIELD_AFTER_NS 2000u   /* the other end answers sooner when it runs and lacks nothing */
#define PV_YIELD_LONG_NS 1000000u /* the other end and the kernel seldom work so long at once */
#define PV_YIELD_PAUSE 4u         /* times as long as the processor was away */

/* After a yield between these two moments (ns): when to yield again. */
static inline uint64_t pv_yield_next(uint64_t from, uint64_t to)
{
    return to - from < PV_YIELD_LONG_NS ? to : to + PV_YIELD_PAUSE * (to - from);
}

#endif
