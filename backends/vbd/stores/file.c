/* A file or block device. Threads carry operations out one by one; with no threads, submit does. */
#include "pvdrivers/blk_stores.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IOV_BATCH 256              /* elements of one system call; the kernel takes 1024 */
#define BOUNCE_SIZE (256u * 1024u) /* bytes */
#define BOUNCE_ALIGNMENT 4096u     /* the strictest O_DIRECT asks for */

struct file_store {
    struct pv_blk_store store;
    int fd;
    bool direct;
    int flush_error; /* once a flush has failed, what it covered may be lost: all later ones fail */
    pthread_mutex_t bounce_lock;
    uint8_t *bounce; /* for O_DIRECT transfers of unaligned memory */

    pthread_mutex_t lock;
    pthread_cond_t work;
    struct pv_blk_io *head, **tail;
    bool closing;
    unsigned thread_count;
    pthread_t threads[];
};

/* A place in an operation's data. */
struct position {
    const struct iovec *iov;
    int left;       /* elements, this one included */
    size_t skipped; /* bytes of this one */
};

static void skip(struct position *at, size_t bytes)
{
    at->skipped += bytes;
    while (at->left > 0 && at->skipped >= at->iov->iov_len) {
        at->skipped -= at->iov->iov_len;
        at->iov++;
        at->left--;
    }
}

static int next_elements(const struct position *at, struct iovec elements[IOV_BATCH])
{
    int count = at->left < IOV_BATCH ? at->left : IOV_BATCH;
    memcpy(elements, at->iov, (size_t)count * sizeof *elements);
    elements[0].iov_base = (uint8_t *)elements[0].iov_base + at->skipped;
    elements[0].iov_len -= at->skipped;
    return count;
}

/* Goes on after short transfers and signals until all is done; the end of the file, which should
 * lie behind, is an error. */
static int transfer_vector(int fd, enum pv_blk_op op, struct position at, off_t offset)
{
    struct iovec elements[IOV_BATCH];
    skip(&at, 0);
    while (at.left > 0) {
        int count = next_elements(&at, elements);
        ssize_t done = op == PV_BLK_READ ? preadv(fd, elements, count, offset)
                                         : pwritev(fd, elements, count, offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        offset += done;
        skip(&at, (size_t)done);
    }
    return 0;
}

static void gather(struct position *at, uint8_t *bounce, size_t size, bool scatter)
{
    while (size > 0) {
        uint8_t *data = (uint8_t *)at->iov->iov_base + at->skipped;
        size_t here = at->iov->iov_len - at->skipped;
        if (here > size)
            here = size;
        memcpy(scatter ? data : bounce, scatter ? bounce : data, here);
        bounce += here;
        size -= here;
        skip(at, here);
    }
}

static int transfer_bounced(struct file_store *file, const struct pv_blk_io *io, struct position at)
{
    off_t offset = (off_t)io->sector * 512;
    uint64_t left = io->nr_sectors * 512;
    int status = 0;
    pthread_mutex_lock(&file->bounce_lock);
    skip(&at, 0);
    while (left > 0 && status == 0) {
        size_t size = left < BOUNCE_SIZE ? (size_t)left : BOUNCE_SIZE;
        const struct iovec whole = {.iov_base = file->bounce, .iov_len = size};
        if (io->op == PV_BLK_WRITE)
            gather(&at, file->bounce, size, false);
        status = transfer_vector(file->fd, io->op, (struct position){&whole, 1, 0}, offset);
        if (io->op == PV_BLK_READ && status == 0)
            gather(&at, file->bounce, size, true);
        offset += (off_t)size;
        left -= size;
    }
    pthread_mutex_unlock(&file->bounce_lock);
    return status;
}

static bool fits_direct(const struct file_store *file, const struct pv_blk_io *io)
{
    uintptr_t bits = 0;
    for (int i = 0; i < io->iov_count; i++)
        bits |= (uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len;
    return (bits & (file->store.geometry.sector_size - 1)) == 0;
}

static int transfer(struct file_store *file, const struct pv_blk_io *io)
{
    struct position at = {io->iov, io->iov_count, 0};
    if (file->direct && !fits_direct(file, io))
        return transfer_bounced(file, io, at);
    return transfer_vector(file->fd, io->op, at, (off_t)io->sector * 512);
}

static int flush(struct file_store *file)
{
    int status;
    do
        status = fdatasync(file->fd);
    while (status < 0 && errno == EINTR);
    pthread_mutex_lock(&file->lock);
    if (status < 0 && !file->flush_error)
        file->flush_error = -errno;
    status = file->flush_error;
    pthread_mutex_unlock(&file->lock);
    return status;
}

static int discard(struct file_store *file, const struct pv_blk_io *io)
{
    if (io->secure)
        return -EOPNOTSUPP;
    int status;
    do
        status = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           (off_t)io->sector * 512, (off_t)io->nr_sectors * 512);
    while (status < 0 && errno == EINTR);
    return status < 0 ? -errno : 0;
}

static void carry_out(struct file_store *file, struct pv_blk_io *io)
{
    switch (io->op) {
    case PV_BLK_READ:
    case PV_BLK_WRITE:
        io->status = transfer(file, io);
        break;
    case PV_BLK_FLUSH:
        io->status = flush(file);
        break;
    case PV_BLK_DISCARD:
        io->status = discard(file, io);
        break;
    }
    io->complete(io);
}

static struct pv_blk_io *wait_for_work(struct file_store *file)
{
    pthread_mutex_lock(&file->lock);
    while (!file->head && !file->closing)
        pthread_cond_wait(&file->work, &file->lock);
    struct pv_blk_io *io = file->head;
    if (io) {
        file->head = io->next;
        if (!file->head)
            file->tail = &file->head;
    }
    pthread_mutex_unlock(&file->lock);
    return io;
}

static void *worker(void *argument)
{
    struct file_store *file = argument;
    struct pv_blk_io *io;
    while ((io = wait_for_work(file)))
        carry_out(file, io);
    return NULL;
}

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct file_store *file = (struct file_store *)store;
    if (file->thread_count == 0) {
        for (unsigned i = 0; i < count; i++)
            carry_out(file, ios[i]);
        return;
    }
    pthread_mutex_lock(&file->lock);
    for (unsigned i = 0; i < count; i++) {
        ios[i]->next = NULL;
        *file->tail = ios[i];
        file->tail = &ios[i]->next;
    }
    if (count == 1)
        pthread_cond_signal(&file->work);
    else
        pthread_cond_broadcast(&file->work);
    pthread_mutex_unlock(&file->lock);
}

