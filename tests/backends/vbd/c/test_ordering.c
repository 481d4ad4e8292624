/* What is in flight at a store that finishes when the test says: order, barriers, buffers,
 * wake-ups, teardown. */
#include "tests/backends/vbd/c/loopback.h"

#include <poll.h>
#include <pthread.h>

#define SECTORS 65536u

static struct pv_blk_store *external(void)
{
    const struct pv_blk_geometry geometry = {
        .sectors = SECTORS, .sector_size = 512, .can_flush = true, .can_discard = true};
    return pv_external_store_create(&geometry);
}

static void finish(struct loopback *loop, struct pv_blk_io *io, int status)
{
    io->status = status;
    pv_external_store_finish(loop->store, &io, 1);
}

static struct pv_blkif_request one_page(uint8_t operation, uint64_t id)
{
    return (struct pv_blkif_request){.operation = operation,
                                     .id = id,
                                     .sector_number = id * 8,
                                     .nr_segments = 1,
                                     .seg = {{.gref = (grant_ref_t)(50 + id), .last_sect = 7}}};
}

static void put(struct loopback *loop, uint8_t operation, uint64_t id)
{
    struct pv_blkif_request request = one_page(operation, id);
    if (operation == BLKIF_OP_FLUSH_DISKCACHE)
        request.nr_segments = 0;
    loopback_put(loop, &request);
}

static void expect(struct loopback *loop, uint64_t id, int status)
{
    struct pv_blkif_response response;
    assert(loopback_take(loop, &response));
    assert(response.id == id && response.status == status);
}

static void test_answers_out_of_order(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    loopback_connect(&loop, &config);
    struct pv_blk_io *ios[4];
    for (uint64_t id = 0; id < 3; id++)
        put(&loop, BLKIF_OP_READ, id);
    loopback_pump(&loop);
    assert(pv_external_store_take(loop.store, ios, 4) == 3);
    memset(ios[2]->iov[0].iov_base, 0x55, 4096);
    finish(&loop, ios[2], 0);
    finish(&loop, ios[0], -EIO);
    loopback_pump(&loop);
    expect(&loop, 0, BLKIF_RSP_ERROR); /* the other one's data is still to be copied */
    expect(&loop, 2, BLKIF_RSP_OKAY);
    assert(loopback_page(&loop, 52)[4095] == 0x55 && loopback_page(&loop, 50)[0] == 0);
    assert(loopback_errors(&loop, PV_BLKBACK_STORE_ERROR) == 1);
    /* Not idle, and nothing can be torn down under a store operation. */
    assert(!pv_blkback_quiesce(loop.back, 1));
    assert(pv_blkback_disconnect(loop.back) == -EBUSY && pv_blkback_destroy(loop.back) == -EBUSY);
    finish(&loop, ios[1], 0);
    assert(pv_blkback_quiesce(loop.back, 1));
    expect(&loop, 1, BLKIF_RSP_OKAY);
    loopback_close(&loop);
}

/* WRITE_BARRIER: all earlier ones done, flush, write, flush, and only then anything later. */
static void test_barrier(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    loopback_connect(&loop, &config);
    struct pv_blk_io *earlier[4], *io;
    put(&loop, BLKIF_OP_WRITE, 0);
    put(&loop, BLKIF_OP_WRITE, 1);
    put(&loop, BLKIF_OP_WRITE_BARRIER, 2);
    put(&loop, BLKIF_OP_WRITE, 3);
    loopback_pump(&loop);
    assert(pv_external_store_take(loop.store, earlier, 4) == 2);
    finish(&loop, earlier[1], 0);
    loopback_pump(&loop);
    assert(pv_external_store_take(loop.store, &io, 1) == 0);
    finish(&loop, earlier[0], 0);
    static const enum pv_blk_op steps[] = {PV_BLK_FLUSH, PV_BLK_WRITE, PV_BLK_FLUSH};
    for (int i = 0; i < 3; i++) {
        loopback_pump(&loop);
        assert(pv_external_store_take(loop.store, earlier, 4) == 1);
        assert(earlier[0]->op == steps[i]);
        assert(pv_blkback_in_flight(loop.back) == 1);
        finish(&loop, earlier[0], 0);
    }
    loopback_pump(&loop);
    expect(&loop, 1, BLKIF_RSP_OKAY);
    expect(&loop, 0, BLKIF_RSP_OKAY);
    expect(&loop, 2, BLKIF_RSP_OKAY);
    assert(pv_external_store_take(loop.store, &io, 1) == 1 && io->op == PV_BLK_WRITE);
    finish(&loop, io, 0);
    loopback_close(&loop);
}

