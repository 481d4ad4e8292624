/* A thread that does nothing but drive a group. */
#include "pvdrivers/poll/group_private.h"
#include "pvdrivers/poll/window.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>

#define STOP_CHECK_MS 50 /* how late a caller's stop may be noticed */
#define FOREVER_MS INT32_MAX
#define SPINS_BEFORE_CLOCK 8 /* reading the clock costs as much as an iteration without work */

static uint64_t clock_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Yields the processor when it is time to, and the lock with it. Returns what time it is then. */
static uint64_t yield_cpu(struct pv_poll_group *group, uint64_t now, uint64_t last_work,
                          uint64_t *next_yield)
{
    if (now - last_work < PV_YIELD_AFTER_NS || now < *next_yield)
        return now;
    pthread_mutex_unlock(&group->lock);
    sched_yield();
    pthread_mutex_lock(&group->lock);
    uint64_t back = clock_now();
    *next_yield = pv_yield_next(now, back);
    return back;
}

static int run(struct pv_poll_group *group, const uint32_t *stop, uint32_t max_ms)
{
    unsigned spins = 0;
    int status = 0;
    uint64_t now = clock_now(), last_work = now, next_yield = now;
    pthread_mutex_lock(&group->lock);
    group->asleep = false;
    while (status == 0) {
        int worked = poll_group_iterate(group, now);
        if (pv_load_acquire(stop))
            break; /* after the iteration, which may have taken the kick that came with it */
        if (worked > 0) {
            now = last_work = clock_now();
        } else if (group->awake.count || group->mode == PV_POLL_MODE_POLL) {
            pv_cpu_relax();
            if (++spins % SPINS_BEFORE_CLOCK == 0)
                now = yield_cpu(group, clock_now(), last_work, &next_yield);
        } else {
            status = poll_group_wait(group, now, max_ms);
            now = clock_now();
        }
    }
    group->asleep = true;
    pthread_mutex_unlock(&group->lock);
    return status;
}

int pv_poll_group_run(struct pv_poll_group *group)
{
    return run(group, &group->stop, FOREVER_MS);
}

void pv_poll_group_stop(struct pv_poll_group *group)
{
    pv_store_release(&group->stop, 1); /* before the kick, or the driver would sleep again */
    eventfd_write(group->kick_fd, 1);
}

int pv_poll_run(struct pv_pollable **pollables, unsigned count, enum pv_poll_mode mode,
                const uint32_t *stop)
{
    struct pv_poll_group *group = pv_poll_group_create(mode);
    if (!group)
        return -errno;
    int status = 0;
    for (unsigned i = 0; i < count && status == 0; i++)
        status = pv_poll_group_add(group, pollables[i]);
    if (status == 0)
        status = run(group, stop, STOP_CHECK_MS);
    pv_poll_group_destroy(group);
    return status;
}
