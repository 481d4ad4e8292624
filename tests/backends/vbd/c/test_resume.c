/* What a queue makes of the log an earlier one has left: what it begins again, in which order, and
 * what it refuses. */
#include "tests/backends/vbd/c/loopback.h"

#include "pvdrivers/backends/inflight.h"

#define SECTORS 4096u
#define PAGES 1u

static _Alignas(PV_INFLIGHT_ALIGNMENT) uint8_t log_memory[65536];
static struct pv_inflight_log *const inflight = (struct pv_inflight_log *)log_memory;

static struct pv_inflight_entry *entry(const struct loopback *loop, uint32_t number)
{
    const struct pv_back_ring ring = {.slot_size = pv_blkif_slot_size(loop->abi)};
    return pv_inflight_entry(inflight, &ring, number);
}

static struct pv_blk_store *external(void)
{
    const struct pv_blk_geometry geometry = {
        .sectors = SECTORS, .sector_size = 512, .can_flush = true, .can_discard = true};
    return pv_external_store_create(&geometry);
}

static struct pv_blkback_config prepare(struct loopback *loop)
{
    struct pv_blkback_config config = loopback_config(loop, PV_ABI_X86_64, external());
    memset(log_memory, 0, sizeof log_memory);
    config.inflight = log_memory;
    config.inflight_size = pv_blkback_inflight_size(config.abi, PAGES);
    return config;
}

static void put(struct loopback *loop, uint8_t operation, uint64_t id)
{
    struct pv_blkif_request request = {.operation = operation,
                                       .id = id,
                                       .sector_number = id * 8,
                                       .nr_segments = 1,
                                       .seg = {{.gref = (grant_ref_t)(50 + id), .last_sect = 7}}};
    loopback_put(loop, &request);
}

static unsigned take(struct loopback *loop, struct pv_blk_io **ios)
{
    loopback_pump(loop);
    return pv_external_store_take(loop->store, ios, 64);
}

static void finish(struct loopback *loop, struct pv_blk_io *io)
{
    io->status = 0;
    pv_external_store_finish(loop->store, &io, 1);
}

void *lost[64]; /* reachable, for the leak checker */

/* The backend is gone as a killed process is: what it had in the store comes to nothing. */
static void lose_backend(struct loopback *loop, struct pv_blkback_config *config)
{
    static unsigned count;
    lost[count++] = loop->back;
    lost[count++] = loop->store;
    loop->bound = false;
    loop->mapped = 0;
    loop->store = external();
    config->store = loop->store;
}

static void reconnect(struct loopback *loop, struct pv_blkback_config *config)
{
    lose_backend(loop, config);
    assert(pv_blkback_resumable(config) == 0 && loop->mapped == 0);
    loop->back = pv_blkback_create(config);
    assert(loop->back);
}

static uint64_t resumed(struct loopback *loop)
{
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(loop->back, &stats);
    assert(stats.requests - stats.responses == pv_blkback_in_flight(loop->back));
    return stats.resumed;
}

/* Whatever order answers came in, what is left begins in the ring's. */
static void test_order(void)
{
    struct loopback loop;
    struct pv_blkback_config config = prepare(&loop);
    struct pv_blk_io *ios[64];
    struct pv_blkif_response response;
    loopback_connect(&loop, &config);
    for (uint64_t id = 0; id < 20; id++)
        put(&loop, BLKIF_OP_READ, id);
    assert(take(&loop, ios) == 20);
    for (unsigned i = 1; i < 20; i += 2)
        finish(&loop, ios[i]);
    loopback_pump(&loop);
    for (uint64_t id = 20; id < 40; id++) { /* these get the places of those answered */
        assert(loopback_take(&loop, &response) == (id < 30));
        if (id < 30)
            put(&loop, BLKIF_OP_READ, id);
    }
    assert(take(&loop, ios) == 10);
    put(&loop, BLKIF_OP_READ, 30); /* and this one is not taken yet */
    pv_front_push_requests(&loop.front);
    reconnect(&loop, &config);
    assert(resumed(&loop) == 20);
    assert(take(&loop, ios) == 21);
    for (unsigned i = 0; i < 21; i++) {
        assert(ios[i]->sector == (i < 10 ? 2 * i : 10 + i) * 8);
        finish(&loop, ios[i]);
    }
    loopback_close(&loop);
}

/* A queue that takes nothing more still owes its predecessor's answers. */
static void test_stop(void)
{
    struct loopback loop;
    struct pv_blkback_config config = prepare(&loop);
    struct pv_blk_io *ios[64];
    loopback_connect(&loop, &config);
    put(&loop, BLKIF_OP_READ, 0);
    assert(take(&loop, ios) == 1);
    put(&loop, BLKIF_OP_READ, 1);
    pv_front_push_requests(&loop.front);
    reconnect(&loop, &config);
    assert(pv_blkback_disconnect(loop.back) == -EBUSY);
    assert(!pv_blkback_quiesce(loop.back, 1));
    assert(take(&loop, ios) == 1 && ios[0]->sector == 0);
    finish(&loop, ios[0]);
    loopback_close(&loop);
}

/* The barrier runs alone again, and what a predecessor had begun behind one that it refused waits
 * until this backend, which does not refuse it, is through with it. */
