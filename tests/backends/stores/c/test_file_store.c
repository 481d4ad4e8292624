/* File stores, each engine against a model, from several threads at once; what goes wrong on the
 * way to the ring and back; and queues that sleep until the kernel has done something. */
#include "backends/stores/file.h"
#include "tests/backends/vbd/c/loopback.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 3u
#define PLACES 250u /* of a thread; together more than the ring has in flight */
#define PLACE 16u   /* sectors */
#define ROUNDS 3u
#define SECTORS (THREADS * PLACES * PLACE)

/* In libc's place: counts what goes to io_uring, and can be a kernel before Linux 5.19. */
static bool is_old_kernel;
static atomic_uint setups, refused_setups, enters;

long syscall(long number, ...)
{
    va_list list;
    long argument[6];
    va_start(list, number);
    for (unsigned i = 0; i < 6; i++)
        argument[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_io_uring_setup) {
        const struct io_uring_params *params = (const void *)(uintptr_t)argument[1];
        atomic_fetch_add(&setups, 1);
        if (is_old_kernel && params->flags & IORING_SETUP_COOP_TASKRUN) {
            atomic_fetch_add(&refused_setups, 1);
            errno = EINVAL;
            return -1;
        }
    }
    atomic_fetch_add(&enters, number == SYS_io_uring_enter);
    long (*real)(long, ...) = (long (*)(long, ...))(uintptr_t)dlsym(RTLD_NEXT, "syscall");
    return real(number, argument[0], argument[1], argument[2], argument[3], argument[4],
                argument[5]);
}

static char path[] = "file-store-XXXXXX";

static void make_file(void)
{
    strcpy(path + sizeof path - 7, "XXXXXX");
    int fd = mkstemp(path);
    assert(fd >= 0 && ftruncate(fd, SECTORS * 512) == 0);
    close(fd);
}

static struct pv_blk_store *open_store(enum pv_file_engine engine, uint32_t threads, bool direct)
{
    const struct pv_file_store_config config = {
        .path = path, .sector_size = 512, .threads = threads, .direct = direct, .engine = engine};
    struct pv_blk_store *store = pv_file_store_create(&config);
    assert(!store || engine == PV_FILE_AUTO || pv_file_store_engine(store) == engine);
    return store;
}

struct operation {
    struct pv_blk_io io;
    struct iovec iov[2];
    atomic_uint *done;
};

static void complete(struct pv_blk_io *io)
{
    atomic_fetch_add(((struct operation *)io)->done, 1);
}

/* `data` in two parts, so that vectors are in play. */
static void fill(struct operation *operation, enum pv_blk_op op, uint64_t place, uint8_t *data,
                 atomic_uint *done)
{
    size_t size = PLACE * 512u, first = op == PV_BLK_FLUSH ? 0 : 512u * (1 + place % (PLACE - 1));
    *operation =
        (struct operation){.io = {.op = op,
                                  .sector = op == PV_BLK_FLUSH ? 0 : place * PLACE,
                                  .nr_sectors = op == PV_BLK_FLUSH ? 0 : PLACE,
                                  .iov = operation->iov,
                                  .iov_count = op == PV_BLK_READ || op == PV_BLK_WRITE ? 2 : 0,
                                  .status = 1,
                                  .complete = complete},
                           .iov = {{data, first}, {data + first, size - first}},
                           .done = done};
}

static void submit(struct pv_blk_store *store, struct operation *operations, unsigned count)
{
    struct pv_blk_io *ios[PLACES + 1];
    for (unsigned i = 0; i < count; i++)
        ios[i] = &operations[i].io;
    store->ops->submit(store, ios, count);
}

static void await(struct pv_blk_store *store, atomic_uint *done, unsigned count)
{
    struct pollfd wake = {.fd = store->ops->fd ? store->ops->fd(store) : -1, .events = POLLIN};
    while (atomic_load(done) < count) {
        poll(&wake, 1, 1);
        if (store->ops->poll)
            store->ops->poll(store, 0);
    }
}

struct writer {
    struct pv_blk_store *store;
    unsigned number;
    uint8_t *model, *memory; /* PLACES places */
};

/* All of a thread's places at once, and a flush in their midst. */
static void run_round(struct writer *writer, enum pv_blk_op op, unsigned seed)
{
    static _Thread_local struct operation operations[PLACES + 1];
    atomic_uint done = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        size_t at = (size_t)i * PLACE * 512;
        uint64_t place = writer->number * PLACES + i;
        bool discard =
            op == PV_BLK_WRITE && writer->store->geometry.can_discard && (i * seed) % 7 == 3;
        if (op == PV_BLK_WRITE)
            memset(writer->model + at, discard ? 0 : (int)(seed * 31 + i), PLACE * 512);
        if (op == PV_BLK_WRITE)
            memcpy(writer->memory + at, writer->model + at, PLACE * 512);
        fill(&operations[count++], discard ? PV_BLK_DISCARD : op, place, writer->memory + at,
             &done);
        if (i == seed % PLACES)
            fill(&operations[count++], PV_BLK_FLUSH, 0, NULL, &done);
    }
    submit(writer->store, operations, count);
    await(writer->store, &done, count);
    for (unsigned i = 0; i < count; i++)
        assert(operations[i].io.status == 0);
}

