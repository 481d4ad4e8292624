/* The workload's loop: choose operations, submit them, reap what is finished, wait. */
#include "frontends/vbd/workload_private.h"
#include "pvdrivers/linger.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define ANSWER_TIMEOUT_NS (30 * NS_PER_S)
#define STOP_TIMEOUT_NS (2 * NS_PER_S)
#define LONGEST_SLEEP_MS 50
#define LOOKS 16 /* at the queues between two looks at the clock */

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* ---- Choosing ------------------------------------------------------------------------------ */

static enum pv_blk_direction choose_direction(const struct pv_blk_workload *workload,
                                              struct job *job)
{
    if (workload->pass != PASS_MEASURE)
        return workload->pass == PASS_LAYOUT ? PV_BLK_DIR_WRITE : PV_BLK_DIR_READ;
    if (workload->config.trim)
        return PV_BLK_DIR_TRIM;
    uint32_t percent = workload->config.read_percent;
    if (percent == 0 || percent >= 100)
        return percent == 0 ? PV_BLK_DIR_WRITE : PV_BLK_DIR_READ;
    bool read = pv_workload_random(&job->random_state) % 100 < percent;
    return read ? PV_BLK_DIR_READ : PV_BLK_DIR_WRITE;
}

static uint64_t choose_block(const struct pv_blk_workload *workload, struct job *job,
                             enum pv_blk_direction direction)
{
    if (workload->pass == PASS_MEASURE && workload->config.random) {
        unsigned __int128 random = pv_workload_random(&job->random_state);
        return (uint64_t)(random * workload->nr_blocks >> 64);
    }
    uint64_t block = job->next_block[direction];
    job->next_block[direction] = block + 1 < workload->nr_blocks ? block + 1 : 0;
    return block;
}

/* With verify no two operations on a block may overlap, or its content would be anyone's guess:
 * the next one that is not busy is taken. False when there is none. */
static bool claim_block(struct pv_blk_workload *workload, uint64_t *block)
{
    if (!workload->blocks)
        return true;
    for (uint64_t tried = 0; tried <= workload->nr_slots && tried < workload->nr_blocks; tried++) {
        if (!(workload->blocks[*block] & BLOCK_BUSY)) {
            workload->blocks[*block] |= BLOCK_BUSY;
            return true;
        }
        *block = *block + 1 < workload->nr_blocks ? *block + 1 : 0;
    }
    return false;
}

static const uint8_t operation_of[PV_BLK_DIR_COUNT] = {BLKIF_OP_READ, BLKIF_OP_WRITE,
                                                       BLKIF_OP_DISCARD};

static bool choose(struct pv_blk_workload *workload, struct job *job, struct slot *slot)
{
    const struct pv_blk_workload_config *config = &workload->config;
    if (config->fsync && workload->pass == PASS_MEASURE &&
        job->writes_since_flush == config->fsync) {
        job->writes_since_flush = 0;
        slot->io.operation = BLKIF_OP_FLUSH_DISKCACHE;
        slot->io.sector = slot->io.nr_sectors = 0;
        return true;
    }
    slot->direction = choose_direction(workload, job);
    slot->block = choose_block(workload, job, slot->direction);
    if (workload->pass == PASS_VERIFY && !(workload->blocks[slot->block] & BLOCK_KNOWN)) {
        job->left--;
        return false;
    }
    if (!claim_block(workload, &slot->block))
        return false;
    job->left--;
    job->writes_since_flush += slot->direction == PV_BLK_DIR_WRITE;
    slot->io.operation = operation_of[slot->direction];
    slot->io.sector = (config->offset + slot->block * config->block_size) / SECTOR_SIZE;
    slot->io.nr_sectors = config->block_size / SECTOR_SIZE;
    if (workload->blocks && slot->direction == PV_BLK_DIR_WRITE)
        pv_workload_fill(workload, slot);
    return true;
}

static void add_to_batch(struct pv_blk_workload *workload, struct slot *slot)
{
    struct batch *batch = &workload->batches[slot->queue];
    batch->ios[batch->count++] = &slot->io;
    workload->outstanding++;
}

static void choose_all(struct pv_blk_workload *workload)
{
    uint32_t jobs = workload->pass == PASS_MEASURE ? workload->config.jobs : 1;
    for (uint32_t i = 0; i < jobs; i++) {
        struct job *job = &workload->jobs[i];
        while (job->free && job->left > 0) {
            struct slot *slot = job->free;
            if (choose(workload, job, slot)) {
                job->free = slot->next_free;
                add_to_batch(workload, slot);
            } else if (workload->pass == PASS_MEASURE) {
                break; /* every block near is busy: later */
            }
        }
    }
}

