/* A file or block device: how it is opened, and which engine carries its operations out. */
#include "backends/stores/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BOUNCE_ALIGNMENT 4096u /* the strictest O_DIRECT asks for */

static void submit_at_once(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        file_carry_out((struct file_store *)store, ios[i]);
}

static void close_store(struct pv_blk_store *store)
{
    struct file_store *file = (struct file_store *)store;
    file_uring_close(file);
    file_threads_stop(file); /* behind the ring, which leaves it work */
    pthread_mutex_destroy(&file->lock);
    pthread_mutex_destroy(&file->bounce_lock);
    pthread_mutex_destroy(&file->uring_lock);
    pthread_cond_destroy(&file->work);
    if (file->fd >= 0)
        close(file->fd);
    file_lock_release(file);
    free(file->bounce);
    free(file->threads);
    free(file);
}

static int refresh(struct pv_blk_store *store)
{
    off_t size = lseek(((struct file_store *)store)->fd, 0, SEEK_END);
    if (size < 0)
        return -errno;
    if (size == 0 || size % store->geometry.sector_size)
        return -EINVAL;
    store->geometry.sectors = (uint64_t)size / PV_SECTOR_SIZE;
    return 0;
}

static const struct pv_blk_store_ops engines[] = {
    [PV_FILE_SYNC] = {.name = "file (sync)",
                      .submit = submit_at_once,
                      .refresh = refresh,
                      .close = close_store},
    [PV_FILE_THREADS] = {.name = "file (threads)",
                         .submit = file_threads_submit,
                         .refresh = refresh,
                         .close = close_store},
    [PV_FILE_IO_URING] = {.name = "file (io_uring)",
                          .submit = file_uring_submit,
                          .poll = file_uring_poll,
                          .fd = file_uring_fd,
                          .refresh = refresh,
                          .close = close_store},
};

/* Beyond the end a hole changes nothing, and the file system says whether it could make one. */
static bool can_punch_holes(int fd, const struct stat *status)
{
    if (S_ISBLK(status->st_mode))
        return true;
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, status->st_size + 4096,
                     4096) == 0;
}

static bool can_be_a_store(const struct stat *status)
{
    return S_ISREG(status->st_mode) || S_ISBLK(status->st_mode);
}

/* The path is checked before it is opened: opening a FIFO would wait for its other end, and opening
 * a character device may have any effect. Another file may have taken the name in between, or a
 * process may have a lease on the file; O_NONBLOCK keeps the open from waiting for either. A block
 * device is opened without it, since with it a drive opens without a medium. */
int file_open(const char *path, int flags)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return -errno;
    if (!can_be_a_store(&status))
        return S_ISDIR(status.st_mode) ? -EISDIR : -ENOTSUP;
    int fd = open(path, flags | O_CLOEXEC | (S_ISREG(status.st_mode) ? O_NONBLOCK : 0));
    return fd < 0 ? -errno : fd;
}

