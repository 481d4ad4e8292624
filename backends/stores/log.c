/* A line for every operation. */
#include "backends/stores/filter.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct log_filter {
    struct filter filter;
    uint64_t count;
    FILE *file;
};

static const char *const names[] = {
    [PV_BLK_READ] = "read",
    [PV_BLK_WRITE] = "write",
    [PV_BLK_FLUSH] = "flush",
    [PV_BLK_DISCARD] = "discard",
};

static void done(struct pv_blk_io *io)
{
    struct filter_io *logged = (struct filter_io *)io;
    struct log_filter *log = (struct log_filter *)logged->filter;
    fprintf(log->file, "%llu %s %llu %llu %d\n", (unsigned long long)logged->number, names[io->op],
            (unsigned long long)io->sector, (unsigned long long)io->nr_sectors, io->status);
    filter_pass_back(io);
}

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct log_filter *log = (struct log_filter *)store;
    for (unsigned i = 0; i < count; i++) {
        struct filter_io *io = filter_take_io(&log->filter, ios[i], ios[i]->nr_sectors);
        if (!io) {
            filter_fail(ios[i], -ENOMEM);
            continue;
        }
        pthread_mutex_lock(&log->filter.lock);
        io->number = log->count++;
        pthread_mutex_unlock(&log->filter.lock);
        io->io.complete = done;
        struct pv_blk_io *below = &io->io;
        log->filter.below->ops->submit(log->filter.below, &below, 1);
    }
}

static void close_store(struct pv_blk_store *store)
{
    FILE *file = ((struct log_filter *)store)->file;
    filter_close(store);
    fclose(file);
}

static const struct pv_blk_store_ops log_ops = {.name = "log",
                                                .submit = submit,
                                                .poll = filter_poll,
                                                .fd = filter_fd,
                                                .refresh = filter_refresh,
                                                .close = close_store};

/* Regular files only: a FIFO's reader could block the thread that completes operations and writes
 * the lines, and that thread serves other devices too. */
static FILE *open_log(const char *path)
{
    struct stat status;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    FILE *file = NULL;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        file = fdopen(fd, "a");
    else
        errno = ENOTSUP;
    if (!file) {
        int error = errno;
        close(fd);
        errno = error;
    }
    return file;
}

struct pv_blk_store *pv_log_filter_create(struct pv_blk_store *below, const char *path)
{
    FILE *file = open_log(path);
    if (!file)
        return NULL;
    struct log_filter *log = filter_create(sizeof *log, below, &log_ops);
    if (!log) {
        fclose(file);
        return NULL;
    }
    setvbuf(file, NULL, _IOLBF, BUFSIZ);
    log->file = file;
    return &log->filter.store;
}
