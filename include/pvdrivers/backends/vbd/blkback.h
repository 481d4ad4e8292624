/*
 * The block backend's data plane: one queue is one frontend ring mapped here, its event channel
 * and the store its requests go to. A queue is driven by one thread at a time: pump until there is
 * nothing to do, and before sleeping arm. Nothing here blocks, nor allocates once created.
 *
 * Return values below 0 are negative errnos. What a frontend does wrong is answered on its ring
 * and counted; only an overrun of the ring is final: the queue is broken, touches the ring no
 * more, every later pump returns -EPROTO, and an eventfd tells the owner to close the device.
 */
#ifndef PVDRIVERS_BACKENDS_VBD_BLKBACK_H
#define PVDRIVERS_BACKENDS_VBD_BLKBACK_H

#include "pvdrivers/backends/stores/store.h"
#include "pvdrivers/hypervisor.h"
#include "pvdrivers/poll/pollable.h"
#include "pvdrivers/ring/blkif.h"

/* cffi: begin */
struct pv_blkback_queue;

#define PV_BLKBACK_MAX_RING_PAGES 16
#define PV_BLKBACK_MAX_INDIRECT_SEGMENTS 4096
#define PV_BLKBACK_PERSISTENT_GRANTS 1056 /* Linux: 3 * 11 * 32 a ring */
#define PV_BLKBACK_BUFFER_PAGES 1024      /* Linux: max_buffer_pages */

struct pv_blkback_config {
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *evtchn; /* may serve several queues; outlives them */
    domid_t frontend;
    enum pv_abi abi; /* the frontend's: gives layout and page size of the ring and its data */
    const grant_ref_t *ring_refs;
    uint32_t ring_pages;            /* a power of two, 1 to PV_BLKBACK_MAX_RING_PAGES */
    evtchn_port_t remote_port;      /* the frontend's `event-channel` */
    struct pv_blk_store *store;     /* outlives the queue */
    bool read_only;                 /* `mode` r; the store may be read-only by itself */
    bool flush, barrier;            /* feature-flush-cache, feature-barrier */
    bool discard, secure_discard;   /* feature-discard, discard-secure */
    bool persistent;                /* both ends' feature-persistent */
    uint32_t max_indirect_segments; /* as advertised, 0 (none) to 4096 */
    uint32_t persistent_grants;     /* 0: PV_BLKBACK_PERSISTENT_GRANTS */
    uint32_t buffer_pages;          /* for data on its way to the store; 0: the default above */
    /* Where to log what is in flight: pv_blkback_inflight_size bytes, aligned to 128. All zero, or
     * as an earlier queue of this connection left them, however it ended: what that had taken and
     * not answered is then begun again before anything else is taken. NULL: memory of the queue's
     * own. */
    void *inflight;
    size_t inflight_size; /* bytes */
    /* An eventfd, written to when a store operation has failed or the ring has broken, once until
     * pv_blkback_take_faults; 0: faults are not reported. */
    int fault_fd;
};

/* Why a request was not carried out; the first eight are the frontend's faults. */
enum pv_blkback_error {
    PV_BLKBACK_BAD_OPERATION, /* unknown or not advertised: EOPNOTSUPP; all others: ERROR */
    PV_BLKBACK_BAD_INDIRECT_OPERATION,
    PV_BLKBACK_BAD_SEGMENT_COUNT,
    PV_BLKBACK_BAD_SEGMENT, /* first or last sector */
    PV_BLKBACK_READ_ONLY,
    PV_BLKBACK_OUT_OF_RANGE,
    PV_BLKBACK_UNALIGNED,
    PV_BLKBACK_BAD_GRANT, /* a map or a copy failed */
    PV_BLKBACK_STORE_ERROR,
    PV_BLKBACK_ERROR_COUNT
};

/* The first seven as Linux names them in sysfs. */
struct pv_blkback_stats {
    uint64_t oo_req; /* times a request waited for buffers */
    uint64_t rd_req, wr_req, f_req, ds_req;
    uint64_t rd_sect, wr_sect; /* 512-byte units */
    uint64_t requests, responses;
    uint64_t resumed; /* of these requests, taken by an earlier queue and left unanswered */
    uint64_t batches; /* times responses were published */
    uint64_t notifications_sent, notifications_suppressed;
    uint64_t grant_maps, grant_unmaps;
    uint64_t grant_copies, grant_copy_calls;
    uint64_t bytes_copied;
    uint64_t ring_overruns;
    uint64_t errors[PV_BLKBACK_ERROR_COUNT]; /* by enum pv_blkback_error */
};

