/*
 * The block frontend's data plane: one queue is one ring with its granted pages and its event
 * channel. It never blocks and is driven by one thread: submit, poll, and before sleeping arm.
 *
 * Return values below 0 are negative errnos. -EINVAL is always the caller's mistake. A backend
 * that breaks the protocol makes the queue broken: it touches the ring no more, every later call
 * returns -EPROTO, and what was in flight can be moved to a new queue or given up.
 */
#ifndef PVDRIVERS_FRONTENDS_VBD_BLKFRONT_H
#define PVDRIVERS_FRONTENDS_VBD_BLKFRONT_H

#include "pvdrivers/hypervisor.h"
#include "pvdrivers/ring/blkif.h"

/* cffi: begin */
struct pv_blkfront_queue;

/* One operation of the caller's. The caller owns it and leaves it alone from submit until poll
 * has returned it. */
struct pv_blkfront_io {
    uint8_t operation;   /* BLKIF_OP_READ, WRITE, WRITE_BARRIER, FLUSH_DISKCACHE or DISCARD */
    bool secure;         /* DISCARD: the old content must be gone */
    uint64_t sector;     /* 512-byte units, a multiple of the sector size */
    uint64_t nr_sectors; /* 512-byte units, a multiple of the sector size; 0 for a flush */
    void *data;          /* READ and WRITE: any memory, or a part of pv_blkfront_buffers() */
    int status;          /* out: 0 or a negative errno */
    void *user;          /* free for the caller */
    /* The queue's, while the operation is submitted. */
    uint64_t issued_sectors;
    uint32_t in_flight; /* requests on the ring */
    struct pv_blkfront_io *next, *prev;
};

struct pv_blkfront_config {
    struct pv_hypervisor *hypervisor; /* the guest's own view; its ABI is the ring's */
    struct pv_evtchn *evtchn;         /* may serve several queues; outlives them */
    domid_t backend;
    uint16_t handle;                /* virtual device number's low bits; backends ignore it */
    uint32_t ring_pages;            /* a power of two, in the guest's own page size */
    uint32_t max_indirect_segments; /* the backend's feature-max-indirect-segments; 0: none */
    bool persistent;                /* both ends' feature-persistent */
    bool trusted;                   /* `trusted` key; false: zeroed bounce pages only (XSA-403) */
    uint32_t buffer_pages;          /* pages for pv_blkfront_buffers() */
    uint32_t pool_pages; /* granted pages data is copied through; 0: as many as a full ring needs,
                            at most 1056 (what a Linux backend keeps mapped) */
};

/* What the backend wrote before it went to Connected. */
struct pv_blkfront_features {
    bool flush, barrier, discard, secure_discard;
    bool transient_grants; /* it keeps no grant mapped: end each with its request after all */
    uint32_t sector_size;  /* bytes */
};

enum pv_blkfront_violation {
    PV_BLKFRONT_OK,
    PV_BLKFRONT_RESPONSE_OVERFLOW, /* more responses than there were requests */
    PV_BLKFRONT_BAD_ID,            /* id beyond the ring */
    PV_BLKFRONT_IDLE_ID,           /* id of no request in flight */
    PV_BLKFRONT_WRONG_OPERATION,   /* the response does not echo what was asked */
    PV_BLKFRONT_VIOLATION_COUNT
};

struct pv_blkfront_stats {
    uint64_t rd_req, wr_req, f_req, ds_req, br_req; /* requests put on the ring, by kind */
    uint64_t indirect_req;                          /* of rd_req and wr_req */
    uint64_t rd_sect, wr_sect, ds_sect;             /* 512-byte units */
    uint64_t oo_req;                                /* times a submission waited for a free slot */
    uint64_t responses, errors, not_supported;
    uint64_t bytes_copied; /* between the caller's memory and granted pages */
    uint64_t notifications_sent, notifications_suppressed;
    uint64_t grants_made, grants_ended, grants_leaked;
    uint64_t violations;
};

/* Allocates, initialises and grants the ring; returns NULL with errno set on failure. */
PV_API struct pv_blkfront_queue *pv_blkfront_create(const struct pv_blkfront_config *config);
/* What goes into xenstore: ring-ref*, event-channel. */
PV_API uint32_t pv_blkfront_ring_refs(const struct pv_blkfront_queue *queue,
                                      const grant_ref_t **refs);
PV_API evtchn_port_t pv_blkfront_port(const struct pv_blkfront_queue *queue);
/* Takes over what the backend offers; I/O may be submitted from now on. */
PV_API int pv_blkfront_connect(struct pv_blkfront_queue *queue,
                               const struct pv_blkfront_features *features);
PV_API void pv_blkfront_get_features(const struct pv_blkfront_queue *queue,
                                     struct pv_blkfront_features *features);
/* The queue's own granted memory: `buffer_pages` pages side by side. With persistent grants and
 * a trusted backend, page-aligned data in it is not copied. */
PV_API void *pv_blkfront_buffers(struct pv_blkfront_queue *queue);

/* Takes all `count` operations or, on an error, none. What finds no room waits in order. The
 * requests are published together and the backend is notified at most once. */
PV_API int pv_blkfront_submit(struct pv_blkfront_queue *queue, struct pv_blkfront_io **ios,
                              unsigned count);
/* Takes at most `budget` responses, publishes what waited for room, and puts finished operations
 * into `done` (room for `budget`). Returns how many. */
PV_API int pv_blkfront_poll(struct pv_blkfront_queue *queue, struct pv_blkfront_io **done,
                            unsigned budget);
/* Whether poll would find something: a look at the ring, for a caller that spins. */
PV_API bool pv_blkfront_has_news(const struct pv_blkfront_queue *queue);
/* Asks for a notification at the next response; true when there is something to poll already
 * (do not sleep). */
PV_API bool pv_blkfront_arm(struct pv_blkfront_queue *queue);
/* Operations submitted and not returned by poll. */
PV_API uint32_t pv_blkfront_outstanding(const struct pv_blkfront_queue *queue);

/* No more I/O on this ring: the backend has gone or is going (Closing, suspend, broken). */
PV_API void pv_blkfront_stop(struct pv_blkfront_queue *queue);
/* Moves what a stopped queue has outstanding to a connected one and submits it again from its
 * start, in the order of its first submission. Returns how many. */
PV_API int pv_blkfront_requeue(struct pv_blkfront_queue *stopped, struct pv_blkfront_queue *queue);
/* Lists (at most `max`) operations outstanding, in order, and forgets them: the caller answers
 * for them. The queue must be stopped. Returns how many. */
PV_API int pv_blkfront_give_up(struct pv_blkfront_queue *stopped, struct pv_blkfront_io **ios,
                               unsigned max);
/* Ends every grant and closes the port; a second call does nothing. A page whose grant the
 * backend still uses is leaked, never reused (XSA-396). Outstanding operations stay listed. */
PV_API void pv_blkfront_disconnect(struct pv_blkfront_queue *queue);
PV_API void pv_blkfront_destroy(struct pv_blkfront_queue *queue); /* disconnects; NULL is fine */

PV_API enum pv_blkfront_violation pv_blkfront_broken(const struct pv_blkfront_queue *queue);
PV_API void pv_blkfront_get_stats(const struct pv_blkfront_queue *queue,
                                  struct pv_blkfront_stats *stats);
/* One line about the queue as it is now; returns what snprintf does. */
PV_API int pv_blkfront_describe(const struct pv_blkfront_queue *queue, char *line, size_t size);
/* cffi: end */

#endif
