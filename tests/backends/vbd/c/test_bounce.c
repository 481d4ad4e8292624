/* A store whose operations may outlive the process, on a hypervisor whose maps may not: it is
 * never given memory of the guest's, whatever way a request goes. */
#include "tests/backends/vbd/c/loopback.h"

#include <errno.h>

#define SECTORS 24000u
#define DESCRIPTORS 100 /* the page of an indirect request's */
#define DATA 200        /* the first page of the guest's data */

/* ---- A store in memory that its own thread reaches only when told to, and that looks at what it
 * is given --------------------------------------------------------------------------------- */

struct watchful_store {
    struct pv_blk_store store; /* first */
    const struct loopback *loop;
    uint8_t *sectors;
    bool holds; /* operations wait for `let_go` */
    struct pv_blk_io *held[64];
    unsigned held_count;
    int error;             /* negative: what each operation ends with */
    unsigned of_the_guest; /* elements of vectors that lie in the guest's memory */
};

static bool is_of_the_guest(const struct watchful_store *watchful, const struct iovec *iov)
{
    const uint8_t *start = watchful->loop->memory, *data = iov->iov_base;
    return data + iov->iov_len > start &&
           data < start + (size_t)GUEST_PAGES * watchful->loop->page_size;
}

static void carry_out(struct watchful_store *watchful, struct pv_blk_io *io)
{
    uint8_t *at = watchful->sectors + io->sector * 512;
    for (int i = 0; i < io->iov_count && watchful->error == 0; i++) {
        if (io->op == PV_BLK_READ)
            memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
        else
            memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
        at += io->iov[i].iov_len;
    }
    io->status = watchful->error;
    io->complete(io);
}

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct watchful_store *watchful = (struct watchful_store *)store;
    for (unsigned i = 0; i < count; i++) {
        for (int j = 0; j < ios[i]->iov_count; j++)
            watchful->of_the_guest += is_of_the_guest(watchful, &ios[i]->iov[j]);
        if (watchful->holds)
            watchful->held[watchful->held_count++] = ios[i];
        else
            carry_out(watchful, ios[i]);
    }
}

static void let_go(struct watchful_store *watchful)
{
    unsigned count = watchful->held_count;
    watchful->held_count = 0;
    for (unsigned i = 0; i < count; i++)
        carry_out(watchful, watchful->held[i]);
}

static void close_watchful(struct pv_blk_store *store)
{
    free(((struct watchful_store *)store)->sectors);
    free(store);
}

static const struct pv_blk_store_ops watchful_ops = {
    .name = "watchful", .submit = submit, .close = close_watchful};

static struct watchful_store *make_store(struct loopback *loop)
{
    struct watchful_store *watchful = calloc(1, sizeof *watchful);
    watchful->store.ops = &watchful_ops;
    watchful->store.geometry =
        (struct pv_blk_geometry){.sectors = SECTORS, .sector_size = 512, .can_flush = true};
    watchful->store.io_outlives_process = true;
    watchful->loop = loop;
    watchful->sectors = calloc(SECTORS, 512);
    return watchful;
}

static struct pv_blkback_config mapped_config(struct loopback *loop, enum pv_abi abi,
                                              struct watchful_store *watchful)
{
    struct pv_blkback_config config = loopback_config(loop, abi, &watchful->store);
    loop->hypervisor.maps_outlive_process = false;
    config.persistent = true;
    return config;
}

static struct pv_blkback_stats stats(struct loopback *loop)
{
    struct pv_blkback_stats stats;
    pv_blkback_get_stats(loop->back, &stats);
    return stats;
}

/* ---- Requests ------------------------------------------------------------------------------- */

/* For `count` pages of data, of which the first and last sector are left out. */
static struct pv_blkif_request make_request(struct loopback *loop, uint8_t operation,
                                            uint64_t sector, uint32_t page, uint32_t count)
{
    bool indirect = count > BLKIF_MAX_SEGMENTS_PER_REQUEST;
    struct pv_blkif_request request = {.operation = operation,
                                       .sector_number = sector,
                                       .nr_segments = (uint16_t)count,
                                       .indirect_grefs = {0}};
    struct pv_blkif_segment *seg = request.seg;
    if (indirect) {
        request.operation = BLKIF_OP_INDIRECT;
        request.indirect_op = operation;
        request.indirect_grefs[0] = DESCRIPTORS;
        seg = (struct pv_blkif_segment *)loopback_page(loop, DESCRIPTORS);
    }
    for (uint32_t i = 0; i < count; i++)
        seg[i] = (struct pv_blkif_segment){
            .gref = page + i, .first_sect = 1, .last_sect = (uint8_t)(loop->page_size / 512 - 2)};
    return request;
}

