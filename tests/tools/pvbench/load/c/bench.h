/* A workload on a frontend's queue before an emulated backend that serves at once. */
#ifndef TESTS_TOOLS_PVBENCH_LOAD_BENCH_H
#define TESTS_TOOLS_PVBENCH_LOAD_BENCH_H

#include "frontends/vbd/c/fake_peer.h"
#include "tools/pvbench/load/workload.h"

struct bench {
    struct fake_peer *peer;
    struct pv_blkfront_queue *queue;
    struct pv_blk_workload *workload; /* NULL: its configuration was refused */
    const struct pv_blk_workload_result *result;
    const struct pv_blk_job_result *job; /* the first */
};

/* `front` says what is not the same for all: its buffers, its indirect segments. */
static inline struct bench open_bench(struct pv_blk_workload_config config,
                                      struct pv_blkfront_config front,
                                      struct pv_blkfront_features features)
{
    struct bench bench = {.peer = fake_peer_create(PV_ABI_X86_64)};
    front.hypervisor = &bench.peer->guest.hypervisor;
    front.evtchn = (struct pv_evtchn *)bench.peer;
    front.ring_pages = 1;
    front.persistent = front.trusted = true;
    bench.queue = pv_blkfront_create(&front);
    assert(bench.queue && pv_blkfront_connect(bench.queue, &features) == 0);
    fake_back_attach(bench.peer, bench.queue);
    bench.peer->serves = true;
    config.hypervisor = front.hypervisor;
    config.evtchn = front.evtchn;
    struct pv_load_queue queue = pv_load_blk_queue(bench.queue);
    config.queues = &queue;
    config.nr_queues = 1;
    bench.workload = pv_blk_workload_create(&config);
    if (bench.workload) {
        bench.result = pv_blk_workload_get_result(bench.workload);
        bench.job = pv_blk_workload_get_job_result(bench.workload, 0);
    }
    return bench;
}

static inline void end_bench(struct bench *bench)
{
    pv_blk_workload_destroy(bench->workload);
    pv_blkfront_destroy(bench->queue);
    fake_peer_destroy(bench->peer, 0);
}

#endif
