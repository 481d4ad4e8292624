/*
 * Where a block backend's sectors live. A store is three calls; filters are stores that stand on
 * another store. See docs/stores.md.
 */
#ifndef PVDRIVERS_BACKENDS_STORES_STORE_H
#define PVDRIVERS_BACKENDS_STORES_STORE_H

#include "pvdrivers/types.h"

#include <sys/uio.h>

/* cffi: begin */
enum pv_blk_op { PV_BLK_READ, PV_BLK_WRITE, PV_BLK_FLUSH, PV_BLK_DISCARD };

struct pv_blk_io;
struct pv_blk_store;

/* One operation on a store. The submitter owns it and keeps it alive until it is complete. */
struct pv_blk_io {
    enum pv_blk_op op;
    bool secure;         /* DISCARD: the old content must be gone */
    uint64_t sector;     /* 512-byte units */
    uint64_t nr_sectors; /* the iovec's length for READ and WRITE */
    struct iovec *iov;
    int iov_count;
    int status; /* out: 0 or a negative errno */
    /* Called exactly once when the operation is complete, from any thread, possibly before
     * submit returns. */
    void (*complete)(struct pv_blk_io *io);
    void *submitter;        /* for the submitter's use */
    struct pv_blk_io *next; /* for the use of the code that has the operation now */
};

struct pv_blk_geometry {
    uint64_t sectors; /* capacity, 512-byte units */
    uint32_t sector_size, physical_sector_size;
    uint32_t discard_granularity, discard_alignment; /* bytes */
    bool read_only, can_flush, can_discard, can_secure_discard;
    bool no_data; /* keeps and gives no data, so none is moved (iov may be NULL) */
};

struct pv_blk_store_ops {
    const char *name;
    /* Starts `count` operations. Never blocks on another operation's completion. Range and
     * alignment have been checked against the geometry. */
    void (*submit)(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count);
    /* Memory that holds the sectors, so that a read or write is one grant copy; NULL when the
     * store has none (then submit is used). May be absent. */
    void *(*memory)(struct pv_blk_store *store, uint64_t sector, uint64_t nr_sectors);
    /* Tells the store the time (monotonic ns, real or virtual) and lets it do what is due, and
     * complete what has ended; returns when it wants to be told again, UINT64_MAX for never. From
     * any thread. May be absent. */
    uint64_t (*poll)(struct pv_blk_store *store, uint64_t now);
    /* Readable while there are operations for poll to complete. Absent or negative: the store
     * completes them by itself, or when it is time. */
    int (*fd)(struct pv_blk_store *store);
    /* Reads the capacity again after the medium has grown or shrunk; between pumps only. May be
     * absent. */
    int (*refresh)(struct pv_blk_store *store);
    /* Waits for what is in flight and frees the store. */
    void (*close)(struct pv_blk_store *store);
};

struct pv_blk_store {
    const struct pv_blk_store_ops *ops;
    struct pv_blk_geometry geometry;
    uint32_t users; /* queues that serve from it: it must outlive them */
    /* The kernel may go on with an operation, in the memory it was given, after this process has
     * ended. A filter is as the store below. See maps_outlive_process in hypervisor.h. */
    bool io_outlives_process;
};
/* cffi: end */

#endif
