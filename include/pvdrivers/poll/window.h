/*
 * How long a poller goes on looking when it finds no work, before it sleeps. Sleeping and being
 * woken costs both sides more than a short wait is long, and a long wait spins for nothing, so the
 * last waits tell how long to linger: Linux's KVM decides the same way how long to poll before it
 * halts a processor.
 */
#ifndef PVDRIVERS_POLL_WINDOW_H
#define PVDRIVERS_POLL_WINDOW_H

#include <stdint.h>

#define PV_LINGER_MOST_NS 200000u /* ns: several sleeps and wake-ups */

/* After `waited` ns without work there was some: how long to linger the next time, where it was
 * `linger` before. */
static inline uint64_t pv_linger_next(uint64_t linger, uint64_t waited)
{
    if (waited <= linger)
        return linger;
    if (waited > PV_LINGER_MOST_NS)
        return linger / 2;
    return 2 * waited < PV_LINGER_MOST_NS ? 2 * waited : PV_LINGER_MOST_NS;
}

/*
 * Who lingers gives way: what it waits for may need this very processor, to run the peer or a
 * kernel thread that writes to a file. A yield with nobody to give way to costs less than a
 * microsecond, but a program that computes keeps the processor for the whole of its time slice, and
 * whoever yields to it at every look gets nothing done.
 */
#define PV_YIELD_AFTER_NS 2000u   /* ns: a peer that runs and has all it needs answers sooner */
#define PV_YIELD_LONG_NS 1000000u /* ns: peers and the kernel seldom work so long at once */
#define PV_YIELD_PAUSE 4u         /* times as long as it was kept from the processor */

/* After a yield between these two moments (ns): when to yield again. */
static inline uint64_t pv_yield_next(uint64_t from, uint64_t to)
{
    return to - from < PV_YIELD_LONG_NS ? to : to + PV_YIELD_PAUSE * (to - from);
}

#endif
