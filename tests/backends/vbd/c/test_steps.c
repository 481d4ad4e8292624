/* What a request asks of the store, step by step, and what it may not do to the others. */
#include "tests/backends/vbd/c/loopback.h"

#define SECTORS 1024u

static struct pv_blk_store *external(bool read_only)
{
    const struct pv_blk_geometry geometry = {.sectors = SECTORS,
                                             .sector_size = 512,
                                             .read_only = read_only,
                                             .can_flush = true,
                                             .can_discard = true,
                                             .can_secure_discard = true};
    return pv_external_store_create(&geometry);
}

static struct pv_blkif_request request_of(uint8_t operation, uint16_t segments)
{
    struct pv_blkif_request request = {.operation = operation, .nr_segments = segments};
    for (uint32_t i = 0; i < segments; i++)
        request.seg[i] = (struct pv_blkif_segment){.gref = 50 + i, .last_sect = 7};
    return request;
}

/* Takes the next operation, checks it, ends it with `status` and goes on. */
static void step(struct loopback *loop, enum pv_blk_op op, bool secure, int status)
{
    struct pv_blk_io *io;
    assert(pv_external_store_take(loop->store, &io, 1) == 1);
    assert(io->op == op && io->secure == secure);
    io->status = status;
    pv_external_store_finish(loop->store, &io, 1);
    loopback_pump(loop);
}

static void expect(struct loopback *loop, int status)
{
    struct pv_blkif_response response;
    struct pv_blk_io *io;
    assert(pv_external_store_take(loop->store, &io, 1) == 0);
    assert(loopback_take(loop, &response) && response.status == status);
}

static void begin(struct loopback *loop, struct pv_blkif_request request)
{
    loopback_put(loop, &request);
    loopback_pump(loop);
}

static void test_steps_of_each_operation(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external(false));
    loopback_connect(&loop, &config);
    /* A flush with data flushes before it, a barrier with data behind it too. */
    begin(&loop, request_of(BLKIF_OP_FLUSH_DISKCACHE, 1));
    step(&loop, PV_BLK_FLUSH, false, 0);
    step(&loop, PV_BLK_WRITE, false, 0);
    expect(&loop, BLKIF_RSP_OKAY);
    begin(&loop, request_of(BLKIF_OP_WRITE_BARRIER, 1));
    step(&loop, PV_BLK_FLUSH, false, 0);
    step(&loop, PV_BLK_WRITE, false, 0);
    step(&loop, PV_BLK_FLUSH, false, 0);
    expect(&loop, BLKIF_RSP_OKAY);
    /* Nothing is discarded of nothing. */
    begin(&loop, request_of(BLKIF_OP_DISCARD, 0));
    expect(&loop, BLKIF_RSP_OKAY);
    loopback_close(&loop);
}

/* blkif.h: EOPNOTSUPP is for what a feature covers; a store that cannot read has an error. */
static void test_unsupported_operations(void)
{
    static const struct {
        uint8_t operation;
        enum pv_blk_op op;
        int status;
    } cases[] = {{BLKIF_OP_READ, PV_BLK_READ, BLKIF_RSP_ERROR},
                 {BLKIF_OP_WRITE, PV_BLK_WRITE, BLKIF_RSP_ERROR},
                 {BLKIF_OP_WRITE_BARRIER, PV_BLK_FLUSH, BLKIF_RSP_EOPNOTSUPP},
                 {BLKIF_OP_FLUSH_DISKCACHE, PV_BLK_FLUSH, BLKIF_RSP_EOPNOTSUPP}};
    for (int i = 0; i < 4; i++) {
        struct loopback loop;
        struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external(false));
        loopback_connect(&loop, &config);
        begin(&loop, request_of(cases[i].operation, 1));
        step(&loop, cases[i].op, false, -EOPNOTSUPP);
        expect(&loop, cases[i].status);
        loopback_close(&loop);
    }
}