static void *write_and_read(void *argument)
{
    struct writer *writer = argument;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        run_round(writer, PV_BLK_WRITE, round + writer->number);
        memset(writer->memory, 0xee, PLACES * PLACE * 512);
        run_round(writer, PV_BLK_READ, round);
        assert(memcmp(writer->memory, writer->model, PLACES * PLACE * 512) == 0);
    }
    return NULL;
}

static void test_against_model(struct pv_blk_store *store)
{
    struct writer writers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.store = store, .number = i};
        writers[i].model = calloc(PLACES, PLACE * 512);
        assert(writers[i].model);
        assert(posix_memalign((void **)&writers[i].memory, 4096, PLACES * PLACE * 512) == 0);
        assert(pthread_create(&threads[i], NULL, write_and_read, &writers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        free(writers[i].model);
        free(writers[i].memory);
    }
}

struct parting {
    struct pv_blk_store *store;
    struct operation operations[64];
    uint8_t *memory;
    atomic_uint done;
};

static void *submit_and_leave(void *argument)
{
    struct parting *parting = argument;
    submit(parting->store, parting->operations, 64);
    return NULL;
}

/* The kernel cancels what waits in a thread that ends: it is done all the same. */
static void test_thread_leaves(struct pv_blk_store *store)
{
    struct parting parting = {.store = store};
    assert(posix_memalign((void **)&parting.memory, 4096, PLACE * 512) == 0);
    memset(parting.memory, 0x77, PLACE * 512);
    for (unsigned round = 0; round < 5; round++) {
        pthread_t thread;
        atomic_store(&parting.done, 0);
        for (unsigned i = 0; i < 64; i++)
            fill(&parting.operations[i], i % 16 == 9 ? PV_BLK_FLUSH : PV_BLK_WRITE, i,
                 parting.memory, &parting.done);
        assert(pthread_create(&thread, NULL, submit_and_leave, &parting) == 0);
        pthread_join(thread, NULL);
        await(store, &parting.done, 64);
        for (unsigned i = 0; i < 64; i++)
            assert(parting.operations[i].io.status == 0);
    }
    free(parting.memory);
}

/* Who spins makes no system calls, but the one that the kernel asks for. */
static void test_spinning(struct pv_blk_store *store)
{
    struct file_store *file = (struct file_store *)store;
    if (pv_file_store_engine(store) != PV_FILE_IO_URING)
        return;
    unsigned before = atomic_load(&enters);
    for (unsigned i = 0; i < 100; i++)
        store->ops->poll(store, 0);
    assert(atomic_load(&enters) == before);
    __atomic_fetch_or(file->uring.sq_flags, IORING_SQ_TASKRUN, __ATOMIC_RELAXED);
    store->ops->poll(store, 0);
    assert(atomic_load(&enters) == before + 1);
    __atomic_fetch_and(file->uring.sq_flags, ~IORING_SQ_TASKRUN, __ATOMIC_RELAXED);
}

static void test_failed_flush_stays(struct pv_blk_store *store)
{
    static struct operation flushes[9];
    atomic_uint done = 0;
    assert(pv_blk_store_transfer(store, PV_BLK_FLUSH, 0, 0, NULL, false) == 0);
    assert(file_flushed((struct file_store *)store, -EIO) == -EIO);
    for (unsigned i = 0; i < 9; i++)
        fill(&flushes[i], PV_BLK_FLUSH, 0, NULL, &done);
    submit(store, flushes, 9);
    await(store, &done, 9);
    for (unsigned i = 0; i < 9; i++)
        assert(flushes[i].io.status == -EIO);
}

/* Flushes that come while one is in flight share the next: not that one, which had begun. */
static void test_flushes_share(struct pv_blk_store *store)
{
    static struct operation flushes[5];
    struct file_store *file = (struct file_store *)store;
    atomic_uint done = 0;
    if (pv_file_store_engine(store) != PV_FILE_IO_URING)
        return;
    uint32_t before = *file->uring.cq_head;
    for (unsigned i = 0; i < 5; i++)
        fill(&flushes[i], PV_BLK_FLUSH, 0, NULL, &done);
    submit(store, flushes, 5);
    await(store, &done, 5);
    for (unsigned i = 0; i < 5; i++)
        assert(flushes[i].io.status == 0);
    assert(*file->uring.cq_head - before == 2);
}

