/* What the console room keeps in the machine. */
#ifndef PVDRIVERS_SIM_CONSOLE_STATE_H
#define PVDRIVERS_SIM_CONSOLE_STATE_H

#include <pthread.h>
#include <stdint.h>

#define CONSOLE_RING_SIZE 65536u /* a power of two: the indices wrap */

/* Xen's conring: `producer` and `consumer` count the bytes that ever were, modulo 2^32. A process
 * killed while it prints has not moved `producer` yet, so there is nothing to repair. */
struct console_ring {
    pthread_mutex_t lock;
    uint32_t producer;
    uint32_t consumer; /* what is before it was cleared */
    char bytes[CONSOLE_RING_SIZE];
};

#endif
