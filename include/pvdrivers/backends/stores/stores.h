/*
 * The stores and filters that come with the project. Each constructor returns NULL with errno set
 * on failure. A filter stands on another store, which closing the filter closes too. Everything
 * random comes from a seed: the same operations in the same order have the same outcome.
 */
#ifndef PVDRIVERS_BACKENDS_STORES_STORES_H
#define PVDRIVERS_BACKENDS_STORES_STORES_H

#include "pvdrivers/backends/stores/store.h"

/* cffi: begin */

/* Writes go nowhere. Reads give zeros, or with `no_data` leave the reader's memory as it is. */
PV_API struct pv_blk_store *pv_null_store_create(uint64_t sectors, uint32_t sector_size,
                                                 bool no_data);
/* This process's memory, zeros at first. */
PV_API struct pv_blk_store *pv_ram_store_create(uint64_t sectors, uint32_t sector_size);

enum pv_file_engine {
    PV_FILE_AUTO,     /* SYNC without threads or for a file in memory (tmpfs); else IO_URING where
                       * the kernel and the file system let it be; else THREADS */
    PV_FILE_SYNC,     /* submit does the I/O, which deterministic runs need */
    PV_FILE_THREADS,  /* a pool does */
    PV_FILE_IO_URING, /* the kernel does; `threads` only what it cannot */
};

struct pv_file_store_config {
    const char *path;     /* a regular file or a block device */
    uint32_t sector_size; /* bytes, a power of two from 512 to 4096; the size is a multiple */
    uint32_t threads;     /* at most */
    bool direct;          /* O_DIRECT */
    bool read_only;
    enum pv_file_engine engine;
};
/* Flush is fdatasync, discard punches holes; secure discard is refused. First waits for operations
 * that a process which has ended left in flight. errno EINVAL: a bad size; ENOTSUP: neither file
 * nor block device; EBUSY: those operations did not end; with engine IO_URING also why it cannot
 * be: ENOSYS, EPERM, EREMOTE for a file system that may wait ... */
PV_API struct pv_blk_store *pv_file_store_create(const struct pv_file_store_config *config);
/* The one in use. */
PV_API enum pv_file_engine pv_file_store_engine(const struct pv_blk_store *store);
/* To ask the file system something; the store closes it. */
PV_API int pv_file_store_fd(const struct pv_blk_store *store);

/* A store whose operations the creator carries out: submitted ones queue up until taken. The
 * creator may give their memory to the kernel, so io_outlives_process is true; a creator whose own
 * code alone touches it may clear that before a queue or a filter uses the store. */
PV_API struct pv_blk_store *pv_external_store_create(const struct pv_blk_geometry *geometry);
/* Readable while operations wait to be taken. */
PV_API int pv_external_store_fd(struct pv_blk_store *store);
/* Takes at most `max` operations in order of submission; each must be finished. */
PV_API unsigned pv_external_store_take(struct pv_blk_store *store, struct pv_blk_io **ios,
                                       unsigned max);
/* Finishes operations taken, whose status has been set; in any order and from any thread. */
PV_API void pv_external_store_finish(struct pv_blk_store *store, struct pv_blk_io **ios,
                                     unsigned count);

/* Operations taken together, as arrays instead of linked structs: place i of each array belongs to
 * the same operation. */
#define PV_EXTERNAL_BATCH 256
#define PV_EXTERNAL_BATCH_BYTES 4194304
struct pv_external_batch {
    struct pv_blk_io *ios[256];
    uint64_t sectors[256], counts[256]; /* 512-byte units */
    uint64_t offsets[257];   /* of the data in the caller's memory; the next one's is the end */
    int32_t statuses[256];   /* -EINPROGRESS at first; the caller's to set: 0 or a negative errno */
    uint8_t operations[256]; /* enum pv_blk_op */
    uint8_t secure[256];
    uint32_t count;
};
/* Takes as above, with no more data than PV_EXTERNAL_BATCH_BYTES unless one operation alone has. */
PV_API unsigned pv_external_batch_take(struct pv_blk_store *store, struct pv_external_batch *batch);
/* Puts the WRITEs' data where the offsets say, and zeros where the READs' will be expected. The
 * caller's memory, here and below, has room for offsets[count] bytes. */
PV_API void pv_external_batch_load(const struct pv_external_batch *batch, uint8_t *data);
/* Sets 0 for those still at -EINPROGRESS. */
PV_API void pv_external_batch_done(struct pv_external_batch *batch);
/* The place of the first whose status is neither 0 nor a negative errno; -1: all have one. */
PV_API int pv_external_batch_incomplete(const struct pv_external_batch *batch);
/* Gives the successful READs their data and finishes all; those without a status get EIO. */
PV_API void pv_external_batch_finish(struct pv_blk_store *store, struct pv_external_batch *batch,
                                     const uint8_t *data);

/* Which operations a faulty filter strikes. */
struct pv_blk_fault {
    uint64_t seed;
    double probability;  /* 0 to 1 */
    uint32_t operations; /* a bit for each enum pv_blk_op: 1 << PV_BLK_READ ... */
    uint64_t after;      /* this number of those operations pass first */
    int error;           /* the errno the submitter sees, positive */
};
/* Fails operations without carrying them out. */
PV_API struct pv_blk_store *pv_error_filter_create(struct pv_blk_store *below,
                                                   const struct pv_blk_fault *fault);
/* Carries out a prefix of the sectors of READ and WRITE, then fails. */
PV_API struct pv_blk_store *pv_short_filter_create(struct pv_blk_store *below,
                                                   const struct pv_blk_fault *fault);
/* What a power cut leaves: a prefix of a WRITE's sectors is on the store, the submitter sees
 * EIO. The fault's operations and error do not count. */
PV_API struct pv_blk_store *pv_torn_filter_create(struct pv_blk_store *below,
                                                  const struct pv_blk_fault *fault);
/* Holds every operation back for `delay` ns and a random part of `jitter` ns more; completion
 * order follows. */
PV_API struct pv_blk_store *pv_delay_filter_create(struct pv_blk_store *below, uint64_t seed,
                                                   uint64_t delay, uint64_t jitter,
                                                   uint32_t operations);
/* Lets `bytes_per_second` (not 0) of READ and WRITE through, in order, and at most `burst` bytes at
 * once after a pause. */
PV_API struct pv_blk_store *pv_rate_filter_create(struct pv_blk_store *below,
                                                  uint64_t bytes_per_second, uint64_t burst);
/* Appends a line to `path` for every operation when it completes: its number in order of
 * submission, operation, sector, sectors, status. The path is a regular file or becomes one (errno
 * ENOTSUP: it is neither); lines are written by the thread that completes. */
PV_API struct pv_blk_store *pv_log_filter_create(struct pv_blk_store *below, const char *path);

/* Carries out one operation and waits for it, in real time (for tests and tools). Returns 0 or
 * the operation's negative errno; -EINVAL when out of range or unaligned. */
PV_API int pv_blk_store_transfer(struct pv_blk_store *store, enum pv_blk_op op, uint64_t sector,
                                 uint64_t nr_sectors, void *data, bool secure);
/* Reads the capacity again; 0 or a negative errno. Not while a pump runs on the store. */
PV_API int pv_blk_store_refresh(struct pv_blk_store *store);
PV_API void pv_blk_store_close(struct pv_blk_store *store); /* NULL is fine */
/* cffi: end */

#endif
