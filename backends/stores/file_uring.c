/* A file store's operations through io_uring: a batch is one system call, and the thread that polls
 * the store completes them. What the ring cannot take, and what ends neither done nor failed, goes
 * to the pool of threads and begins there again: until it is acknowledged it may be done twice. */
#include "backends/stores/file.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>

#define BATCH 64          /* handed over by one call */
#define MAX_IN_FLIGHT 512 /* a ring of 16 pages full of requests */

int file_uring_open(struct file_store *file)
{
    return uring_open(&file->uring, BATCH, MAX_IN_FLIGHT);
}

/* ---- On the way to the kernel ---------------------------------------------------------------- */

static bool fits(const struct file_store *file, const struct pv_blk_io *io)
{
    switch (io->op) {
    case PV_BLK_READ:
    case PV_BLK_WRITE:
        return io->iov_count <= IOV_MAX && (!file->direct || file_fits_direct(file, io));
    case PV_BLK_DISCARD:
        return !io->secure;
    case PV_BLK_FLUSH:
        break;
    }
    return true;
}

/* Gives what is prepared to the kernel; what it does not take ends up in `left`. */
static void hand_over(struct file_store *file, struct io_list *left)
{
    const struct io_uring_sqe *sqe;
    uring_enter(&file->uring, 0);
    while ((sqe = uring_take_back(&file->uring))) {
        file->in_flight--;
        struct pv_blk_io *io = (struct pv_blk_io *)(uintptr_t)sqe->user_data;
        if (io)
            io_list_add(left, io);
        while (!io && (io = io_list_take(&file->flushing)))
            io_list_add(left, io);
    }
}

static struct io_uring_sqe *prepare(struct file_store *file, struct io_list *left)
{
    if (file->in_flight == file->uring.cq_entries)
        return NULL;
    struct io_uring_sqe *sqe = uring_prepare(&file->uring);
    if (!sqe) {
        hand_over(file, left);
        sqe = uring_prepare(&file->uring);
    }
    if (sqe) {
        sqe->fd = file->fd;
        file->in_flight++;
    }
    return sqe;
}

/* One flush at a time: those that come meanwhile share the next, which covers all of them. */
static void prepare_flush(struct file_store *file, struct io_list *left)
{
    if (file->flushing.head || !file->flush_next.head)
        return;
    struct pv_blk_io *io;
    struct io_uring_sqe *sqe = prepare(file, left);
    while ((io = io_list_take(&file->flush_next)))
        io_list_add(sqe ? &file->flushing : left, io);
    if (sqe) {
        sqe->opcode = IORING_OP_FSYNC;
        sqe->fsync_flags = IORING_FSYNC_DATASYNC;
    }
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct pv_blk_io *io)
{
    sqe->off = io->sector * PV_SECTOR_SIZE;
    if (io->iov_count == 1) { /* one too long for `len` comes back short */
        sqe->opcode = io->op == PV_BLK_READ ? IORING_OP_READ : IORING_OP_WRITE;
        sqe->addr = (uintptr_t)io->iov->iov_base;
        sqe->len = (uint32_t)io->iov->iov_len;
    } else {
        sqe->opcode = io->op == PV_BLK_READ ? IORING_OP_READV : IORING_OP_WRITEV;
        sqe->addr = (uintptr_t)io->iov;
        sqe->len = (uint32_t)io->iov_count;
    }
}

static void prepare_discard(struct io_uring_sqe *sqe, const struct pv_blk_io *io)
{
    sqe->opcode = IORING_OP_FALLOCATE;
    sqe->off = io->sector * PV_SECTOR_SIZE;
    sqe->addr = io->nr_sectors * PV_SECTOR_SIZE; /* the length, here */
    sqe->len = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
}

/* The kernel's readahead waits for a place in the device's queue even when asked not to wait, and
 * this thread serves other disks too. So this thread itself reads only what the page cache has, and
 * only while nothing is in flight; kernel threads do the rest. */
static bool may_wait(const struct file_store *file, const struct pv_blk_io *io, bool disk_is_busy)
{
    return io->op == PV_BLK_READ && !file->direct && (disk_is_busy || !file_is_cached(file, io));
}

