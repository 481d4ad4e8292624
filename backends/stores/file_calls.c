/* A file store's operations by system calls that return when all is done. */
#include "backends/stores/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#define IOV_BATCH 256 /* elements of one system call; the kernel takes 1024 */

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

/* The kernel has less to do for one element than for a vector of one. */
static ssize_t transfer_elements(int fd, enum pv_blk_op op, const struct iovec *elements, int count,
                                 off_t offset)
{
    if (count == 1)
        return op == PV_BLK_READ ? pread(fd, elements->iov_base, elements->iov_len, offset)
                                 : pwrite(fd, elements->iov_base, elements->iov_len, offset);
    return op == PV_BLK_READ ? preadv(fd, elements, count, offset)
                             : pwritev(fd, elements, count, offset);
}

/* Goes on after short transfers and signals until all is done. To meet the end of the file is an
 * error: it should lie behind the transfer. */
static int transfer_vector(int fd, enum pv_blk_op op, struct position at, off_t offset)
{
    struct iovec elements[IOV_BATCH];
    skip(&at, 0);
    while (at.left > 0) {
        int count = next_elements(&at, elements);
        ssize_t done = transfer_elements(fd, op, elements, count, offset);
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
    off_t offset = (off_t)io->sector * PV_SECTOR_SIZE;
    uint64_t left = io->nr_sectors * PV_SECTOR_SIZE;
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

bool file_fits_direct(const struct file_store *file, const struct pv_blk_io *io)
{
    uintptr_t bits = 0;
    for (int i = 0; i < io->iov_count; i++)
        bits |= (uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len;
    return (bits & (file->store.geometry.sector_size - 1)) == 0;
}

static int transfer(struct file_store *file, const struct pv_blk_io *io)
{
    struct position at = {io->iov, io->iov_count, 0};
    if (file->direct && !file_fits_direct(file, io))
        return transfer_bounced(file, io, at);
    return transfer_vector(file->fd, io->op, at, (off_t)io->sector * PV_SECTOR_SIZE);
}

int file_flushed(struct file_store *file, int status)
{
    pthread_mutex_lock(&file->lock);
    if (!file->flush_error)
        file->flush_error = status;
    status = file->flush_error;
    pthread_mutex_unlock(&file->lock);
    return status;
}

static int flush(struct file_store *file)
{
    int status;
    do
        status = fdatasync(file->fd);
    while (status < 0 && errno == EINTR);
    return file_flushed(file, status < 0 ? -errno : 0);
}

static int discard(struct file_store *file, const struct pv_blk_io *io)
{
    if (io->secure)
        return -EOPNOTSUPP;
    int status;
    do
        status =
            fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      (off_t)io->sector * PV_SECTOR_SIZE, (off_t)io->nr_sectors * PV_SECTOR_SIZE);
    while (status < 0 && errno == EINTR);
    return status < 0 ? -errno : 0;
}

void file_carry_out(struct file_store *file, struct pv_blk_io *io)
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