static void close_store(struct pv_blk_store *store)
{
    struct file_store *file = (struct file_store *)store;
    pthread_mutex_lock(&file->lock);
    file->closing = true;
    pthread_cond_broadcast(&file->work);
    pthread_mutex_unlock(&file->lock);
    for (unsigned i = 0; i < file->thread_count; i++)
        pthread_join(file->threads[i], NULL);
    pthread_mutex_destroy(&file->lock);
    pthread_mutex_destroy(&file->bounce_lock);
    pthread_cond_destroy(&file->work);
    if (file->fd >= 0)
        close(file->fd);
    free(file->bounce);
    free(file);
}

static int refresh(struct pv_blk_store *store)
{
    off_t size = lseek(((struct file_store *)store)->fd, 0, SEEK_END);
    if (size < 0)
        return -errno;
    if (size == 0 || size % store->geometry.sector_size)
        return -EINVAL;
    store->geometry.sectors = (uint64_t)size / 512;
    return 0;
}

static const struct pv_blk_store_ops file_ops = {
    .name = "file", .submit = submit, .refresh = refresh, .close = close_store};

/* Beyond the end a hole changes nothing, and the file system says whether it could make one. */
static bool can_punch_holes(int fd, const struct stat *status)
{
    if (S_ISBLK(status->st_mode))
        return true;
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, status->st_size + 4096,
                     4096) == 0;
}

static int open_file(struct file_store *file, const struct pv_file_store_config *config)
{
    struct stat status;
    struct pv_blk_geometry *geometry = &file->store.geometry;
    uint32_t sector_size = config->sector_size;
    if (sector_size < 512 || sector_size > 4096 || (sector_size & (sector_size - 1)))
        return -EINVAL;
    int flags = O_CLOEXEC | (config->read_only ? O_RDONLY : O_RDWR);
    file->fd = open(config->path, flags | (config->direct ? O_DIRECT : 0));
    if (file->fd < 0 || fstat(file->fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return -ENOTSUP;
    *geometry = (struct pv_blk_geometry){.sector_size = sector_size,
                                         .physical_sector_size = sector_size,
                                         .discard_granularity = (uint32_t)status.st_blksize,
                                         .read_only = config->read_only,
                                         .can_flush = true};
    geometry->can_discard = !config->read_only && can_punch_holes(file->fd, &status);
    if (S_ISREG(status.st_mode) && geometry->discard_granularity > sector_size)
        geometry->physical_sector_size = geometry->discard_granularity;
    file->direct = config->direct;
    return refresh(&file->store);
}

/* Whether the kernel takes O_DIRECT transfers of single sectors of this size. */
static int try_direct(struct file_store *file)
{
    void *bounce;
    if (!file->direct)
        return 0;
    if (posix_memalign(&bounce, BOUNCE_ALIGNMENT, BOUNCE_SIZE))
        return -ENOMEM;
    file->bounce = bounce;
    return pread(file->fd, bounce, file->store.geometry.sector_size, 0) < 0 ? -errno : 0;
}

static int start_threads(struct file_store *file, unsigned count)
{
    while (file->thread_count < count) {
        int error = pthread_create(&file->threads[file->thread_count], NULL, worker, file);
        if (error)
            return -error;
        file->thread_count++;
    }
    return 0;
}

struct pv_blk_store *pv_file_store_create(const struct pv_file_store_config *config)
{
    struct file_store *file = calloc(1, sizeof *file + config->threads * sizeof file->threads[0]);
    if (!file)
        return NULL;
    file->store.ops = &file_ops;
    file->fd = -1;
    file->tail = &file->head;
    pthread_mutex_init(&file->lock, NULL);
    pthread_mutex_init(&file->bounce_lock, NULL);
    pthread_cond_init(&file->work, NULL);
    int status = open_file(file, config);
    if (status == 0)
        status = try_direct(file);
    if (status == 0)
        status = start_threads(file, config->threads);
    if (status < 0) {
        close_store(&file->store);
        errno = -status;
        return NULL;
    }
    return &file->store;
}