static size_t segment_bytes(const struct loopback *loop)
{
    return loop->page_size - 1024;
}

static void fill(struct loopback *loop, uint32_t page, uint32_t count, uint8_t seed)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < loop->page_size; j++)
            loopback_page(loop, page + i)[j] = (uint8_t)(seed + 7 * i + j / 3);
}

static bool holds(struct loopback *loop, const uint8_t *sectors, uint32_t page, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(sectors + i * segment_bytes(loop), loopback_page(loop, page + i) + 512,
                   segment_bytes(loop)) != 0)
            return false;
    return true;
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void test_content(enum pv_abi abi, uint8_t operation, uint32_t count)
{
    struct loopback loop;
    struct watchful_store *watchful = make_store(&loop);
    struct pv_blkback_config config = mapped_config(&loop, abi, watchful);
    loopback_connect(&loop, &config);
    fill(&loop, DATA, count, 1);
    assert(loopback_one(&loop, make_request(&loop, operation, 64, DATA, count)) == BLKIF_RSP_OKAY);
    assert(holds(&loop, watchful->sectors + 64 * 512, DATA, count));

    fill(&loop, DATA, count, 99);
    assert(loopback_one(&loop, make_request(&loop, BLKIF_OP_READ, 64, DATA, count)) ==
           BLKIF_RSP_OKAY);
    assert(holds(&loop, watchful->sectors + 64 * 512, DATA, count));
    for (uint32_t i = 0; i < count; i++) { /* beside the segments nothing has changed */
        uint8_t *page = loopback_page(&loop, DATA + i), *tail = page + loop.page_size - 512;
        assert(page[0] == (uint8_t)(99 + 7 * i));
        assert(tail[0] == (uint8_t)(99 + 7 * i + (loop.page_size - 512) / 3));
    }

    /* The pages stay mapped, so that there is no hypercall but the first map of each. */
    size_t descriptors = count > BLKIF_MAX_SEGMENTS_PER_REQUEST ? count * 8u : 0;
    assert(watchful->of_the_guest == 0 && loop.copy_calls == 0);
    assert(stats(&loop).grant_maps == count + (descriptors != 0));
    assert(stats(&loop).bytes_copied == 2 * (count * segment_bytes(&loop) + descriptors));
    loopback_close(&loop);
}

/* The other three of the four cases lend the store the pages themselves. */
static void test_pages_are_lent_where_they_may_be(bool maps_outlive, bool io_outlives)
{
    struct loopback loop;
    struct watchful_store *watchful = make_store(&loop);
    struct pv_blkback_config config = mapped_config(&loop, PV_ABI_X86_64, watchful);
    loop.hypervisor.maps_outlive_process = maps_outlive;
    watchful->store.io_outlives_process = io_outlives;
    loopback_connect(&loop, &config);
    fill(&loop, DATA, 3, 1);
    assert(loopback_one(&loop, make_request(&loop, BLKIF_OP_WRITE, 0, DATA, 3)) == BLKIF_RSP_OKAY);
    assert(watchful->of_the_guest == 3 && stats(&loop).bytes_copied == 0);
    loopback_close(&loop);
}

/* What is written is what the pages held when the request was taken. */
static void test_a_write_is_a_snapshot(void)
{
    struct loopback loop;
    struct watchful_store *watchful = make_store(&loop);
    struct pv_blkback_config config = mapped_config(&loop, PV_ABI_X86_64, watchful);
    struct pv_blkif_request request;
    struct pv_blkif_response response;
    watchful->holds = true;
    loopback_connect(&loop, &config);
    fill(&loop, DATA, 4, 1);
    request = make_request(&loop, BLKIF_OP_WRITE, 0, DATA, 4);
    loopback_put(&loop, &request);
    loopback_pump(&loop);
    assert(watchful->held_count == 1);
    fill(&loop, DATA, 4, 77);
    let_go(watchful);
    loopback_pump(&loop);
    assert(loopback_take(&loop, &response) && response.status == BLKIF_RSP_OKAY);
    fill(&loop, DATA, 4, 1);
    assert(holds(&loop, watchful->sectors, DATA, 4));
    loopback_close(&loop);
}

