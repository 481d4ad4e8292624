/* What shapes a workload: block sizes, distributions, rates, think times, logs. */
#include "tests/tools/pvbench/load/c/bench.h"

#include <math.h>
#include <pthread.h>

#define REGION (1u << 20)
#define BLOCK 4096u
#define NR_BLOCKS (REGION / BLOCK)

static struct pv_blk_workload_config make_config(void)
{
    return (struct pv_blk_workload_config){.jobs = 1,
                                           .iodepth = 4,
                                           .block_size = BLOCK,
                                           .read_percent = 100,
                                           .random = true,
                                           .size = REGION,
                                           .seed = 7,
                                           .log = true,
                                           .mode = PV_POLL_MODE_EVENT};
}

static struct bench make_bench(struct pv_blk_workload_config config)
{
    return open_bench(config, (struct pv_blkfront_config){.max_indirect_segments = 32},
                      (struct pv_blkfront_features){.discard = true, .sector_size = 512});
}

static struct bench run(struct pv_blk_workload_config config)
{
    struct bench bench = make_bench(config);
    assert(bench.workload && pv_blk_workload_run(bench.workload) == 0);
    return bench;
}

static const struct pv_blk_log_entry *log_of(const struct bench *bench, uint64_t *count)
{
    return pv_blk_workload_get_log(bench->workload, 0, count);
}

static void refuse(struct pv_blk_workload_config config)
{
    struct bench bench = make_bench(config);
    assert(!bench.workload && errno == EINVAL);
    end_bench(&bench);
}

/* By block; returns how many there were. */
static uint64_t count_blocks(const struct bench *bench, uint32_t *hits)
{
    uint64_t count;
    const struct pv_blk_log_entry *log = log_of(bench, &count);
    memset(hits, 0, NR_BLOCKS * sizeof(*hits));
    for (uint64_t i = 0; i < count; i++)
        hits[log[i].offset / BLOCK]++;
    return count;
}

static void test_a_map_takes_every_block_once(void)
{
    for (uint32_t blocks = 1; blocks <= NR_BLOCKS; blocks += blocks < 9 ? 1 : 61) {
        struct pv_blk_workload_config config = make_config();
        config.random_map = true;
        config.size = blocks * BLOCK;
        config.io_size = 3 * config.size;
        struct bench bench = run(config);
        uint32_t hits[NR_BLOCKS];
        assert(count_blocks(&bench, hits) == 3 * blocks);
        for (uint32_t i = 0; i < NR_BLOCKS; i++)
            assert(hits[i] == (i < blocks ? 3 : 0));
        end_bench(&bench);
    }
}

/* Neighbours in time are no neighbours in place, and each round has another order. */
static void test_a_map_is_in_disorder(void)
{
    struct pv_blk_workload_config config = make_config();
    config.random_map = true;
    config.io_size = 2 * REGION;
    config.iodepth = 1;
    struct bench bench = run(config);
    uint64_t count;
    const struct pv_blk_log_entry *log = log_of(&bench, &count);
    unsigned next = 0, same = 0;
    double distance = 0;
    for (uint64_t i = 1; i < NR_BLOCKS; i++) {
        int64_t step = (int64_t)(log[i].offset / BLOCK) - (int64_t)(log[i - 1].offset / BLOCK);
        next += step == 1;
        distance += fabs((double)step) / (NR_BLOCKS - 1);
        same += log[i].offset == log[i + NR_BLOCKS].offset;
    }
    assert(next < 8 && same < 8);
    assert(fabs(distance / NR_BLOCKS - 1.0 / 3.0) < 0.06); /* of two random places */
    end_bench(&bench);
}

static void test_without_a_map_blocks_repeat(void)
{
    struct bench bench = run(make_config());
    uint32_t hits[NR_BLOCKS], missed = 0;
    count_blocks(&bench, hits);
    for (uint32_t i = 0; i < NR_BLOCKS; i++)
        missed += hits[i] == 0;
    assert(fabs((double)missed / NR_BLOCKS - exp(-1.0)) < 0.1);
    end_bench(&bench);
}

static int by_number(const void *a, const void *b)
{
    return (int)*(const uint32_t *)b - (int)*(const uint32_t *)a;
}

/* How many of `count` operations go to the block with the given rank. */
static double zipf_share(double theta, uint32_t rank)
{
    double zeta = 0;
    for (uint32_t i = 1; i <= NR_BLOCKS; i++)
        zeta += pow(i, -theta);
    return pow(rank + 1, -theta) / zeta;
}

