/* When a job may issue: rates and think times. */
#include "tools/pvbench/load/workload_private.h"

void pv_workload_pace_start(struct pv_blk_workload *workload, struct job *job)
{
    workload->start_ns = pv_load_now_ns();
    for (int i = 0; i < PV_BLK_DIR_COUNT; i++) {
        job->issued_ios[i] = job->issued_bytes[i] = 0;
        job->due_ns[i] = 0;
    }
    job->think_until_ns = 0;
    job->until_think = workload->config.thinktime_blocks;
}

static void note_due(struct pv_blk_workload *workload, uint64_t due_ns)
{
    if (due_ns < workload->next_due_ns)
        workload->next_due_ns = due_ns;
}

static bool is_thinking(struct pv_blk_workload *workload, struct job *job, uint64_t now)
{
    if (!workload->config.thinktime_ns)
        return false;
    if (job->until_think == 0) {
        if (job->outstanding > 0)
            return true; /* it thinks when they have ended */
        job->until_think = workload->config.thinktime_blocks;
        job->think_until_ns = now + workload->config.thinktime_ns;
    }
    if (now >= job->think_until_ns)
        return false;
    note_due(workload, job->think_until_ns);
    return true;
}

static enum pv_blk_direction other(enum pv_blk_direction direction)
{
    return direction == PV_BLK_DIR_READ ? PV_BLK_DIR_WRITE : PV_BLK_DIR_READ;
}

bool pv_workload_is_due(struct pv_blk_workload *workload, struct job *job,
                        enum pv_blk_direction *direction)
{
    uint64_t now = pv_load_now_ns();
    if (is_thinking(workload, job, now))
        return false;
    if (now < job->due_ns[*direction]) {
        note_due(workload, job->due_ns[*direction]);
        uint32_t percent = workload->config.read_percent;
        if (workload->config.trim || percent == 0 || percent >= 100)
            return false;
        enum pv_blk_direction mixed_with = other(*direction);
        if (now < job->due_ns[mixed_with]) {
            note_due(workload, job->due_ns[mixed_with]);
            return false;
        }
        *direction = mixed_with;
    }
    if (workload->outstanding == 0)
        workload->wait.last_progress_ns = now; /* nothing was waited for until now */
    return true;
}

/* The time after which `done` of `rate` a second are due. */
static uint64_t time_of(uint64_t done, uint64_t rate)
{
    return (uint64_t)((unsigned __int128)done * NS_PER_S / rate);
}

void pv_workload_pace_issued(const struct pv_blk_workload *workload, struct job *job,
                             enum pv_blk_direction direction, uint32_t bytes)
{
    const struct pv_blk_workload_config *config = &workload->config;
    uint64_t due = 0;
    job->issued_ios[direction]++;
    job->issued_bytes[direction] += bytes;
    if (config->rate_iops[direction])
        due = time_of(job->issued_ios[direction], config->rate_iops[direction]);
    if (config->rate[direction]) {
        uint64_t by_bytes = time_of(job->issued_bytes[direction], config->rate[direction]);
        due = by_bytes > due ? by_bytes : due;
    }
    job->due_ns[direction] = workload->start_ns + due;
    if (config->thinktime_ns)
        job->until_think--;
}