/* Secure only where that was offered and asked for. */
static void test_secure_discard(void)
{
    for (int bits = 0; bits < 4; bits++) {
        struct loopback loop;
        struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external(false));
        config.secure_discard = bits & 1;
        loopback_connect(&loop, &config);
        begin(&loop,
              (struct pv_blkif_request){.operation = BLKIF_OP_DISCARD,
                                        .nr_sectors = 8,
                                        .discard_flags = bits & 2 ? BLKIF_DISCARD_SECURE : 0});
        step(&loop, PV_BLK_DISCARD, bits == 3, 0);
        expect(&loop, BLKIF_RSP_OKAY);
        loopback_close(&loop);
    }
}

/* A store that cannot be written is read-only, whatever the guest was promised (XSA-142). */
static void test_read_only_store(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external(true));
    loopback_connect(&loop, &config);
    assert(loopback_one(&loop, request_of(BLKIF_OP_WRITE, 1)) == BLKIF_RSP_ERROR);
    assert(loopback_errors(&loop, PV_BLKBACK_READ_ONLY) == 1);
    loopback_close(&loop);
}

/* While a barrier waits, what stands behind it is no reason to stay awake. */
static void test_sleep_behind_a_barrier(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external(false));
    loopback_connect(&loop, &config);
    begin(&loop, request_of(BLKIF_OP_WRITE_BARRIER, 0));
    begin(&loop, request_of(BLKIF_OP_READ, 1));
    assert(!pv_blkback_arm(loop.back));
    step(&loop, PV_BLK_FLUSH, false, 0);
    struct pv_blkif_response response;
    assert(loopback_take(&loop, &response) && response.operation == BLKIF_OP_WRITE_BARRIER);
    step(&loop, PV_BLK_READ, false, 0);
    expect(&loop, BLKIF_RSP_OKAY);
    loopback_close(&loop);
}

/* A request that waits for buffers is not overtaken: it would starve behind small ones. */
static void test_nothing_passes_what_waits_for_buffers(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external(false));
    config.buffer_pages = 11;
    config.max_indirect_segments = 0;
    loopback_connect(&loop, &config);
    begin(&loop, request_of(BLKIF_OP_READ, 1));
    begin(&loop, request_of(BLKIF_OP_READ, 11));
    begin(&loop, request_of(BLKIF_OP_READ, 1));
    assert(!pv_blkback_arm(loop.back)); /* nor is it a reason to stay awake */
    struct pv_blk_io *ios[3];
    assert(pv_external_store_take(loop.store, ios, 3) == 1 && ios[0]->iov_count == 1);
    pv_external_store_finish(loop.store, ios, 1);
    loopback_pump(&loop);
    assert(pv_external_store_take(loop.store, ios, 3) == 1 && ios[0]->iov_count == 11);
    pv_external_store_finish(loop.store, ios, 1);
    loopback_pump(&loop);
    assert(pv_external_store_take(loop.store, ios, 3) == 1 && ios[0]->iov_count == 1);
    pv_external_store_finish(loop.store, ios, 1);
    loopback_pump(&loop);
    loopback_close(&loop);
}

/* Nothing is written to a ring with impossible indices, even for requests taken before. */
static void test_a_broken_ring_is_left_alone(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external(false));
    loopback_connect(&loop, &config);
    begin(&loop, request_of(BLKIF_OP_READ, 1));
    struct pv_blk_io *io;
    assert(pv_external_store_take(loop.store, &io, 1) == 1);
    pv_write_once(&loop.front.sring->req_prod, 40);
    assert(pv_blkback_pump(loop.back, 100, 1) == -EPROTO);
    memset(loop.memory + 64, 0x5a, 4096 - 64);
    pv_external_store_finish(loop.store, &io, 1);
    assert(pv_blkback_pump(loop.back, 100, 1) == -EPROTO);
    for (size_t i = 64; i < 4096; i++)
        assert(loop.memory[i] == 0x5a);
    loopback_close(&loop);
}

int main(void)
{
    test_steps_of_each_operation();
    test_unsupported_operations();
    test_secure_discard();
    test_read_only_store();
    test_sleep_behind_a_barrier();
    test_nothing_passes_what_waits_for_buffers();
    test_a_broken_ring_is_left_alone();
    return 0;
}
