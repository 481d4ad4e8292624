/* A robust lock in shared memory. */
#ifndef PVDRIVERS_SIM_CORE_LOCK_H
#define PVDRIVERS_SIM_CORE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

void sim_lock_init(pthread_mutex_t *lock);
/* True when the last holder died inside: what the lock protects may be half done, and the caller
 * repairs it. */
bool sim_lock(pthread_mutex_t *lock);
void sim_unlock(pthread_mutex_t *lock);

#endif