static void test_zipf(void)
{
    struct pv_blk_workload_config config = make_config();
    config.distribution = PV_BLK_ZIPF;
    config.theta = 1.2;
    config.io_size = 100 * REGION;
    struct bench bench = run(config);
    uint32_t hits[NR_BLOCKS];
    double count = (double)count_blocks(&bench, hits);
    assert(hits[0] < count / 10); /* the favourites are spread over the region */
    qsort(hits, NR_BLOCKS, sizeof(*hits), by_number);
    for (uint32_t rank = 0; rank < 2; rank++) { /* these are exact, the others approximate */
        double share = zipf_share(1.2, rank);
        assert(fabs(hits[rank] / count - share) < 5 * sqrt(share / count));
    }
    double top = 0, top_share = 0;
    for (uint32_t rank = 0; rank < NR_BLOCKS / 10; rank++) {
        top += hits[rank];
        top_share += zipf_share(1.2, rank);
    }
    assert(fabs(top / count - top_share) < 0.05);
    end_bench(&bench);
    config.theta = 1.0;
    refuse(config);
}

/* A share x of the blocks has x^(log(1-h)/log(h)) of the operations. */
static void test_pareto(void)
{
    struct pv_blk_workload_config config = make_config();
    config.distribution = PV_BLK_PARETO;
    config.theta = 0.2;
    config.io_size = 100 * REGION;
    struct bench bench = run(config);
    uint32_t hits[NR_BLOCKS];
    double count = (double)count_blocks(&bench, hits);
    qsort(hits, NR_BLOCKS, sizeof(*hits), by_number);
    double top = 0;
    for (uint32_t rank = 0; rank < NR_BLOCKS / 5; rank++)
        top += hits[rank];
    assert(fabs(top / count - 0.8) < 0.02); /* four fifths on a fifth */
    end_bench(&bench);
    config.theta = 1.5;
    refuse(config);
}

static void test_shares_of_sizes(void)
{
    struct pv_blk_workload_config config = make_config();
    config.sizes[PV_BLK_DIR_READ] = (struct pv_blk_sizes){
        .min = 4096, .max = 65536, .nr_shares = 3, .shares = {{4096, 60}, {65536, 30}, {8192, 10}}};
    config.io_size = 100 * REGION;
    struct bench bench = run(config);
    uint64_t count, of[3] = {0}, bytes = 0;
    const struct pv_blk_log_entry *log = log_of(&bench, &count);
    for (uint64_t i = 0; i < count; i++) {
        of[0] += log[i].bytes == 4096;
        of[1] += log[i].bytes == 65536;
        of[2] += log[i].bytes == 8192;
        bytes += log[i].bytes;
        assert(log[i].offset % 4096 == 0 && log[i].offset + log[i].bytes <= REGION);
    }
    assert(of[0] + of[1] + of[2] == count && bytes == bench.job->direction[0].bytes);
    assert(fabs((double)of[0] / (double)count - 0.6) < 0.03);
    assert(fabs((double)of[1] / (double)count - 0.3) < 0.03);
    assert(bytes >= config.io_size && bytes < config.io_size + 65536);
    end_bench(&bench);
    config.sizes[PV_BLK_DIR_READ].shares[0].percent = 61;
    refuse(config);
}

static void test_ranges_of_sizes(void)
{
    struct pv_blk_workload_config config = make_config();
    config.sizes[PV_BLK_DIR_READ] = (struct pv_blk_sizes){.min = 4096, .max = 16384};
    config.sizes[PV_BLK_DIR_WRITE] = (struct pv_blk_sizes){.min = 8192, .max = 8192};
    config.read_percent = 50;
    config.random = false;
    config.io_size = 50 * REGION;
    struct bench bench = run(config);
    uint64_t count, of[4] = {0}, next[2] = {0};
    const struct pv_blk_log_entry *log = log_of(&bench, &count);
    for (uint64_t i = 0; i < count; i++) {
        assert(log[i].bytes % 4096 == 0 && log[i].bytes <= 16384);
        /* Each direction goes on where it was, or from the start again. */
        assert(log[i].offset == next[log[i].direction] || log[i].offset == 0);
        next[log[i].direction] = log[i].offset + log[i].bytes;
        if (log[i].direction == PV_BLK_DIR_READ)
            of[log[i].bytes / 4096 - 1]++;
        else
            assert(log[i].bytes == 8192);
    }
    for (int i = 0; i < 4; i++)
        assert(fabs((double)of[i] / (double)bench.job->direction[0].ios - 0.25) < 0.04);
    end_bench(&bench);
    config.sizes[PV_BLK_DIR_READ].min = 1024; /* no multiple of the block size */
    refuse(config);
}

