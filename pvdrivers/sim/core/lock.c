#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/sim/core/machine.h"

#include <assert.h>
#include <errno.h>

#define SPINS 200 /* a few microseconds */

void sim_lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

/* Most are held for less time than it takes to fall asleep and be woken. */
static int lock_or_wait(pthread_mutex_t *lock)
{
    for (int spins = 0; spins < SPINS; spins++) {
        int error = pthread_mutex_trylock(lock);
        if (error != EBUSY)
            return error;
        pv_cpu_relax();
    }
    return pthread_mutex_lock(lock);
}

bool sim_lock(pthread_mutex_t *lock)
{
    int error = lock_or_wait(lock);
    assert(error == 0 || error == EOWNERDEAD);
    if (error != EOWNERDEAD)
        return false;
    pthread_mutex_consistent(lock);
    return true;
}

void sim_unlock(pthread_mutex_t *lock)
{
    pthread_mutex_unlock(lock);
}
