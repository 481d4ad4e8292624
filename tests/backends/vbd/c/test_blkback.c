/* The data plane: content, batches, notifications, order, life. */
#include "tests/backends/vbd/c/loopback.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define SECTORS 24000u

static uint8_t reference[SECTORS * 512], read_back[SECTORS * 512];

static void fill_reference(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof reference; i++)
        reference[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
}

struct way {
    enum pv_abi abi;
    bool persistent, indirect, memory;
};

/* A store that hides its memory sends data the way through buffers. */
static struct pv_blk_store *make_store(bool memory)
{
    static struct pv_blk_store_ops hidden;
    struct pv_blk_store *store = pv_ram_store_create(SECTORS, 512);
    hidden = *store->ops;
    hidden.memory = NULL;
    if (!memory)
        store->ops = &hidden;
    return store;
}

/* A request for `count` segments of pages from `page` on, cut unevenly; returns its sectors. */
static uint32_t make_request(struct loopback *loop, struct pv_blkif_request *request, bool indirect,
                             uint8_t operation, uint64_t sector, uint32_t page, uint32_t count)
{
    struct pv_blkif_segment *seg = request->seg;
    uint32_t sectors = 0, per_page = loop->page_size / 512;
    *request = (struct pv_blkif_request){
        .operation = operation, .sector_number = sector, .nr_segments = (uint16_t)count};
    if (indirect) {
        request->operation = BLKIF_OP_INDIRECT;
        request->indirect_op = operation;
        request->indirect_grefs[0] = 100;
        seg = (struct pv_blkif_segment *)loopback_page(loop, 100);
    }
    for (uint32_t i = 0; i < count; i++) {
        seg[i] = (struct pv_blkif_segment){.gref = page + i,
                                           .first_sect = (uint8_t)(i % 3),
                                           .last_sect = (uint8_t)(per_page - 1 - i % 2)};
        sectors += seg[i].last_sect - seg[i].first_sect + 1u;
    }
    return sectors;
}

static size_t guest_data(struct loopback *loop, uint8_t *flat, uint32_t page, uint32_t count,
                         bool fill)
{
    uint32_t per_page = loop->page_size / 512;
    size_t done = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = (per_page - i % 2 - i % 3) * 512;
        uint8_t *data = loopback_page(loop, page + i) + (i % 3) * 512;
        memcpy(fill ? data : flat + done, fill ? flat + done : data, bytes);
        done += bytes;
    }
    return done;
}

static void test_content(struct way way)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, way.abi, make_store(way.memory));
    config.persistent = way.persistent;
    loopback_connect(&loop, &config);
    uint32_t count = way.indirect ? 60 : 11;
    struct pv_blkif_request request;
    for (uint64_t round = 0; round < 20; round++) {
        uint64_t sector = round * 1000 + 7;
        uint32_t sectors =
            make_request(&loop, &request, way.indirect, BLKIF_OP_WRITE, sector, 200, count);
        guest_data(&loop, reference + sector * 512, 200, count, true);
        assert(loopback_one(&loop, request) == BLKIF_RSP_OKAY);
        make_request(&loop, &request, way.indirect, BLKIF_OP_READ, sector, 400, count);
        assert(loopback_one(&loop, request) == BLKIF_RSP_OKAY);
        assert(guest_data(&loop, read_back, 400, count, false) == sectors * 512);
        assert(memcmp(read_back, reference + sector * 512, sectors * 512) == 0);
    }
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(loop.back, &stats);
    assert(stats.rd_req == 20 && stats.wr_req == 20 && stats.rd_sect == stats.wr_sect);
    assert(stats.grant_maps == (way.persistent ? 2 * count + way.indirect : 0));
    assert(!way.persistent || stats.grant_copies == 0);
    assert(stats.bytes_copied >= (way.persistent && !way.memory ? 0 : stats.rd_sect * 512));
    loopback_close(&loop);
}

/* Pages mapped side by side are one piece of memory to the store; others, and the two sides of a
 * gap, are not. */
static void test_neighbours_are_one_element(void)
{
    struct loopback loop;
    const struct pv_blk_geometry geometry = {.sectors = 1000, .sector_size = 512};
    struct pv_blk_store *store = pv_external_store_create(&geometry);
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, store);
    config.persistent = true;
    loopback_connect(&loop, &config);
    const struct pv_blkif_request request = {
        .operation = BLKIF_OP_READ,
        .nr_segments = 6,
        .seg = {{200, 3, 7}, {201, 0, 7}, {202, 0, 6}, {203, 0, 7}, {300, 0, 7}, {299, 0, 7}}};
    struct pv_blk_io *io;
    loopback_put(&loop, &request);
    pv_front_push_requests(&loop.front);
    loopback_pump(&loop);
    assert(pv_external_store_take(store, &io, 1) == 1);
    const struct iovec expected[] = {{loopback_page(&loop, 200) + 3 * 512, (5 + 8 + 7) * 512},
                                     {loopback_page(&loop, 203), 4096},
                                     {loopback_page(&loop, 300), 4096},
                                     {loopback_page(&loop, 299), 4096}};
    assert(io->iov_count == 4);
    for (int i = 0; i < io->iov_count; i++)
        assert(io->iov[i].iov_base == expected[i].iov_base &&
               io->iov[i].iov_len == expected[i].iov_len);
    pv_external_store_finish(store, &io, 1);
    loopback_pump(&loop);
    loopback_close(&loop);
}

