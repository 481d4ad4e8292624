/* A thread that does nothing but drive a group: for benchmarks and for backends of their own
 * process. */
#include "backends/vbd/group.h"

#include <sched.h>
#include <time.h>

#define SLEEP_MS 50             /* how late a stop may be noticed */
#define SPINS_BEFORE_CLOCK 8    /* reading it costs as much as a turn in vain */
#define SPINS_BEFORE_YIELD 1024 /* the peer may be waiting for this very processor */

static uint64_t clock_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int pv_blkback_group_run(struct pv_blkback_group *group, const uint32_t *stop)
{
    unsigned spins = 0;
    int status = 0;
    uint64_t now = clock_now();
    while (status == 0 && !pv_load_acquire(stop)) {
        if (pv_blkback_group_turn(group, now) > 0) {
            now = clock_now();
        } else if (group->awake.count || group->mode == PV_BLKBACK_POLL) {
            pv_cpu_relax();
            spins++;
            if (spins % SPINS_BEFORE_YIELD == 0)
                sched_yield();
            if (spins % SPINS_BEFORE_CLOCK == 0)
                now = clock_now();
        } else {
            status = pv_blkback_group_wait(group, now, SLEEP_MS);
            now = clock_now();
        }
    }
    return status;
}

int pv_blkback_run(struct pv_blkback_queue **queues, unsigned count, enum pv_blkback_mode mode,
                   const uint32_t *stop)
{
    struct pv_blkback_group *group = pv_blkback_group_create(mode);
    if (!group)
        return -errno;
    int status = 0;
    for (unsigned i = 0; i < count && status == 0; i++)
        status = pv_blkback_group_add(group, queues[i]);
    if (status == 0)
        status = pv_blkback_group_run(group, stop);
    pv_blkback_group_destroy(group);
    return status;
}