static void prepare_one(struct file_store *file, struct pv_blk_io *io, bool disk_is_busy,
                        struct io_list *left)
{
    if (io->op == PV_BLK_FLUSH) {
        io_list_add(&file->flush_next, io);
        prepare_flush(file, left);
        return;
    }
    struct io_uring_sqe *sqe = fits(file, io) ? prepare(file, left) : NULL;
    if (!sqe) {
        io_list_add(left, io);
        return;
    }
    sqe->user_data = (uintptr_t)io;
    if (may_wait(file, io, disk_is_busy))
        sqe->flags = IOSQE_ASYNC;
    if (io->op == PV_BLK_DISCARD)
        prepare_discard(sqe, io);
    else
        prepare_transfer(sqe, io);
}

/* ---- On the way back ------------------------------------------------------------------------- */

/* A result that says nothing about the operation: a signal, lack of memory, the end of the thread
 * that submitted it, or an operation that this kernel knows as a system call only. */
static bool is_inconclusive(int32_t result)
{
    return result == -EINTR || result == -EAGAIN || result == -ECANCELED || result == -EINVAL ||
           result == -EOPNOTSUPP;
}

static void note_flush(struct file_store *file, int32_t result, struct io_list *done,
                       struct io_list *left)
{
    struct pv_blk_io *io;
    bool again = is_inconclusive(result);
    int status = again ? 0 : file_flushed(file, result);
    while ((io = io_list_take(&file->flushing))) {
        io->status = status;
        io_list_add(again ? left : done, io);
    }
}

static void note(struct file_store *file, const struct io_uring_cqe *completion,
                 struct io_list *done, struct io_list *left)
{
    struct pv_blk_io *io = (struct pv_blk_io *)(uintptr_t)completion->user_data;
    int32_t result = completion->res;
    file->in_flight--;
    if (!io) {
        note_flush(file, result, done, left);
        return;
    }
    int64_t all = io->op == PV_BLK_DISCARD ? 0 : (int64_t)io->nr_sectors * PV_SECTOR_SIZE;
    bool again = is_inconclusive(result) || (result >= 0 && result != all);
    io->status = result < 0 ? result : 0;
    io_list_add(again ? left : done, io);
}

/* Called without the lock: a completion may call the store. */
static void pass_on(struct file_store *file, struct io_list *done, struct io_list *left)
{
    struct pv_blk_io *io;
    while ((io = io_list_take(done)))
        io->complete(io);
    while ((io = io_list_take(left)))
        file_threads_submit(&file->store, &io, 1);
}

static void reap(struct file_store *file)
{
    struct io_list done, left;
    struct io_uring_cqe completion;
    if (!uring_has_completions(&file->uring))
        return;
    io_list_init(&done);
    io_list_init(&left);
    pthread_mutex_lock(&file->uring_lock);
    uring_fetch(&file->uring);
    while (uring_complete(&file->uring, &completion))
        note(file, &completion, &done, &left);
    prepare_flush(file, &left);
    hand_over(file, &left);
    pthread_mutex_unlock(&file->uring_lock);
    pass_on(file, &done, &left);
}

void file_uring_submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct file_store *file = (struct file_store *)store;
    struct io_list none, left;
    io_list_init(&none);
    io_list_init(&left);
    pthread_mutex_lock(&file->uring_lock);
    bool disk_is_busy = file->in_flight > 0;
    for (unsigned i = 0; i < count; i++)
        prepare_one(file, ios[i], disk_is_busy, &left);
    hand_over(file, &left);
    pthread_mutex_unlock(&file->uring_lock);
    pass_on(file, &none, &left);
    reap(file); /* what the page cache had is done */
}

uint64_t file_uring_poll(struct pv_blk_store *store, uint64_t now)
{
    (void)now;
    reap((struct file_store *)store);
    return UINT64_MAX;
}

int file_uring_fd(struct pv_blk_store *store)
{
    return ((struct file_store *)store)->uring.fd;
}

void file_uring_close(struct file_store *file)
{
    while (file->in_flight > 0) {
        uring_enter(&file->uring, 1);
        reap(file);
    }
    uring_close(&file->uring);
}
