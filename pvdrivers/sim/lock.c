#include "pvdrivers/sim/machine.h"

#include <assert.h>
#include <errno.h>

void sim_lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

bool sim_lock(pthread_mutex_t *lock)
{
    int error = pthread_mutex_lock(lock);
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