/* An operation is on the file when close returns. */
static void test_close_waits(struct pv_blk_store *store)
{
    static struct operation operations[PLACES];
    uint8_t *memory, *content = malloc(PLACE * 512);
    atomic_uint done = 0;
    assert(content && posix_memalign((void **)&memory, 4096, PLACE * 512) == 0);
    memset(memory, 0x3c, PLACE * 512);
    for (unsigned i = 0; i < PLACES; i++)
        fill(&operations[i], PV_BLK_WRITE, i, memory, &done);
    submit(store, operations, PLACES);
    pv_blk_store_close(store);
    assert(atomic_load(&done) == PLACES);
    int fd = open(path, O_RDONLY);
    for (unsigned i = 0; i < PLACES; i++) {
        assert(operations[i].io.status == 0);
        assert(pread(fd, content, PLACE * 512, i * PLACE * 512) == PLACE * 512);
        assert(memcmp(content, memory, PLACE * 512) == 0);
    }
    close(fd);
    free(memory);
    free(content);
}

/* What is odd comes out as from plain system calls. */
static void test_odd_operations(struct pv_blk_store *store)
{
    uint8_t memory[4096 + 512];
    memset(memory, 0x51, sizeof memory);
    assert(pv_blk_store_transfer(store, PV_BLK_WRITE, 8, 8, memory + 1, false) ==
           0); /* unaligned */
    memset(memory, 0, sizeof memory);
    assert(pv_blk_store_transfer(store, PV_BLK_READ, 8, 8, memory + 3, false) == 0);
    assert(memory[3] == 0x51 && memory[4098] == 0x51 && memory[4099] == 0);
    assert(pv_blk_store_transfer(store, PV_BLK_DISCARD, 0, 8, NULL, true) == -EOPNOTSUPP);
    assert(truncate(path, SECTORS / 2 * 512) == 0);
    assert(pv_blk_store_transfer(store, PV_BLK_READ, SECTORS - 8, 8, memory, false) == -EIO);
    assert(truncate(path, SECTORS * 512) == 0);
}

static void test_engine(enum pv_file_engine engine, uint32_t threads, bool direct)
{
    make_file();
    struct pv_blk_store *store = open_store(engine, threads, direct);
    if (!store) {
        assert((engine == PV_FILE_IO_URING && (errno == ENOSYS || errno == EPERM)) || direct);
        unlink(path);
        return;
    }
    test_against_model(store);
    test_thread_leaves(store);
    test_odd_operations(store);
    test_flushes_share(store);
    test_spinning(store);
    test_failed_flush_stays(store);
    test_close_waits(store);
    unlink(path);
}

/* The end of an operation wakes a sleeping queue through its fd, without a thread. */
static void test_sleeping_queue(bool filtered)
{
    struct loopback loop;
    struct pv_blkif_response response;
    make_file();
    struct pv_blk_store *store = open_store(PV_FILE_IO_URING, 1, false);
    if (!store)
        return;
    struct pv_blk_store *top = filtered ? pv_delay_filter_create(store, 1, 0, 0, 0) : store;
    struct pv_blkback_config config = loopback_config(&loop, PV_ABI_X86_64, top);
    loopback_connect(&loop, &config);
    struct pollfd wake = {.fd = pv_blkback_pollable(loop.back)->fd, .events = POLLIN};
    for (uint64_t id = 0; id < 30; id++) {
        bool flush = id % 2;
        struct pv_blkif_request request = {.operation =
                                               flush ? BLKIF_OP_FLUSH_DISKCACHE : BLKIF_OP_WRITE,
                                           .id = id,
                                           .nr_segments = flush ? 0 : 1,
                                           .seg = {{.gref = 50, .last_sect = 7}}};
        loopback_put(&loop, &request);
        while (!loopback_take(&loop, &response)) {
            if (loopback_pump(&loop) == 0 && !pv_blkback_arm(loop.back))
                assert(poll(&wake, 1, 60000) == 1);
        }
        assert(response.id == id && response.status == BLKIF_RSP_OKAY);
    }
    assert(((struct file_store *)store)->thread_count == 0);
    loopback_close(&loop);
    unlink(path);
}

static void test_old_kernel(void)
{
    is_old_kernel = true;
    atomic_store(&setups, 0);
    atomic_store(&refused_setups, 0);
    test_engine(PV_FILE_IO_URING, 2, false);
    assert(atomic_load(&setups) == 2 * atomic_load(&refused_setups));
    is_old_kernel = false;
}

static void test_choice(void)
{
    make_file();
    struct pv_blk_store *store = open_store(PV_FILE_AUTO, 0, false);
    assert(store && pv_file_store_engine(store) == PV_FILE_SYNC);
    pv_blk_store_close(store);
    unlink(path);
}

int main(void)
{
    test_choice();
    for (unsigned direct = 0; direct < 2; direct++) {
        test_engine(PV_FILE_SYNC, 0, direct);
        test_engine(PV_FILE_THREADS, 3, direct);
        test_engine(PV_FILE_IO_URING, 2, direct);
        test_engine(PV_FILE_IO_URING, 0, direct);
    }
    test_old_kernel();
    test_sleeping_queue(false);
    test_sleeping_queue(true);
    return 0;
}
