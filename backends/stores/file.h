/* A file store's parts: it is opened in file.c, and carries operations out by one of its engines.
 */
#ifndef BACKENDS_STORES_FILE_H
#define BACKENDS_STORES_FILE_H

#include "backends/stores/uring.h"
#include "pvdrivers/backends/stores/stores.h"

#include <errno.h>
#include <pthread.h>

#define BOUNCE_SIZE (256u * 1024u)

/* Operations in order, linked by `next`. */
struct io_list {
    struct pv_blk_io *head, **tail;
};

struct file_store {
    struct pv_blk_store store; /* first */
    int fd;
    bool direct, is_regular;
    pthread_mutex_t bounce_lock;
    uint8_t *bounce; /* BOUNCE_SIZE bytes for O_DIRECT transfers of unaligned memory */

    pthread_mutex_t lock; /* for what follows */
    int flush_error;      /* once a flush has failed, what it covered may be lost: all later fail */
    pthread_cond_t work;
    struct io_list queued;
    bool closing;
    unsigned most_threads, thread_count;
    pthread_t *threads;

    pthread_mutex_t uring_lock; /* for what follows */
    struct uring uring;
    uint32_t in_flight;
    struct io_list flushing, flush_next; /* covered by the flush in flight; by the one after it */

    int life_fd; /* holds the lock that says this process lives */
};

static inline void io_list_init(struct io_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

static inline void io_list_add(struct io_list *list, struct pv_blk_io *io)
{
    io->next = NULL;
    *list->tail = io;
    list->tail = &io->next;
}

static inline struct pv_blk_io *io_list_take(struct io_list *list)
{
    struct pv_blk_io *io = list->head;
    if (io) {
        list->head = io->next;
        if (!list->head)
            list->tail = &list->head;
    }
    return io;
}

/* file.c: opens a regular file or a block device, and waits for nothing but the file system. A file
 * descriptor, non-blocking if it is a file's, or a negative errno. */
int file_open(const char *path, int flags);

/* file_calls.c: operations by system calls that return when all is done. */
void file_carry_out(struct file_store *file, struct pv_blk_io *io);
bool file_fits_direct(const struct file_store *file, const struct pv_blk_io *io);
/* The flush's status, or that of the first that failed. */
int file_flushed(struct file_store *file, int status);

/* file_threads.c: a pool that carries operations out one by one. */
void file_threads_submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count);
int file_threads_start(struct file_store *file);
void file_threads_stop(struct file_store *file);

/* page_cache.c: whether the page cache has what is to be read; false too where the kernel cannot
 * tell. */
bool file_is_cached(const struct file_store *file, const struct pv_blk_io *io);

/* file_uring.c: io_uring, and the pool for what it cannot do. */
int file_uring_open(struct file_store *file);
void file_uring_submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count);
uint64_t file_uring_poll(struct pv_blk_store *store, uint64_t now);
int file_uring_fd(struct pv_blk_store *store);
void file_uring_close(struct file_store *file); /* waits for what is in flight */

/* file_lock.c: operations that outlive the process that began them. */
/* Waits for those of processes that have ended; -EBUSY when that takes too long. */
int file_lock_wait_dead_owners(int fd);
/* Makes ours visible to such a wait. A negative errno where the file system has no such locks. */
int file_lock_take(struct file_store *file, const char *path);
void file_lock_release(struct file_store *file);

#endif
