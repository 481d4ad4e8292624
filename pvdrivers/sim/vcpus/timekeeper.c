/*
 * In real time timers expire in a thread of the process that made the machine: as long as there is
 * a machine there is that process, whatever becomes of the one that has set a timer. It starts with
 * the first timer, or when other processes may set some. In virtual time who moves time on has them
 * expire, and there is no thread.
 */
#include "pvdrivers/sim/vcpus/internal.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define PATIENCE (3600 * NS_PER_S) /* the longest sleep */

struct timekeeper {
    pthread_t thread;
    uint32_t stop;
};

static uint32_t *changes(struct pv_machine *machine)
{
    return &machine->shared->timers.changes;
}

static void sleep_until(struct pv_machine *machine, uint64_t at, uint32_t seen)
{
    uint64_t now = pv_machine_now(machine), ns = at > now ? at - now : 0;
    ns = ns < PATIENCE ? ns : PATIENCE;
    struct timespec time = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    syscall(SYS_futex, changes(machine), FUTEX_WAIT, seen, &time, NULL, 0);
}

static void *keep_time(void *argument)
{
    struct pv_machine *machine = argument;
    while (!__atomic_load_n(&machine->timekeeper->stop, __ATOMIC_ACQUIRE)) {
        /* Before the look at what is due: a change after it ends the sleep. */
        uint32_t seen = __atomic_load_n(changes(machine), __ATOMIC_SEQ_CST);
        timers_expire(machine);
        if (!__atomic_load_n(&machine->timekeeper->stop, __ATOMIC_ACQUIRE))
            sleep_until(machine, timers_next(machine), seen);
    }
    return NULL;
}

int timekeeper_start(struct pv_machine *machine)
{
    static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
    if (machine->shared->virtual_time || !machine->broker)
        return 0;
    int error = 0;
    pthread_mutex_lock(&starting);
    if (!machine->timekeeper) {
        machine->timekeeper = calloc(1, sizeof *machine->timekeeper);
        error = machine->timekeeper
                    ? pthread_create(&machine->timekeeper->thread, NULL, keep_time, machine)
                    : ENOMEM;
        if (error) {
            free(machine->timekeeper);
            machine->timekeeper = NULL;
        }
    }
    pthread_mutex_unlock(&starting);
    return -error;
}

void timekeeper_wake(struct pv_machine *machine)
{
    if (machine->shared->virtual_time)
        return;
    __atomic_fetch_add(changes(machine), 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, changes(machine), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void timekeeper_stop(struct pv_machine *machine)
{
    struct timekeeper *keeper = machine->timekeeper;
    if (!keeper)
        return;
    __atomic_store_n(&keeper->stop, 1, __ATOMIC_RELEASE);
    timekeeper_wake(machine);
    pthread_join(keeper->thread, NULL);
    machine->timekeeper = NULL;
    free(keeper);
}