static void test_failed_flush(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    loopback_connect(&loop, &config);
    struct pv_blk_io *io;
    static const int errors[] = {-EIO, -EOPNOTSUPP};
    static const int answers[] = {BLKIF_RSP_ERROR, BLKIF_RSP_EOPNOTSUPP};
    for (int i = 0; i < 2; i++) {
        put(&loop, BLKIF_OP_WRITE_BARRIER, 7);
        loopback_pump(&loop);
        assert(pv_external_store_take(loop.store, &io, 1) == 1 && io->op == PV_BLK_FLUSH);
        finish(&loop, io, errors[i]);
        loopback_pump(&loop);
        expect(&loop, 7, answers[i]);
        assert(pv_external_store_take(loop.store, &io, 1) == 0); /* nothing was written */
    }
    loopback_close(&loop);
}

static void test_requests_wait_for_buffers(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    config.buffer_pages = 11;
    config.max_indirect_segments = 0;
    loopback_connect(&loop, &config);
    struct pv_blk_io *ios[32];
    for (uint64_t id = 0; id < 32; id++)
        put(&loop, BLKIF_OP_READ, id);
    loopback_pump(&loop);
    unsigned done = 0, count;
    while ((count = pv_external_store_take(loop.store, ios, 32))) {
        assert(count <= 11);
        for (unsigned i = 0; i < count; i++)
            finish(&loop, ios[i], 0);
        loopback_pump(&loop);
        for (unsigned i = 0; i < count; i++)
            expect(&loop, done++, BLKIF_RSP_OKAY);
    }
    assert(done == 32);
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(loop.back, &stats);
    assert(stats.oo_req > 0);
    loopback_close(&loop);
}

/* There are always enough buffers for the largest request that is offered, even when fewer are
 * configured: it would wait forever otherwise. */
static void test_buffers_for_the_largest_request(uint32_t indirect)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    config.buffer_pages = 1;
    config.max_indirect_segments = indirect;
    loopback_connect(&loop, &config);
    uint32_t count = indirect ? indirect : BLKIF_MAX_SEGMENTS_PER_REQUEST;
    struct pv_blkif_request request = {.operation = BLKIF_OP_READ, .nr_segments = (uint16_t)count};
    struct pv_blkif_segment *segments = request.seg;
    if (indirect) {
        request.operation = BLKIF_OP_INDIRECT;
        request.indirect_grefs[0] = 40;
        segments = (struct pv_blkif_segment *)loopback_page(&loop, 40);
    }
    for (uint32_t i = 0; i < count; i++)
        segments[i] = (struct pv_blkif_segment){.gref = 50 + i, .last_sect = 7};
    loopback_put(&loop, &request);
    loopback_pump(&loop);
    struct pv_blk_io *io;
    assert(pv_external_store_take(loop.store, &io, 1) == 1 && io->iov_count == (int)count);
    finish(&loop, io, 0);
    loopback_pump(&loop);
    expect(&loop, 0, BLKIF_RSP_OKAY);
    loopback_close(&loop);
}

/* A grant in use is never purged, and requests that find no room go by copies. */
static void test_small_persistent_cache(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    config.persistent = true;
    config.persistent_grants = 4;
    loopback_connect(&loop, &config);
    struct pv_blk_io *ios[8];
    for (uint64_t id = 0; id < 6; id++)
        put(&loop, BLKIF_OP_READ, id);
    loopback_pump(&loop);
    assert(pv_external_store_take(loop.store, ios, 8) == 6);
    for (unsigned i = 0; i < 6; i++) {
        void *page = loopback_page(&loop, 50 + i);
        assert((ios[i]->iov[0].iov_base == page) == (i < 4));
        memset(ios[i]->iov[0].iov_base, (int)i + 1, 4096);
        finish(&loop, ios[i], 0);
    }
    loopback_pump(&loop);
    for (unsigned i = 0; i < 6; i++)
        assert(loopback_page(&loop, 50 + i)[100] == i + 1);
    assert(loop.mapped == 1 + 4);
    /* Least recently used first: page 50 gives way to page 60. */
    put(&loop, BLKIF_OP_READ, 10);
    loopback_pump(&loop);
    assert(pv_external_store_take(loop.store, ios, 1) == 1);
    assert(ios[0]->iov[0].iov_base == loopback_page(&loop, 60));
    finish(&loop, ios[0], 0);
    loopback_pump(&loop);
    assert(loop.mapped == 1 + 4);
    /* Unused for a minute: all of them go. */
    loop.now += 61000000000u;
    loopback_pump(&loop);
    assert(loop.mapped == 1);
    loopback_close(&loop);
}