static int open_file(struct file_store *file, const struct pv_file_store_config *config)
{
    struct stat status;
    struct pv_blk_geometry *geometry = &file->store.geometry;
    uint32_t sector_size = config->sector_size;
    if (sector_size < PV_SECTOR_SIZE || sector_size > 4096 || (sector_size & (sector_size - 1)))
        return -EINVAL;
    int direct = config->direct ? O_DIRECT : 0;
    file->fd = file_open(config->path, (config->read_only ? O_RDONLY : O_RDWR) | direct);
    if (file->fd < 0)
        return file->fd;
    if (fstat(file->fd, &status) < 0)
        return -errno;
    if (!can_be_a_store(&status))
        return -ENOTSUP;
    /* From here on operations wait, in the thread that carries them out. */
    if (fcntl(file->fd, F_SETFL, direct) < 0)
        return -errno;
    /* Keeping the access time costs a tenth of a read. Only the file's owner may leave it. */
    fcntl(file->fd, F_SETFL, O_NOATIME | direct);
    file->direct = config->direct;
    file->is_regular = S_ISREG(status.st_mode);
    *geometry = (struct pv_blk_geometry){.sector_size = sector_size,
                                         .physical_sector_size = sector_size,
                                         .discard_granularity = (uint32_t)status.st_blksize,
                                         .read_only = config->read_only,
                                         .can_flush = true};
    geometry->can_discard = !config->read_only && can_punch_holes(file->fd, &status);
    if (file->is_regular && geometry->discard_granularity > sector_size)
        geometry->physical_sector_size = geometry->discard_granularity;
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

/* A file in memory: no operation on it waits for a device, and io_uring would hand each to a
 * thread. A block device is not one: only its node lies in such a file system. */
static bool is_in_memory(const struct file_store *file)
{
    struct statfs status;
    return file->is_regular && fstatfs(file->fd, &status) == 0 &&
           (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
}

/* File systems on which an operation that would have to wait does return instead, as the kernel
 * promises. On FUSE it does not, and on network file systems that is not known. */
static bool never_waits(const struct file_store *file)
{
    static const long local[] = {BTRFS_SUPER_MAGIC,     EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                                 OVERLAYFS_SUPER_MAGIC, RAMFS_MAGIC,      TMPFS_MAGIC,
                                 XFS_SUPER_MAGIC};
    struct statfs status;
    if (!file->is_regular)
        return true;
    if (fstatfs(file->fd, &status) < 0)
        return false;
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (status.f_type == local[i])
            return true;
    return false;
}

/* A system call uses the caller's memory only until it returns, and so not after the process has
 * ended. The exception: file systems, such as NFS, whose direct I/O does not wait for its end once
 * the caller was killed. */
static bool io_outlives_process(const struct file_store *file, enum pv_file_engine engine)
{
    return engine == PV_FILE_IO_URING || (file->direct && file->is_regular);
}

static int start_uring(struct file_store *file, const char *path)
{
    if (!never_waits(file))
        return -EREMOTE;
    int status = file_lock_take(file, path);
    return status < 0 ? status : file_uring_open(file);
}

static int start_engine(struct file_store *file, const struct pv_file_store_config *config)
{
    enum pv_file_engine engine = config->engine;
    if (engine == PV_FILE_AUTO && (config->threads == 0 || is_in_memory(file)))
        engine = PV_FILE_SYNC;
    int status = 0;
    if (engine == PV_FILE_AUTO || engine == PV_FILE_IO_URING) {
        status = start_uring(file, config->path);
        if (status < 0 && engine == PV_FILE_IO_URING)
            return status;
        engine = status < 0 ? PV_FILE_THREADS : PV_FILE_IO_URING;
    }
    file->store.ops = &engines[engine];
    file->store.io_outlives_process = io_outlives_process(file, engine);
    return engine == PV_FILE_THREADS ? file_threads_start(file) : 0;
}

static struct file_store *make(const struct pv_file_store_config *config)
{
    struct file_store *file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    file->store.ops = &engines[PV_FILE_SYNC];
    file->fd = file->life_fd = file->uring.fd = -1;
    file->most_threads = config->threads;
    io_list_init(&file->queued);
    io_list_init(&file->flushing);
    io_list_init(&file->flush_next);
    pthread_mutex_init(&file->lock, NULL);
    pthread_mutex_init(&file->bounce_lock, NULL);
    pthread_mutex_init(&file->uring_lock, NULL);
    pthread_cond_init(&file->work, NULL);
    return file;
}

struct pv_blk_store *pv_file_store_create(const struct pv_file_store_config *config)
{
    struct file_store *file = make(config);
    if (!file)
        return NULL;
    file->threads = calloc(config->threads, sizeof file->threads[0]);
    int status = file->threads || config->threads == 0 ? open_file(file, config) : -ENOMEM;
    if (status == 0)
        status = try_direct(file);
    if (status == 0)
        status = file_lock_wait_dead_owners(file->fd);
    if (status == 0)
        status = start_engine(file, config);
    if (status < 0) {
        close_store(&file->store);
        errno = -status;
        return NULL;
    }
    return &file->store;
}

enum pv_file_engine pv_file_store_engine(const struct pv_blk_store *store)
{
    return (enum pv_file_engine)(store->ops - engines);
}

int pv_file_store_fd(const struct pv_blk_store *store)
{
    return ((const struct file_store *)store)->fd;
}