/* ---- Submitting and reaping ---------------------------------------------------------------- */

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

/* Latencies begin at `now`: what has been chosen has only to be issued. */
static int submit_all(struct pv_blk_workload *workload, uint64_t now)
{
    for (uint32_t i = 0; i < workload->config.nr_queues; i++) {
        struct batch *batch = &workload->batches[i];
        if (batch->count == 0)
            continue;
        int error = pv_blkfront_submit(workload->queues[i], batch->ios, batch->count);
        if (error)
            return error;
        uint64_t submitted = now_ns();
        for (uint32_t j = 0; j < batch->count; j++) {
            struct slot *slot = (struct slot *)batch->ios[j];
            slot->issued_ns = now;
            slot->submitted_ns = submitted;
        }
        workload->result.depth_submit[batch_level(batch->count)]++;
        workload->result.depth_level[depth_level(workload->outstanding)] += batch->count;
        batch->count = 0;
    }
    return 0;
}

static void measure(struct pv_blk_workload *workload, const struct slot *slot, uint64_t now)
{
    if (workload->pass != PASS_MEASURE || slot->issued_ns < workload->measure_from_ns)
        return;
    struct pv_blk_workload_result *all = &workload->result;
    if (slot->io.operation == BLKIF_OP_FLUSH_DISKCACHE) {
        all->syncs++;
        pv_histogram_add(&all->sync_lat, now - slot->issued_ns);
        return;
    }
    struct pv_blk_direction_result *result = &all->direction[slot->direction];
    result->ios++;
    result->bytes += workload->config.block_size;
    pv_histogram_add(&result->slat, slot->submitted_ns - slot->issued_ns);
    pv_histogram_add(&result->clat, now - slot->submitted_ns);
    pv_histogram_add(&result->lat, now - slot->issued_ns);
    pv_add_counter(&workload->progress.ios[slot->direction], 1);
    pv_add_counter(&workload->progress.bytes[slot->direction], workload->config.block_size);
}

static void settle(struct pv_blk_workload *workload, struct slot *slot, uint64_t now)
{
    if (workload->blocks && slot->io.operation != BLKIF_OP_FLUSH_DISKCACHE)
        pv_workload_settle(workload, slot);
    if (slot->io.status == 0) {
        measure(workload, slot, now);
    } else {
        if (workload->result.errors++ == 0)
            workload->result.first_error = slot->io.status;
        workload->ending = true;
    }
    slot->next_free = slot->job->free;
    slot->job->free = slot;
    workload->outstanding--;
}

/* Returns how many operations have finished, or what poll says of a broken queue. */
static int reap_all(struct pv_blk_workload *workload)
{
    int finished = 0;
    for (uint32_t i = 0; i < workload->config.nr_queues; i++) {
        int count = pv_blkfront_poll(workload->queues[i], workload->done, workload->reap_budget);
        if (count < 0)
            return count;
        if (count == 0)
            continue;
        uint64_t now = now_ns();
        workload->linger = pv_linger_next(workload->linger, now - workload->last_progress_ns);
        for (int j = 0; j < count; j++)
            settle(workload, (struct slot *)workload->done[j], now);
        workload->result.depth_complete[batch_level((uint32_t)count)]++;
        workload->last_progress_ns = now;
        finished += count;
    }
    return finished;
}

/* ---- Waiting ------------------------------------------------------------------------------- */

static void sleep_until_event(struct pv_blk_workload *workload)
{
    const struct pv_hypervisor_ops *ops = workload->config.hypervisor->ops;
    struct pv_evtchn *evtchn = workload->config.evtchn;
    for (uint32_t i = 0; i < workload->config.nr_queues; i++)
        if (pv_blkfront_arm(workload->queues[i]))
            return;
    struct pollfd event = {.fd = ops->evtchn_fd(evtchn), .events = POLLIN};
    workload->result.sleeps++;
    if (poll(&event, 1, LONGEST_SLEEP_MS) <= 0)
        return;
    for (int port; (port = ops->evtchn_pending(evtchn)) >= 0;)
        ops->evtchn_unmask(evtchn, (evtchn_port_t)port);
}

/* Until there is an answer, but not for long. Without a pause between the looks: one takes as long
 * as ten of them, and an answer would be found the later. */
static void look_around(const struct pv_blk_workload *workload)
{
    for (unsigned look = 0; look < LOOKS; look++) {
        for (uint32_t i = 0; i < workload->config.nr_queues; i++)
            if (pv_blkfront_has_news(workload->queues[i]))
                return;
    }
    pv_cpu_relax();
}