/* The last operation that the store has failed. */
struct pv_blkback_store_error {
    uint64_t count;              /* of failed operations; 0: there was none, nor anything below */
    uint64_t sector, nr_sectors; /* 512-byte units */
    enum pv_blk_op op;
    int error; /* errno */
};

/* Bytes of memory for a queue's in-flight log. */
PV_API size_t pv_blkback_inflight_size(enum pv_abi abi, uint32_t ring_pages);

/* Maps the ring, binds the event channel and takes up the ring where its last backend left it.
 * NULL with errno set on failure: EINVAL is the caller's mistake, EIO a ring that is overrun
 * already, ESTALE an in-flight log that is not this connection's or contradicts its ring, EPROTO an
 * ABI with other pages than the frontend's, anything else what the hypervisor said. */
PV_API struct pv_blkback_queue *pv_blkback_create(const struct pv_blkback_config *config);
/* Whether such a queue would go on, with nothing lost, where an earlier backend stopped: 0, -EBUSY
 * (there is no log, and the frontend waits for answers), or a negative errno as above. Changes
 * nothing, and needs no event channel handle. */
PV_API int pv_blkback_resumable(const struct pv_blkback_config *config);
/* For a poll group, until disconnect; its fd is readable when an armed queue has finished store
 * operations. */
PV_API struct pv_pollable *pv_blkback_pollable(struct pv_blkback_queue *queue);
PV_API evtchn_port_t pv_blkback_port(const struct pv_blkback_queue *queue);

/* Takes at most `budget` requests, or 4 MiB of them, moves what the store has finished, publishes
 * the answers and notifies at most once a batch. `now` is monotonic time, ns, and may be virtual.
 * Returns how many requests and responses it moved, at least 1 when it gave the store something to
 * do (0: nothing to do now), or -EPROTO when the ring is broken. */
PV_API int pv_blkback_pump(struct pv_blkback_queue *queue, uint32_t budget, uint64_t now);
/* Before sleeping: asks to be woken at the next request or finished store operation; true when
 * there is something to pump already (do not sleep). */
PV_API bool pv_blkback_arm(struct pv_blkback_queue *queue);
/* When the store wants the queue pumped though nothing else happens, ns; UINT64_MAX: never. */
PV_API uint64_t pv_blkback_deadline(const struct pv_blkback_queue *queue);

/* Takes no more requests; those taken are still answered. */
PV_API void pv_blkback_stop(struct pv_blkback_queue *queue);
/* Pumps a stopped queue; true when no store operation is in flight any more. */
PV_API bool pv_blkback_quiesce(struct pv_blkback_queue *queue, uint64_t now);
/* Unmaps everything and unbinds the port; a second call does nothing. -EBUSY while a store
 * operation is in flight. */
PV_API int pv_blkback_disconnect(struct pv_blkback_queue *queue);
/* Disconnects and frees; NULL is fine. -EBUSY as above, the queue then still stands. */
PV_API int pv_blkback_destroy(struct pv_blkback_queue *queue);

PV_API bool pv_blkback_broken(const struct pv_blkback_queue *queue);
PV_API uint32_t pv_blkback_in_flight(const struct pv_blkback_queue *queue);
/* From any thread: each counter is whole, but they need not be of one moment. */
PV_API void pv_blkback_get_stats(const struct pv_blkback_queue *queue,
                                 struct pv_blkback_stats *stats);
/* What the store failed last, and asks to be told on fault_fd of what comes next. From any
 * thread.
 */
PV_API void pv_blkback_take_faults(struct pv_blkback_queue *queue,
                                   struct pv_blkback_store_error *last);
/* One line about the queue as it is now; returns what snprintf does. */
PV_API int pv_blkback_describe(const struct pv_blkback_queue *queue, char *line, size_t size);
/* cffi: end */

#endif
