/* The workload's loop: choose operations, submit them, reap what is finished, wait. */
#include "tools/pvbench/load/usage.h"
#include "tools/pvbench/load/workload_private.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_TIMEOUT_NS (30 * NS_PER_S)
#define STOP_TIMEOUT_NS (2 * NS_PER_S)
#define LOOKS 16 /* at the queues between two looks at the clock */

/* ---- Submitting and reaping ---------------------------------------------------------------- */

static void add_to_batch(struct pv_blk_workload *workload, struct slot *slot)
{
    struct batch *batch = &workload->batches[slot->queue];
    batch->ios[batch->count++] = &slot->io;
    workload->outstanding++;
    slot->job->outstanding++;
}

/* 0; 1 to 4; 5 to 8; ... ; more than 64 */
static unsigned batch_level(uint32_t count)
{
    unsigned level = count > 0;
    for (uint32_t limit = 4; level && level < PV_BLK_DEPTH_LEVELS - 1 && count > limit; limit *= 2)
        level++;
    return level;
}

static unsigned depth_level(uint32_t depth)
{
    unsigned level = 31u - (unsigned)__builtin_clz(depth | 1);
    return level < PV_BLK_DEPTH_LEVELS ? level : PV_BLK_DEPTH_LEVELS - 1;
}

static void choose_all(struct pv_blk_workload *workload)
{
    uint32_t jobs = workload->pass == PASS_MEASURE ? workload->config.jobs : 1;
    workload->next_due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < jobs; i++) {
        struct job *job = &workload->jobs[i];
        uint32_t before = job->outstanding;
        while (job->free && job->left > 0) {
            struct slot *slot = job->free;
            if (pv_workload_choose(workload, job, slot)) {
                job->free = slot->next_free;
                add_to_batch(workload, slot);
            } else if (workload->pass == PASS_MEASURE) {
                break; /* every block near is busy, or nothing is due: later */
            }
        }
        if (workload->pass == PASS_MEASURE && job->outstanding > before)
            job->result.depth_level[depth_level(job->outstanding)] += job->outstanding - before;
    }
}

/* Latencies begin at `now`: what has been chosen has only to be issued. */
static int submit_all(struct pv_blk_workload *workload, uint64_t now)
{
    for (uint32_t i = 0; i < workload->config.nr_queues; i++) {
        struct batch *batch = &workload->batches[i];
        if (batch->count == 0)
            continue;
        const struct pv_load_queue *queue = &workload->queues[i];
        int error = queue->ops->submit(queue->front, batch->ios, batch->count);
        if (error)
            return error;
        uint64_t submitted = pv_load_now_ns();
        for (uint32_t j = 0; j < batch->count; j++) {
            struct slot *slot = (struct slot *)batch->ios[j];
            slot->issued_ns = now;
            slot->submitted_ns = submitted;
        }
        workload->result.depth_submit[batch_level(batch->count)]++;
        batch->count = 0;
    }
    return 0;
}

static void measure(struct pv_blk_workload *workload, const struct slot *slot, uint64_t now)
{
    if (workload->pass != PASS_MEASURE || slot->issued_ns < workload->measure_from_ns)
        return;
    struct job *job = slot->job;
    if (slot->io.operation == BLKIF_OP_FLUSH_DISKCACHE) {
        job->result.syncs++;
        pv_histogram_add(&job->result.sync_lat, now - slot->issued_ns);
        return;
    }
    uint64_t bytes = (uint64_t)slot->io.nr_sectors * PV_SECTOR_SIZE;
    struct pv_blk_direction_result *result = &job->result.direction[slot->direction];
    result->ios++;
    result->bytes += bytes;
    pv_histogram_add(&result->slat, slot->submitted_ns - slot->issued_ns);
    pv_histogram_add(&result->clat, now - slot->submitted_ns);
    pv_histogram_add(&result->lat, now - slot->issued_ns);
    pv_add_counter(&job->progress.ios[slot->direction], 1);
    pv_add_counter(&job->progress.bytes[slot->direction], bytes);
    if (workload->config.log)
        pv_workload_log(workload, slot, now);
}