/* A call is over after 4 MiB, however many requests the ring holds. */
static void test_a_pump_is_bounded_by_bytes(void)
{
    struct loopback loop;
    struct pv_blkback_config config =
        loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
    struct pv_blkif_request request;
    struct pv_blkif_response response;
    loopback_connect(&loop, &config);
    for (uint32_t i = 0; i < 32; i++) { /* 1 MiB each, less what make_request cuts off */
        make_request(&loop, &request, true, BLKIF_OP_READ, 0, 200, 256);
        request.id = i;
        loopback_put(&loop, &request);
    }
    unsigned pumps = 0, answers = 0;
    while (answers < 32) {
        unsigned now = 0;
        assert(loopback_pump(&loop) > 0);
        for (pumps++; loopback_take(&loop, &response); now++)
            assert(response.id == answers + now && response.status == BLKIF_RSP_OKAY);
        assert(now == 4);
        answers += now;
    }
    assert(pumps == 8 && loopback_pump(&loop) == 0);
    loopback_close(&loop);
}

static void test_batch_is_published_once(void)
{
    struct loopback loop;
    struct pv_blkback_config config =
        loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
    loopback_connect(&loop, &config);
    for (uint32_t i = 0; i < loop.front.nr_ents; i++) {
        struct pv_blkif_request request = {.operation = BLKIF_OP_READ,
                                           .id = i,
                                           .nr_segments = 1,
                                           .seg = {{.gref = 50 + i, .last_sect = 7}}};
        loopback_put(&loop, &request);
    }
    assert(loopback_pump(&loop) == (int)(2 * loop.front.nr_ents));
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(loop.back, &stats);
    assert(stats.batches == 1 && loop.notified == 1 && loop.copy_calls == 1);
    assert(stats.requests == 32 && stats.responses == 32);
    /* The frontend has not asked to be woken again: what follows is silent. */
    struct pv_blkif_response response;
    while (loopback_take(&loop, &response))
        ;
    struct pv_blkif_request request = {.operation = BLKIF_OP_FLUSH_DISKCACHE};
    loopback_put(&loop, &request);
    loopback_pump(&loop);
    assert(loop.notified == 1);
    pv_blkback_get_stats(loop.back, &stats);
    assert(stats.notifications_suppressed == 1);
    loopback_close(&loop);
}

static void test_budget(void)
{
    struct loopback loop;
    struct pv_blkback_config config =
        loopback_config(&loop, PV_ABI_X86_64, pv_null_store_create(SECTORS, 512, true));
    loopback_connect(&loop, &config);
    struct pv_blkif_request request = {
        .operation = BLKIF_OP_READ, .nr_segments = 1, .seg = {{.gref = 50, .last_sect = 7}}};
    for (int i = 0; i < 10; i++)
        loopback_put(&loop, &request);
    pv_front_push_requests(&loop.front);
    assert(pv_blkback_pump(loop.back, 3, 1) == 6);
    assert(pv_front_unconsumed_responses(&loop.front) == 3);
    assert(pv_blkback_arm(loop.back)); /* seven are left: no sleep */
    assert(pv_blkback_pump(loop.back, 100, 1) == 14);
    assert(!pv_blkback_arm(loop.back));
    assert(pv_blkback_pump(loop.back, 100, 1) == 0);
    loopback_close(&loop);
}

static void test_indices_wrap(void)
{
    static const uint32_t starts[] = {0x7ffffff0u, 0xfffffff0u};
    for (int i = 0; i < 2; i++) {
        struct loopback loop;
        struct pv_blkback_config config =
            loopback_config(&loop, PV_ABI_X86_32, pv_ram_store_create(SECTORS, 512));
        struct pv_sring *sring = (struct pv_sring *)loop.memory;
        sring->req_prod = sring->rsp_prod = starts[i];
        loopback_connect(&loop, &config);
        struct pv_blkif_request request = {
            .operation = BLKIF_OP_READ, .nr_segments = 1, .seg = {{.gref = 50, .last_sect = 7}}};
        for (int n = 0; n < 100; n++)
            assert(loopback_one(&loop, request) == BLKIF_RSP_OKAY);
        loopback_close(&loop);
    }
}