/* A read that fails leaves the guest's pages as they were, and holds neither buffers nor grants. */
static void test_a_failed_read(void)
{
    struct loopback loop;
    struct watchful_store *watchful = make_store(&loop);
    struct pv_blkback_config config = mapped_config(&loop, PV_ABI_X86_64, watchful);
    config.max_indirect_segments = 0;
    config.buffer_pages = 11;
    config.persistent_grants = 11;
    loopback_connect(&loop, &config);
    fill(&loop, DATA, 11, 5);
    watchful->error = -EIO;
    for (int i = 0; i < 5; i++)
        assert(loopback_one(&loop, make_request(&loop, BLKIF_OP_READ, 0, DATA, 11)) ==
               BLKIF_RSP_ERROR);
    uint8_t expected = (uint8_t)(5 + 512 / 3);
    assert(loopback_page(&loop, DATA)[512] == expected);
    watchful->error = 0;
    assert(loopback_one(&loop, make_request(&loop, BLKIF_OP_READ, 0, DATA, 11)) == BLKIF_RSP_OKAY);
    assert(loopback_page(&loop, DATA)[512] == 0);
    assert(stats(&loop).grant_copies == 0 && watchful->of_the_guest == 0);
    loopback_close(&loop);
}

/* Buffers for three requests at a time, then grants for two: the others wait, or go by copies. */
static void test_neither_buffers_nor_grants_for_all(uint32_t buffers, uint32_t grants)
{
    struct loopback loop;
    struct watchful_store *watchful = make_store(&loop);
    struct pv_blkback_config config = mapped_config(&loop, PV_ABI_X86_64, watchful);
    struct pv_blkif_response response;
    uint32_t answered = 0;
    config.max_indirect_segments = 0;
    config.buffer_pages = buffers;
    config.persistent_grants = grants;
    watchful->holds = true;
    loopback_connect(&loop, &config);
    for (uint32_t i = 0; i < 20; i++) {
        struct pv_blkif_request request = make_request(
            &loop, i % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE, i / 2 * 100, DATA + i * 11, 11);
        request.id = i;
        fill(&loop, DATA + i * 11, 11, (uint8_t)i);
        loopback_put(&loop, &request);
    }
    loopback_pump(&loop);
    while (answered < 20) {
        assert(watchful->held_count > 0 && watchful->held_count <= buffers / 11);
        let_go(watchful);
        loopback_pump(&loop);
        while (loopback_take(&loop, &response)) {
            assert(response.status == BLKIF_RSP_OKAY);
            answered++;
        }
    }
    for (uint32_t i = 0; i < 20; i++) /* a write, and a read of the same sectors behind it */
        assert(holds(&loop, watchful->sectors + i / 2 * 100 * 512, DATA + i * 11, 11));
    assert(watchful->of_the_guest == 0 && stats(&loop).oo_req > 0);
    assert((stats(&loop).grant_copies > 0) == (grants < buffers));
    loopback_close(&loop);
}

/* A flush, its data, a flush: the buffers are given back between the steps. */
static void test_barriers(void)
{
    struct loopback loop;
    struct watchful_store *watchful = make_store(&loop);
    struct pv_blkback_config config = mapped_config(&loop, PV_ABI_X86_64, watchful);
    config.max_indirect_segments = 0;
    config.buffer_pages = 11;
    loopback_connect(&loop, &config);
    for (uint8_t i = 0; i < 40; i++) {
        uint8_t operation = i % 2 ? BLKIF_OP_WRITE_BARRIER : BLKIF_OP_FLUSH_DISKCACHE;
        fill(&loop, DATA, 11, i);
        assert(loopback_one(&loop, make_request(&loop, operation, 0, DATA, 11)) == BLKIF_RSP_OKAY);
        assert(holds(&loop, watchful->sectors, DATA, 11));
    }
    assert(watchful->of_the_guest == 0 && stats(&loop).oo_req == 0);
    loopback_close(&loop);
}

int main(void)
{
    static const uint32_t counts[] = {1, 11, 200};
    for (int abi = 0; abi < PV_ABI_COUNT; abi++)
        for (int i = 0; i < 3; i++)
            test_content((enum pv_abi)abi, BLKIF_OP_WRITE, counts[i]);
    test_content(PV_ABI_X86_64, BLKIF_OP_WRITE_BARRIER, 11);
    test_content(PV_ABI_IA64, BLKIF_OP_FLUSH_DISKCACHE, 11);
    test_pages_are_lent_where_they_may_be(true, true);
    test_pages_are_lent_where_they_may_be(true, false);
    test_pages_are_lent_where_they_may_be(false, false);
    test_a_write_is_a_snapshot();
    test_a_failed_read();
    test_neither_buffers_nor_grants_for_all(33, 1000);
    test_neither_buffers_nor_grants_for_all(33, 22);
    test_barriers();
    return 0;
}