static void complete(struct pv_blk_workload *workload, struct slot *slot, uint64_t now)
{
    if (workload->blocks && slot->io.operation != BLKIF_OP_FLUSH_DISKCACHE)
        pv_workload_verify(workload, slot);
    if (slot->io.status == 0) {
        measure(workload, slot, now);
    } else {
        if (workload->result.errors++ == 0)
            workload->result.first_error = slot->io.status;
        workload->ending = true;
    }
    slot->next_free = slot->job->free;
    slot->job->free = slot;
    slot->job->outstanding--;
    workload->outstanding--;
}

/* Returns how many operations have finished, or what poll says of a broken queue. */
static int reap_all(struct pv_blk_workload *workload)
{
    int finished = 0;
    for (uint32_t i = 0; i < workload->config.nr_queues; i++) {
        const struct pv_load_queue *queue = &workload->queues[i];
        int count = queue->ops->poll(queue->front, workload->done, workload->reap_budget);
        if (count < 0)
            return count;
        if (count == 0)
            continue;
        uint64_t now = pv_load_now_ns();
        for (int j = 0; j < count; j++)
            complete(workload, (struct slot *)workload->done[j], now);
        workload->result.depth_complete[batch_level((uint32_t)count)]++;
        pv_load_wait_progress(&workload->wait, now);
        finished += count;
    }
    return finished;
}

/* ---- Waiting ------------------------------------------------------------------------------- */

/* ns until the next operation is due. */
static uint64_t until_due(const struct pv_blk_workload *workload)
{
    if (!workload->paced || workload->ending)
        return UINT64_MAX;
    uint64_t now = pv_load_now_ns();
    uint64_t next =
        workload->next_due_ns < workload->end_ns ? workload->next_due_ns : workload->end_ns;
    return next > now ? next - now : 0;
}

static void sleep_until_event(struct pv_blk_workload *workload)
{
    for (uint32_t i = 0; i < workload->config.nr_queues; i++)
        if (workload->queues[i].ops->arm(workload->queues[i].front))
            return;
    workload->result.sleeps++;
    pv_load_wait_sleep(&workload->wait, until_due(workload));
}

/* Until there is an answer, but not for long. Without a pause between the looks: one takes as long
 * as ten of them, and an answer would be found the later. */
static void look_around(const struct pv_blk_workload *workload)
{
    for (unsigned look = 0; look < LOOKS; look++) {
        for (uint32_t i = 0; i < workload->config.nr_queues; i++)
            if (workload->queues[i].ops->has_news(workload->queues[i].front))
                return;
    }
    pv_cpu_relax();
}

/* ---- Passes -------------------------------------------------------------------------------- */

static bool nothing_left(const struct pv_blk_workload *workload)
{
    uint32_t jobs = workload->pass == PASS_MEASURE ? workload->config.jobs : 1;
    for (uint32_t i = 0; i < jobs; i++)
        if (workload->jobs[i].left > 0)
            return false;
    return true;
}

static uint64_t measured_ns(const struct pv_blk_workload *workload, uint64_t now)
{
    return now > workload->measure_from_ns ? now - workload->measure_from_ns : 0;
}

static void copy_results(struct pv_blk_workload *workload)
{
    /* Acquire what the asker has written before the bit: where to. The load that found the bit set
     * had no order. */
    pv_load_acquire(&workload->requests);
    *workload->copy = workload->result;
    workload->copy->elapsed_ns = measured_ns(workload, pv_load_now_ns());
    for (uint32_t i = 0; i < workload->config.jobs; i++)
        workload->copy_jobs[i] = workload->jobs[i].result;
    /* A full barrier: a thread that finds the bit clear sees the copies. */
    pv_fetch_and(&workload->requests, ~REQUEST_COPY);
}

