/* The workload generator on a backend that answers at once. */
#include "tests/tools/pvbench/load/c/bench.h"

#define REGION (1u << 20)

static struct bench make_bench(struct pv_blk_workload_config config)
{
    config.size = config.size ? config.size : REGION;
    struct bench bench = open_bench(
        config, (struct pv_blkfront_config){.buffer_pages = 64},
        (struct pv_blkfront_features){.flush = true, .discard = true, .sector_size = 512});
    assert(bench.workload);
    return bench;
}

static struct pv_blk_workload_config make_config(uint32_t depth, uint32_t read_percent, bool random)
{
    return (struct pv_blk_workload_config){.jobs = 1,
                                           .iodepth = depth,
                                           .block_size = 4096,
                                           .read_percent = read_percent,
                                           .random = random,
                                           .seed = 7,
                                           .verify = true,
                                           .mode = PV_POLL_MODE_EVENT};
}

static void test_one_pass_covers_the_region(void)
{
    struct pv_blk_workload_config config = make_config(8, 0, false);
    config.fsync = 16;
    struct bench bench = make_bench(config);
    assert(pv_blk_workload_run(bench.workload) == 0);
    const struct pv_blk_direction_result *writes = &bench.job->direction[PV_BLK_DIR_WRITE];
    assert(writes->ios == REGION / 4096 && writes->bytes == REGION);
    assert(writes->lat.count == writes->ios && bench.job->syncs == REGION / 4096 / 16 - 1);
    struct pv_blk_progress progress;
    pv_blk_workload_get_progress(bench.workload, 0, &progress);
    assert(progress.ios[PV_BLK_DIR_WRITE] == writes->ios && progress.ios[PV_BLK_DIR_READ] == 0);
    assert(pv_blk_workload_verify(bench.workload) == 0);
    assert(bench.result->verified == REGION / 4096 && bench.result->verify_errors == 0);
    assert(writes->ios == REGION / 4096); /* what verifies is not measured */
    end_bench(&bench);
}

static void test_mixed_random_jobs_never_disagree(void)
{
    struct pv_blk_workload_config config = make_config(16, 60, true);
    config.jobs = 3;
    config.size = 40 * 4096; /* fewer blocks than operations outstanding */
    struct bench bench = make_bench(config);
    for (int i = 0; i < 20; i++)
        assert(pv_blk_workload_run(bench.workload) == 0);
    for (uint32_t i = 0; i < config.jobs; i++) {
        const struct pv_blk_direction_result *direction =
            pv_blk_workload_get_job_result(bench.workload, i)->direction;
        assert(direction[PV_BLK_DIR_READ].ios + direction[PV_BLK_DIR_WRITE].ios == 20 * 40);
        assert(direction[PV_BLK_DIR_READ].ios > direction[PV_BLK_DIR_WRITE].ios);
    }
    assert(bench.result->verified > 100 && bench.result->verify_errors == 0);
    end_bench(&bench);
}

static void test_a_wrong_bit_is_found(void)
{
    struct bench bench = make_bench(make_config(4, 0, true));
    assert(pv_blk_workload_layout(bench.workload) == 0);
    bench.peer->disk[5 * 4096 + 17] ^= 1;
    memcpy(bench.peer->disk + 9 * 4096, bench.peer->disk + 8 * 4096, 4096);
    assert(pv_blk_workload_verify(bench.workload) == 0);
    assert(bench.result->verified == REGION / 4096 && bench.result->verify_errors == 2);
    assert(bench.result->mismatch.offset == 5 * 4096 && !bench.result->mismatch.is_ours);
    assert(bench.result->mismatch.expected_crc != bench.result->mismatch.found_crc);
    end_bench(&bench);

    bench = make_bench(make_config(4, 0, true));
    assert(pv_blk_workload_layout(bench.workload) == 0);
    memcpy(bench.peer->disk + 9 * 4096, bench.peer->disk + 8 * 4096, 4096);
    assert(pv_blk_workload_verify(bench.workload) == 0 && bench.result->verify_errors == 1);
    assert(bench.result->mismatch.is_ours && bench.result->mismatch.offset == 9 * 4096);
    assert(bench.result->mismatch.found_offset == 8 * 4096);
    end_bench(&bench);
}

