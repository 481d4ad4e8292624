/*
 * How long a poller goes on looking when it finds no work, before it sleeps. Sleeping and being
 * woken costs both sides more than a short wait is long, and a long wait spins for nothing, so the
 * last waits tell how long to linger: Linux's KVM decides the same way how long to poll before it
 * halts a processor.
 */
#ifndef PVDRIVERS_LINGER_H
#define PVDRIVERS_LINGER_H

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

#endif