static int loop(struct pv_blk_workload *workload)
{
    for (uint64_t now = pv_load_now_ns();;) {
        uint32_t requests = pv_read_once(&workload->requests);
        if (requests & REQUEST_COPY)
            copy_results(workload);
        bool stop = requests & REQUEST_STOP;
        if (stop || now >= workload->end_ns)
            workload->ending = true;
        if (!workload->ending)
            choose_all(workload);
        now = pv_load_now_ns();
        int error = submit_all(workload, now);
        if (workload->config.mode != PV_POLL_MODE_EVENT)
            look_around(workload);
        int finished = error ? error : reap_all(workload);
        if (finished < 0)
            return finished;
        if (workload->outstanding == 0 && (workload->ending || nothing_left(workload)))
            return workload->result.errors ? -EIO : workload->log_is_full ? -ENOMEM : 0;
        if (finished > 0)
            continue;
        if (workload->outstanding > 0 &&
            now > workload->wait.last_progress_ns + (stop ? STOP_TIMEOUT_NS : ANSWER_TIMEOUT_NS))
            return -ETIMEDOUT;
        if (pv_load_wait_is_over(&workload->wait, now))
            sleep_until_event(workload);
    }
}

static void start_jobs(struct pv_blk_workload *workload)
{
    bool measured = workload->pass == PASS_MEASURE;
    bool without_end = measured && workload->config.time_based;
    uint64_t bytes = workload->nr_blocks * workload->config.block_size;
    if (measured && workload->config.io_size)
        bytes = workload->config.io_size;
    for (uint32_t i = 0; i < workload->config.jobs; i++) {
        struct job *job = &workload->jobs[i];
        job->random_state = workload->config.seed + 0x632be59bd9b4e019ull * (i + 1);
        memset(job->next_block, 0, sizeof(job->next_block));
        job->taken = 0;
        job->writes_since_flush = 0;
        job->left = without_end ? UINT64_MAX : bytes;
        pv_workload_pace_start(workload, job);
    }
}

static int run_pass(struct pv_blk_workload *workload, enum pass pass)
{
    workload->pass = pass;
    workload->ending = false;
    workload->wait.last_progress_ns = pv_load_now_ns();
    start_jobs(workload);
    return loop(workload);
}

int pv_blk_workload_layout(struct pv_blk_workload *workload)
{
    workload->end_ns = UINT64_MAX;
    return run_pass(workload, PASS_LAYOUT);
}

int pv_blk_workload_verify(struct pv_blk_workload *workload)
{
    if (!workload->blocks)
        return -EINVAL;
    workload->end_ns = UINT64_MAX;
    return run_pass(workload, PASS_VERIFY);
}

static void count_usage(struct pv_blk_workload_result *result, const struct load_usage *before)
{
    const struct load_usage after = load_usage_now();
    result->user_ns = after.user_ns - before->user_ns;
    result->system_ns = after.system_ns - before->system_ns;
    result->context_switches = after.context_switches - before->context_switches;
    result->major_faults = after.major_faults - before->major_faults;
    result->minor_faults = after.minor_faults - before->minor_faults;
}

int pv_blk_workload_run(struct pv_blk_workload *workload)
{
    const struct pv_blk_workload_config *config = &workload->config;
    const struct load_usage before = load_usage_now();
    workload->measure_from_ns = pv_load_now_ns() + config->ramp_ns;
    workload->end_ns = UINT64_MAX;
    if (config->runtime_ns)
        workload->end_ns = workload->measure_from_ns + config->runtime_ns;
    int error = run_pass(workload, PASS_MEASURE);
    uint64_t end = pv_load_now_ns();
    pv_workload_log_finish(workload, end);
    workload->result.elapsed_ns = measured_ns(workload, end);
    count_usage(&workload->result, &before);
    return error;
}