static void test_reads_are_checked_against_a_file(void)
{
    struct bench bench = make_bench(make_config(4, 100, true));
    char path[] = "/tmp/workload-XXXXXX";
    int fd = mkstemp(path);
    assert(fd >= 0 && unlink(path) == 0);
    for (uint32_t i = 0; i < REGION; i++)
        bench.peer->disk[i] = (uint8_t)(i >> 9);
    assert(pv_blk_workload_expect(bench.workload, fd) == -ENODATA);
    assert(pwrite(fd, bench.peer->disk, REGION, 0) == REGION);
    assert(pv_blk_workload_expect(bench.workload, fd) == 0);
    assert(pv_blk_workload_run(bench.workload) == 0);
    assert(bench.result->verified == REGION / 4096 && bench.result->verify_errors == 0);
    memset(bench.peer->disk, 0xff, REGION);
    assert(pv_blk_workload_run(bench.workload) == 0);
    assert(bench.result->verify_errors == REGION / 4096);
    close(fd);
    end_bench(&bench);
}

static void test_errors_end_the_run(void)
{
    struct pv_blk_workload_config config = make_config(4, 100, true);
    config.verify = false;
    struct bench bench = make_bench(config);
    bench.peer->serve_status = BLKIF_RSP_ERROR;
    assert(pv_blk_workload_run(bench.workload) == -EIO);
    assert(bench.result->first_error == -EIO && bench.result->errors == 4);
    assert(bench.job->direction[PV_BLK_DIR_READ].ios == 0);
    end_bench(&bench);

    bench = make_bench(config);
    bench.peer->serves = false;
    pv_store_release(&bench.peer->back.sring->rsp_prod, 77);
    assert(pv_blk_workload_run(bench.workload) == -EPROTO);
    end_bench(&bench);
}

static void test_trim_and_time(void)
{
    struct pv_blk_workload_config config = make_config(4, 0, true);
    config.trim = true;
    config.time_based = true;
    config.runtime_ns = 20 * 1000 * 1000;
    config.ramp_ns = 1000 * 1000;
    config.in_place = true;
    config.mode = PV_POLL_MODE_HYBRID;
    struct bench bench = make_bench(config);
    do
        assert(pv_blk_workload_run(bench.workload) == 0);
    while (bench.job->direction[PV_BLK_DIR_TRIM].ios == 0); /* it was held up for all that time */
    assert(bench.result->elapsed_ns >= config.runtime_ns);
    assert(pv_blk_workload_verify(bench.workload) == 0 && bench.result->verified == 0);
    pv_blk_workload_stop(bench.workload);
    assert(pv_blk_workload_run(bench.workload) == 0);
    end_bench(&bench);
}

static void test_mistakes(void)
{
    struct pv_blk_workload_config config = {0};
    assert(!pv_blk_workload_create(&config) && errno == EINVAL);
    struct bench bench = make_bench(make_config(1, 100, false));
    config = make_config(1, 100, false);
    config.hypervisor = &bench.peer->guest.hypervisor;
    config.evtchn = (struct pv_evtchn *)bench.peer;
    struct pv_load_queue queue = pv_load_blk_queue(bench.queue);
    config.queues = &queue;
    config.nr_queues = 1;
    config.size = 2048; /* less than a block */
    assert(!pv_blk_workload_create(&config) && errno == EINVAL);
    config.size = 8192;
    config.time_based = true; /* for how long? */
    assert(!pv_blk_workload_create(&config) && errno == EINVAL);
    end_bench(&bench);
}

int main(void)
{
    test_one_pass_covers_the_region();
    test_mixed_random_jobs_never_disagree();
    test_a_wrong_bit_is_found();
    test_reads_are_checked_against_a_file();
    test_errors_end_the_run();
    test_trim_and_time();
    test_mistakes();
    return 0;
}
