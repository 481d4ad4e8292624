/* What other threads ask of a workload, and what it leaves. */
#include "tools/pvbench/load/workload_private.h"

void pv_blk_workload_stop(struct pv_blk_workload *workload)
{
    pv_fetch_or(&workload->requests, REQUEST_STOP);
}

void pv_blk_workload_copy(struct pv_blk_workload *workload, struct pv_blk_workload_result *result,
                          struct pv_blk_job_result *jobs)
{
    workload->copy = result;
    workload->copy_jobs = jobs;
    /* A full barrier: the thread that finds the bit set sees where to. */
    pv_fetch_or(&workload->requests, REQUEST_COPY);
}

bool pv_blk_workload_copied(const struct pv_blk_workload *workload)
{
    /* Acquire: the copies were made before the bit was cleared. */
    return !(pv_load_acquire(&workload->requests) & REQUEST_COPY);
}

void pv_blk_workload_get_progress(const struct pv_blk_workload *workload, uint32_t job,
                                  struct pv_blk_progress *progress)
{
    const struct pv_blk_progress *now = &workload->jobs[job].progress;
    for (int i = 0; i < PV_BLK_DIR_COUNT; i++) {
        progress->ios[i] = pv_read_counter(&now->ios[i]);
        progress->bytes[i] = pv_read_counter(&now->bytes[i]);
    }
}

const struct pv_blk_workload_result *
pv_blk_workload_get_result(const struct pv_blk_workload *workload)
{
    return &workload->result;
}

const struct pv_blk_job_result *
pv_blk_workload_get_job_result(const struct pv_blk_workload *workload, uint32_t job)
{
    return &workload->jobs[job].result;
}