static void test_barrier(void)
{
    struct loopback loop;
    struct pv_blkback_config config = prepare(&loop);
    struct pv_blk_io *ios[64];
    loopback_connect(&loop, &config);
    for (uint64_t id = 0; id < 5; id++)
        put(&loop, BLKIF_OP_WRITE, id);
    assert(take(&loop, ios) == 5);
    entry(&loop, 2)->slot[0] = BLKIF_OP_WRITE_BARRIER;
    assert(entry(&loop, 2)->request == 2);
    reconnect(&loop, &config);
    assert(take(&loop, ios) == 2);
    finish(&loop, ios[0]);
    assert(take(&loop, ios + 2) == 0);
    finish(&loop, ios[1]);
    static const enum pv_blk_op steps[] = {PV_BLK_FLUSH, PV_BLK_WRITE, PV_BLK_FLUSH};
    for (int i = 0; i < 3; i++) {
        assert(take(&loop, ios) == 1 && ios[0]->op == steps[i]);
        finish(&loop, ios[0]);
    }
    assert(take(&loop, ios) == 2 && ios[0]->sector == 24 && ios[1]->sector == 32);
    finish(&loop, ios[0]);
    finish(&loop, ios[1]);
    loopback_close(&loop);
}

/* More requests than room for them in the log at once: the ring has it only when they are
 * published. */
static void test_frontend_does_not_wait(void)
{
    struct loopback loop;
    struct pv_blkback_config config = prepare(&loop);
    struct pv_blkif_response response;
    loopback_connect(&loop, &config);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 32; i++)
            put(&loop, BLKIF_OP_RESERVED_1, i);
        loopback_pump(&loop);
    }
    assert(loop.front.sring->rsp_prod == 96);
    while (pv_front_unconsumed_responses(&loop.front) > 0 && loop.front.rsp_cons < 96)
        assert(loopback_take(&loop, &response));
    for (unsigned i = 0; i < 32; i++)
        assert(entry(&loop, i)->state == PV_INFLIGHT_FREE);
    loopback_close(&loop);
}

static void expect_refused(struct loopback *loop, struct pv_blkback_config config, int error)
{
    assert(pv_blkback_resumable(&config) == -error);
    assert(!pv_blkback_create(&config) && errno == error);
    assert(loop->mapped == 0 && !loop->bound);
}

static void test_refused(void)
{
    struct loopback loop;
    struct pv_blkback_config config = prepare(&loop), other;
    struct pv_blk_io *ios[64];
    loopback_connect(&loop, &config);
    for (uint64_t id = 0; id < 5; id++)
        put(&loop, BLKIF_OP_READ, id);
    assert(take(&loop, ios) == 5);
    lose_backend(&loop, &config);
    struct pv_sring *sring = (struct pv_sring *)loop.memory;

    other = config, other.abi = PV_ABI_X86_32; /* all that make another connection */
    expect_refused(&loop, other, ESTALE);
    other = config, other.ring_pages = 2;
    other.inflight_size = sizeof log_memory;
    expect_refused(&loop, other, ESTALE);
    inflight->identity.ring_refs[0]++;
    expect_refused(&loop, config, ESTALE);
    inflight->identity.ring_refs[0]--;
    other = config, other.remote_port = 4;
    assert(pv_blkback_resumable(&other) == -ESTALE);

    sring->rsp_prod = 1; /* the ring says otherwise */
    expect_refused(&loop, config, ESTALE);
    sring->rsp_prod = UINT32_MAX;
    expect_refused(&loop, config, ESTALE);
    sring->rsp_prod = 0;
    sring->req_prod = 4;
    expect_refused(&loop, config, EIO);
    sring->req_prod = 33;
    expect_refused(&loop, config, EIO);
    sring->req_prod = 5;

    entry(&loop, 3)->state = PV_INFLIGHT_FREE; /* the log does */
    expect_refused(&loop, config, ESTALE);
    entry(&loop, 3)->state = 7;
    expect_refused(&loop, config, ESTALE);
    entry(&loop, 3)->state = PV_INFLIGHT_TAKEN;
    inflight->req_cons = 40;
    expect_refused(&loop, config, ESTALE);
    inflight->req_cons = 5;
    inflight->magic++;
    expect_refused(&loop, config, ESTALE);
    inflight->magic--;

    reconnect(&loop, &config);
    assert(resumed(&loop) == 5 && take(&loop, ios) == 5);
    for (unsigned i = 0; i < 5; i++)
        finish(&loop, ios[i]);
    loopback_close(&loop);
}

/* Without a log, or with one that has not begun, only an idle ring can be taken up for certain. */
static void test_no_log(void)
{
    struct loopback loop;
    struct pv_blkback_config config = prepare(&loop);
    struct pv_sring *sring = (struct pv_sring *)loop.memory;
    sring->req_prod = sring->rsp_prod = 7;
    assert(pv_blkback_resumable(&config) == 0);
    sring->req_prod = 8;
    assert(pv_blkback_resumable(&config) == -EBUSY);
    config.evtchn = NULL;
    config.inflight = NULL;
    assert(pv_blkback_resumable(&config) == -EBUSY);
    sring->req_prod = 40;
    assert(pv_blkback_resumable(&config) == -EIO);
    config.inflight = log_memory + 64;
    assert(pv_blkback_resumable(&config) == -EINVAL);
    config.inflight = log_memory;
    config.inflight_size--;
    assert(pv_blkback_resumable(&config) == -EINVAL);
    assert(!pv_blkback_create(&config) && errno == EINVAL);
    pv_blk_store_close(loop.store);
    free(loop.memory);
}

int main(void)
{
    test_order();
    test_stop();
    test_barrier();
    test_frontend_does_not_wait();
    test_refused();
    test_no_log();
    return 0;
}
