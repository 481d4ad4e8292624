/* What a queue tells of: failed store operations, once until asked about. A broken ring, which it
 * tells of too, is in test_blkback.c. */
#include "tests/backends/vbd/c/loopback.h"

#include <errno.h>
#include <sys/eventfd.h>

#define SECTORS 1000u

static struct pv_blk_store *failing_store(uint32_t operations, int error)
{
    const struct pv_blk_fault fault = {.probability = 1, .operations = operations, .error = error};
    return pv_error_filter_create(pv_ram_store_create(SECTORS, 512), &fault);
}

static void connect_told(struct loopback *loop, struct pv_blk_store *store, int fd)
{
    struct pv_blkback_config config = loopback_config(loop, PV_ABI_X86_64, store);
    config.fault_fd = fd;
    loopback_connect(loop, &config);
}

static struct pv_blkback_store_error take(struct loopback *loop)
{
    struct pv_blkback_store_error last;
    pv_blkback_take_faults(loop->back, &last);
    return last;
}

static eventfd_t times_told(int fd)
{
    eventfd_t told = 0;
    eventfd_read(fd, &told);
    return told;
}

static void test_a_failed_operation_is_told_once(void)
{
    struct loopback loop;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    connect_told(&loop, failing_store(1u << PV_BLK_WRITE, ENOSPC), fd);
    struct pv_blkif_request request = {
        .operation = BLKIF_OP_READ, .sector_number = 8, .nr_segments = 1, .seg = {{50, 0, 7}}};
    assert(loopback_one(&loop, request) == BLKIF_RSP_OKAY);
    assert(times_told(fd) == 0 && take(&loop).count == 0);

    request.operation = BLKIF_OP_WRITE;
    for (uint64_t sector = 100; sector < 110; sector++) {
        request.sector_number = sector;
        assert(loopback_one(&loop, request) == BLKIF_RSP_ERROR);
    }
    assert(times_told(fd) == 1);
    struct pv_blkback_store_error last = take(&loop);
    assert(last.count == 10 && last.sector == 109 && last.nr_sectors == 8);
    assert(last.op == PV_BLK_WRITE && last.error == ENOSPC);

    request.sector_number = 200;
    assert(loopback_one(&loop, request) == BLKIF_RSP_ERROR);
    assert(times_told(fd) == 1 && take(&loop).sector == 200);
    loopback_close(&loop);
    close(fd);
}

/* What the store cannot do is the frontend's to know, and no fault of the disk. */
static void test_unsupported_is_no_fault(void)
{
    struct loopback loop;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    connect_told(&loop, failing_store(1u << PV_BLK_DISCARD, EOPNOTSUPP), fd);
    const struct pv_blkif_request request = {.operation = BLKIF_OP_DISCARD, .nr_sectors = 8};
    assert(loopback_one(&loop, request) == BLKIF_RSP_EOPNOTSUPP);
    assert(times_told(fd) == 0 && take(&loop).count == 0);
    loopback_close(&loop);
    close(fd);
}

static void test_faults_without_an_eventfd(void)
{
    struct loopback loop;
    connect_told(&loop, failing_store(1u << PV_BLK_FLUSH, EIO), 0);
    const struct pv_blkif_request request = {.operation = BLKIF_OP_FLUSH_DISKCACHE};
    assert(loopback_one(&loop, request) == BLKIF_RSP_ERROR);
    assert(take(&loop).op == PV_BLK_FLUSH);
    loopback_close(&loop);
}

int main(void)
{
    test_a_failed_operation_is_told_once();
    test_unsupported_is_no_fault();
    test_faults_without_an_eventfd();
    return 0;
}