static void wait_for_work(struct pv_blk_workload *workload, uint64_t now)
{
    enum pv_workload_mode mode = workload->config.mode;
    uint64_t waited = now - workload->last_progress_ns;
    if (mode == PV_WORKLOAD_EVENT || (mode == PV_WORKLOAD_HYBRID && waited >= workload->linger)) {
        sleep_until_event(workload);
    } else if (waited >= PV_YIELD_AFTER_NS && now >= workload->next_yield) {
        sched_yield();
        workload->next_yield = pv_yield_next(now, now_ns());
    }
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

static int loop(struct pv_blk_workload *workload)
{
    for (uint64_t now = now_ns();;) {
        bool stop = pv_read_once(&workload->stop);
        if (stop || now >= workload->end_ns)
            workload->ending = true;
        if (!workload->ending)
            choose_all(workload);
        now = now_ns();
        int error = submit_all(workload, now);
        if (workload->config.mode != PV_WORKLOAD_EVENT)
            look_around(workload);
        int finished = error ? error : reap_all(workload);
        if (finished < 0)
            return finished;
        if (workload->outstanding == 0 && (workload->ending || nothing_left(workload)))
            return workload->result.errors ? -EIO : 0;
        if (finished > 0)
            continue;
        if (now > workload->last_progress_ns + (stop ? STOP_TIMEOUT_NS : ANSWER_TIMEOUT_NS))
            return -ETIMEDOUT;
        wait_for_work(workload, now);
    }
}

static void start_jobs(struct pv_blk_workload *workload, bool without_end)
{
    for (uint32_t i = 0; i < workload->config.jobs; i++) {
        struct job *job = &workload->jobs[i];
        job->random_state = workload->config.seed + 0x632be59bd9b4e019ull * (i + 1);
        memset(job->next_block, 0, sizeof(job->next_block));
        job->writes_since_flush = 0;
        job->left = without_end ? UINT64_MAX : workload->nr_blocks;
    }
}

static int run_pass(struct pv_blk_workload *workload, enum pass pass)
{
    workload->pass = pass;
    workload->ending = false;
    workload->last_progress_ns = now_ns();
    start_jobs(workload, pass == PASS_MEASURE && workload->config.time_based);
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

static uint64_t timeval_ns(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_usec * 1000;
}

static void count_usage(struct pv_blk_workload_result *result, const struct rusage *before)
{
    struct rusage after;
    getrusage(RUSAGE_THREAD, &after);
    result->user_ns = timeval_ns(&after.ru_utime) - timeval_ns(&before->ru_utime);
    result->system_ns = timeval_ns(&after.ru_stime) - timeval_ns(&before->ru_stime);
    result->context_switches = (uint64_t)(after.ru_nvcsw + after.ru_nivcsw) -
                               (uint64_t)(before->ru_nvcsw + before->ru_nivcsw);
    result->major_faults = (uint64_t)(after.ru_majflt - before->ru_majflt);
    result->minor_faults = (uint64_t)(after.ru_minflt - before->ru_minflt);
}

int pv_blk_workload_run(struct pv_blk_workload *workload)
{
    const struct pv_blk_workload_config *config = &workload->config;
    struct rusage before;
    getrusage(RUSAGE_THREAD, &before);
    workload->measure_from_ns = now_ns() + config->ramp_ns;
    workload->end_ns = UINT64_MAX;
    if (config->runtime_ns)
        workload->end_ns = workload->measure_from_ns + config->runtime_ns;
    int error = run_pass(workload, PASS_MEASURE);
    uint64_t end = now_ns();
    if (end > workload->measure_from_ns)
        workload->result.elapsed_ns = end - workload->measure_from_ns;
    count_usage(&workload->result, &before);
    return error;
}

void pv_blk_workload_stop(struct pv_blk_workload *workload)
{
    pv_write_once(&workload->stop, 1);
}

void pv_blk_workload_get_progress(const struct pv_blk_workload *workload,
                                  struct pv_blk_progress *progress)
{
    for (int i = 0; i < PV_BLK_DIR_COUNT; i++) {
        progress->ios[i] = pv_read_counter(&workload->progress.ios[i]);
        progress->bytes[i] = pv_read_counter(&workload->progress.bytes[i]);
    }
}

const struct pv_blk_workload_result *
pv_blk_workload_get_result(const struct pv_blk_workload *workload)
{
    return &workload->result;
}