static void test_overrun_stops_the_ring(void)
{
    struct loopback loop;
    struct pv_blkback_config config =
        loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
    config.fault_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loopback_connect(&loop, &config);
    struct pv_sring before = *loop.front.sring;
    eventfd_t told;
    assert(pv_blkback_pump(loop.back, 100, 1) == 0);
    assert(eventfd_read(config.fault_fd, &told) < 0 && errno == EAGAIN);
    pv_write_once(&loop.front.sring->req_prod, 33);
    assert(pv_blkback_pump(loop.back, 100, 1) == -EPROTO);
    assert(pv_blkback_broken(loop.back));
    pv_write_once(&loop.front.sring->req_prod, 1); /* too late to repent */
    assert(pv_blkback_pump(loop.back, 100, 1) == -EPROTO);
    assert(loop.front.sring->rsp_prod == before.rsp_prod && loop.notified == 0);
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(loop.back, &stats);
    assert(stats.ring_overruns == 1 && stats.requests == 0);
    assert(eventfd_read(config.fault_fd, &told) == 0 && told == 1); /* once */
    loopback_close(&loop);
    close(config.fault_fd);
}

static void test_reconnect(void)
{
    struct loopback loop;
    struct pv_blkback_config config =
        loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
    struct pv_sring *sring = (struct pv_sring *)loop.memory;
    sring->rsp_prod = 10;
    sring->req_prod = 43;
    errno = 0;
    assert(!pv_blkback_create(&config) && errno == EIO && loop.mapped == 0 && !loop.bound);
    sring->req_prod = 10;
    loopback_connect(&loop, &config);
    struct pv_blkif_request request = {.operation = BLKIF_OP_FLUSH_DISKCACHE};
    assert(loopback_one(&loop, request) == BLKIF_RSP_OKAY);
    assert(sring->rsp_prod == 11);
    loopback_close(&loop);
}

/* The protocol's ceiling: 4096 segments in 8 pages of descriptors, some pages named twice. */
static void test_largest_request(bool persistent)
{
    struct loopback loop;
    struct pv_blkback_config config =
        loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
    config.persistent = persistent;
    config.ring_pages = 4;
    config.max_indirect_segments = 4096;
    loopback_connect(&loop, &config);
    assert(loop.front.nr_ents == 128);
    struct pv_blkif_segment *descriptors = (struct pv_blkif_segment *)loopback_page(&loop, 100);
    struct pv_blkif_request request = {
        .operation = BLKIF_OP_INDIRECT, .indirect_op = BLKIF_OP_WRITE, .nr_segments = 4096};
    for (uint32_t i = 0; i < 8; i++)
        request.indirect_grefs[i] = 100 + i;
    for (uint32_t i = 0; i < 4096; i++) {
        uint8_t sector = (uint8_t)(i / 512);
        descriptors[i] = (struct pv_blkif_segment){200 + i % 512, sector, sector};
        memcpy(loopback_page(&loop, 200 + i % 512) + sector * 512, reference + i * 512, 512);
    }
    assert(loopback_one(&loop, request) == BLKIF_RSP_OKAY);
    uint8_t *stored = config.store->ops->memory(config.store, 0, 4096);
    assert(memcmp(stored, reference, 4096 * 512) == 0);
    assert(loop.mapped == 4 + (persistent ? 512 + 8 : 0)); /* the descriptors' pages too */
    loopback_close(&loop);
}

static void test_describes_itself(void)
{
    struct loopback loop;
    char line[256];
    struct pv_blkback_config config =
        loopback_config(&loop, PV_ABI_X86_64, pv_ram_store_create(SECTORS, 512));
    loopback_connect(&loop, &config);
    int length = pv_blkback_describe(loop.back, line, sizeof line);
    assert(length > 0 && length < (int)sizeof line && !strchr(line, '\n'));
    assert(strstr(line, "domain 7 port 5: running, store ram, ring of 32"));
    pv_blkback_stop(loop.back);
    pv_blkback_describe(loop.back, line, sizeof line);
    assert(strstr(line, "stopped"));
    loopback_close(&loop);
}

static void test_callers_mistakes(void)
{
    struct loopback loop;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, NULL), wrong;
    struct pv_blk_store *store = pv_ram_store_create(SECTORS, 512);
    assert(!pv_blkback_create(&config) && errno == EINVAL);
    config.store = store;
    wrong = config, wrong.ring_pages = 3;
    assert(!pv_blkback_create(&wrong) && errno == EINVAL);
    wrong = config, wrong.ring_pages = 32;
    assert(!pv_blkback_create(&wrong) && errno == EINVAL);
    wrong = config, wrong.max_indirect_segments = 4097;
    assert(!pv_blkback_create(&wrong) && errno == EINVAL);
    wrong = config, wrong.abi = PV_ABI_COUNT;
    assert(!pv_blkback_create(&wrong) && errno == EINVAL);
    pv_blk_store_close(store);
    free(loop.memory);
}

int main(void)
{
    fill_reference();
    for (int abi = 0; abi < PV_ABI_COUNT; abi++)
        for (int bits = 0; bits < 8; bits++)
            test_content((struct way){abi, bits & 1, bits & 2, bits & 4});
    test_neighbours_are_one_element();
    test_batch_is_published_once();
    test_a_pump_is_bounded_by_bytes();
    test_budget();
    test_indices_wrap();
    test_overrun_stops_the_ring();
    test_reconnect();
    test_largest_request(false);
    test_largest_request(true);
    test_describes_itself();
    test_callers_mistakes();
    return 0;
}
