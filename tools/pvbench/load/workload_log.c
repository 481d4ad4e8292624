/* What a job did when: an entry for each operation, or for all of a window. */
#include "tools/pvbench/load/workload_private.h"

#include <stdlib.h>
#include <string.h>

static void append(struct pv_blk_workload *workload, struct job *job,
                   const struct pv_blk_log_entry *entry)
{
    if (job->log_count == job->log_room) {
        uint64_t room = job->log_room ? 2 * job->log_room : 1024;
        struct pv_blk_log_entry *log = realloc(job->log, room * sizeof(*log));
        if (!log) {
            workload->log_is_full = workload->ending = true;
            return;
        }
        job->log = log;
        job->log_room = room;
    }
    job->log[job->log_count++] = *entry;
}

/* Enters what there is in the job's windows, which end at `end` and begin again. */
static void end_windows(struct pv_blk_workload *workload, struct job *job, uint64_t end)
{
    for (int i = 0; i < PV_BLK_DIR_COUNT; i++) {
        const struct log_window *window = &job->windows[i];
        if (window->ios == 0)
            continue;
        struct pv_blk_log_entry entry = {
            .time_ns = end - workload->measure_from_ns,
            .window_ns = end - job->window_start_ns,
            .ios = window->ios,
            .bytes = window->bytes,
            .slat = window->slat / window->ios,
            .clat = window->clat / window->ios,
            .lat = window->lat / window->ios,
            .direction = (enum pv_blk_direction)i,
        };
        append(workload, job, &entry);
    }
    memset(job->windows, 0, sizeof(job->windows));
    job->window_start_ns = end;
}

/* Windows follow each other without gaps, whether or not anything ends in them. */
static void end_windows_before(struct pv_blk_workload *workload, struct job *job, uint64_t now)
{
    uint64_t length = workload->config.log_window_ns;
    if (job->window_start_ns < workload->measure_from_ns)
        job->window_start_ns = workload->measure_from_ns;
    if (now - job->window_start_ns < length)
        return;
    end_windows(workload, job, job->window_start_ns + length);
    job->window_start_ns += (now - job->window_start_ns) / length * length;
}

void pv_workload_log(struct pv_blk_workload *workload, const struct slot *slot, uint64_t now)
{
    uint64_t bytes = (uint64_t)slot->io.nr_sectors * PV_SECTOR_SIZE;
    if (workload->config.log_window_ns) {
        end_windows_before(workload, slot->job, now);
        struct log_window *window = &slot->job->windows[slot->direction];
        window->ios++;
        window->bytes += bytes;
        window->slat += slot->submitted_ns - slot->issued_ns;
        window->clat += now - slot->submitted_ns;
        window->lat += now - slot->issued_ns;
        return;
    }
    struct pv_blk_log_entry entry = {
        .time_ns = now - workload->measure_from_ns,
        .ios = 1,
        .bytes = bytes,
        .slat = slot->submitted_ns - slot->issued_ns,
        .clat = now - slot->submitted_ns,
        .lat = now - slot->issued_ns,
        .offset = slot->io.sector * PV_SECTOR_SIZE,
        .direction = slot->direction,
    };
    append(workload, slot->job, &entry);
}

void pv_workload_log_finish(struct pv_blk_workload *workload, uint64_t now)
{
    if (!workload->config.log_window_ns)
        return;
    for (uint32_t i = 0; i < workload->config.jobs; i++) {
        struct job *job = &workload->jobs[i];
        if (now <= workload->measure_from_ns)
            continue;
        end_windows_before(workload, job, now);
        if (now > job->window_start_ns)
            end_windows(workload, job, now);
    }
}

const struct pv_blk_log_entry *pv_blk_workload_get_log(const struct pv_blk_workload *workload,
                                                       uint32_t job, uint64_t *count)
{
    *count = workload->jobs[job].log_count;
    return workload->jobs[job].log;
}