/* What the guest changes after the backend has looked does not count (XSA-155). */
static void test_guest_changes_its_mind(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    loopback_connect(&loop, &config);
    struct pv_blkif_segment *descriptors = (struct pv_blkif_segment *)loopback_page(&loop, 40);
    struct pv_blkif_request request = {.operation = BLKIF_OP_INDIRECT,
                                       .indirect_op = BLKIF_OP_READ,
                                       .id = 77,
                                       .nr_segments = 2,
                                       .indirect_grefs = {40}};
    descriptors[0] = (struct pv_blkif_segment){.gref = 50, .last_sect = 7};
    descriptors[1] = (struct pv_blkif_segment){.gref = 51, .first_sect = 2, .last_sect = 3};
    loopback_put(&loop, &request);
    loopback_pump(&loop);
    memset(loop.front.sring->ring, 0xff, loop.front.slot_size);
    memset(descriptors, 0xff, 4096);
    struct pv_blk_io *io;
    assert(pv_external_store_take(loop.store, &io, 1) == 1);
    assert(io->iov_count == 2 && io->iov[1].iov_len == 1024 && io->nr_sectors == 10);
    memset(io->iov[1].iov_base, 0x33, 1024);
    finish(&loop, io, 0);
    loopback_pump(&loop);
    expect(&loop, 77, BLKIF_RSP_OKAY);
    const uint8_t *page = loopback_page(&loop, 51);
    assert(page[1023] == 0 && page[1024] == 0x33 && page[2047] == 0x33 && page[2048] == 0);
    loopback_close(&loop);
}

/* A store that waits for time tells the pump's caller when. */
static void test_deadline(void)
{
    struct loopback loop;
    struct pv_blk_store *ram = pv_ram_store_create(SECTORS, 512);
    struct pv_blk_store *store = pv_delay_filter_create(ram, 1, 100, 0, 1u << PV_BLK_READ);
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, store);
    loopback_connect(&loop, &config);
    loop.now = 1000;
    put(&loop, BLKIF_OP_READ, 0);
    put(&loop, BLKIF_OP_WRITE, 1);
    loopback_pump(&loop);
    expect(&loop, 1, BLKIF_RSP_OKAY);
    assert(pv_blkback_deadline(loop.back) == 1100 && !pv_blkback_arm(loop.back));
    loop.now = 1100;
    assert(loopback_pump(&loop) == 1);
    expect(&loop, 0, BLKIF_RSP_OKAY);
    assert(pv_blkback_deadline(loop.back) == UINT64_MAX);
    loopback_close(&loop);
}

static void test_wake_up(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    loopback_connect(&loop, &config);
    struct pv_blk_io *ios[2];
    put(&loop, BLKIF_OP_READ, 0);
    put(&loop, BLKIF_OP_READ, 1);
    loopback_pump(&loop);
    assert(pv_external_store_take(loop.store, ios, 2) == 2);
    int fd = pv_blkback_pollable(loop.back)->fd;
    assert(!pv_blkback_arm(loop.back) && !is_readable(fd));
    finish(&loop, ios[0], 0);
    assert(is_readable(fd) && pv_blkback_arm(loop.back));
    loopback_pump(&loop);
    assert(!is_readable(fd));
    finish(&loop, ios[1], 0); /* the queue does not sleep: no wake-up */
    assert(!is_readable(fd) && pv_blkback_arm(loop.back));
    loopback_pump(&loop);
    assert(!pv_blkback_arm(loop.back));
    loopback_close(&loop);
}

static void *finisher(void *argument)
{
    struct loopback *loop = argument;
    struct pv_blk_io *ios[8];
    unsigned done = 0;
    while (done < 2000) {
        unsigned count = pv_external_store_take(loop->store, ios, 8);
        for (unsigned i = 0; i < count; i++)
            finish(loop, ios[i], 0);
        done += count;
        if (count == 0)
            sched_yield();
    }
    return NULL;
}

/* Operations finished by another thread while this one pumps, arms and sleeps. */
static void test_finished_elsewhere(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, external());
    loopback_connect(&loop, &config);
    pthread_t thread;
    pthread_create(&thread, NULL, finisher, &loop);
    struct pv_blkif_response response;
    uint64_t sent = 0, received = 0;
    while (received < 2000) {
        while (sent < 2000 && pv_front_free_requests(&loop.front))
            put(&loop, BLKIF_OP_WRITE, sent++ % 64);
        int work = loopback_pump(&loop);
        while (loopback_take(&loop, &response))
            received++;
        if (work == 0 && received < sent && !pv_blkback_arm(loop.back)) {
            struct pollfd poll_fd = {.fd = pv_blkback_pollable(loop.back)->fd, .events = POLLIN};
            assert(poll(&poll_fd, 1, 60000) == 1); /* a lost wake-up would end here */
        }
    }
    pthread_join(thread, NULL);
    loopback_close(&loop);
}

int main(void)
{
    test_answers_out_of_order();
    test_barrier();
    test_failed_flush();
    test_requests_wait_for_buffers();
    test_buffers_for_the_largest_request(0);
    test_buffers_for_the_largest_request(256);
    test_small_persistent_cache();
    test_guest_changes_its_mind();
    test_deadline();
    test_wake_up();
    test_finished_elsewhere();
    return 0;
}