/* Never more than the rate allows, whatever the machine is busy with. */
static void test_rates(void)
{
    struct pv_blk_workload_config config = make_config();
    config.rate_iops[PV_BLK_DIR_READ] = 2000;
    config.rate[PV_BLK_DIR_WRITE] = 1000 * BLOCK;
    config.read_percent = 50;
    config.io_size = 300 * BLOCK;
    config.mode = PV_POLL_MODE_HYBRID;
    struct bench bench = run(config);
    uint64_t count, done[2] = {0};
    const struct pv_blk_log_entry *log = log_of(&bench, &count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t rate = log[i].direction == PV_BLK_DIR_READ ? 2000 : 1000;
        assert(log[i].time_ns >= done[log[i].direction]++ * 1000000000ull / rate);
    }
    assert(count == 300);
    /* A direction that waited for the other would have half of all. A machine that holds the run up
     * lets both catch up alike, so only a run that took as long as its rates ask for tells. */
    bool held_up = log[count - 1].time_ns > 110000000;
    assert(held_up || (done[0] > 190 && done[0] < 210));
    end_bench(&bench);
}

static void test_a_think_time_follows_its_blocks(void)
{
    struct pv_blk_workload_config config = make_config();
    config.thinktime_ns = 2000000;
    config.thinktime_blocks = 6;
    config.io_size = 60 * BLOCK;
    struct bench bench = run(config);
    uint64_t count;
    const struct pv_blk_log_entry *log = log_of(&bench, &count);
    assert(count == 60);
    for (uint64_t i = 6; i < count; i += 6)
        assert(log[i].time_ns >= log[i - 1].time_ns + config.thinktime_ns);
    end_bench(&bench);
    config.thinktime_blocks = 0;
    refuse(config);
}

static void test_windows_add_up(void)
{
    struct pv_blk_workload_config config = make_config();
    config.log_window_ns = 2000000;
    config.rate_iops[0] = 5000;
    config.io_size = 200 * BLOCK;
    struct bench bench = run(config);
    uint64_t count, ios = 0, bytes = 0, last = 0;
    const struct pv_blk_log_entry *log = log_of(&bench, &count);
    for (uint64_t i = 0; i < count; i++) {
        assert(log[i].time_ns > last && log[i].direction == PV_BLK_DIR_READ && log[i].ios > 0);
        if (i + 1 < count)
            assert(log[i].window_ns == config.log_window_ns &&
                   log[i].time_ns % config.log_window_ns == 0);
        assert(log[i].lat >= log[i].clat && log[i].lat > 0);
        last = log[i].time_ns;
        ios += log[i].ios;
        bytes += log[i].bytes;
    }
    assert(ios == 200 && bytes == 200 * BLOCK);
    assert(last >= 199 * 1000000000ull / 5000); /* the rate's; a busy machine makes it longer */
    end_bench(&bench);
}

static void test_no_log_unless_wanted(void)
{
    struct pv_blk_workload_config config = make_config();
    config.log = false;
    struct bench bench = run(config);
    uint64_t count;
    log_of(&bench, &count);
    assert(count == 0 && bench.job->direction[0].ios == NR_BLOCKS);
    end_bench(&bench);
}

static void *run_on(void *workload)
{
    assert(pv_blk_workload_run(workload) == 0);
    return NULL;
}

static void test_copies_of_results_while_it_runs(void)
{
    struct pv_blk_workload_config config = make_config();
    config.log = false;
    config.time_based = true;
    config.runtime_ns = 600000000000ull;
    struct bench bench = make_bench(config);
    struct pv_blk_workload_result result;
    struct pv_blk_job_result *job = calloc(1, sizeof(*job));
    pthread_t thread;
    assert(job && pthread_create(&thread, NULL, run_on, bench.workload) == 0);
    for (uint64_t before = 0, copies = 0; copies < 3;) {
        pv_blk_workload_copy(bench.workload, &result, job);
        while (!pv_blk_workload_copied(bench.workload))
            usleep(100);
        assert(job->direction[0].lat.count == job->direction[0].ios);
        assert(job->direction[0].ios >= before);
        if (job->direction[0].ios > before) {
            assert(result.elapsed_ns > 0);
            before = job->direction[0].ios;
            copies++;
        }
    }
    pv_blk_workload_stop(bench.workload);
    assert(pthread_join(thread, NULL) == 0);
    free(job);
    end_bench(&bench);
}

int main(void)
{
    test_a_map_takes_every_block_once();
    test_a_map_is_in_disorder();
    test_without_a_map_blocks_repeat();
    test_zipf();
    test_pareto();
    test_shares_of_sizes();
    test_ranges_of_sizes();
    test_rates();
    test_a_think_time_follows_its_blocks();
    test_windows_add_up();
    test_no_log_unless_wanted();
    test_copies_of_results_while_it_runs();
    return 0;
}
