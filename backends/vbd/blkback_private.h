/*
 * The inside of a block backend queue. A request needs a few store operations in order, and the
 * path of each depends on its data:
 *
 *   take -> [fetch descriptors] -> check -> for each operation:
 *       store with memory:  copy between guest page and store
 *       WRITE:              copy into buffers -> store        (or straight from mapped pages)
 *       READ:               store -> copy out of buffers      (or straight into mapped pages)
 *       FLUSH, DISCARD:     store
 *   -> response
 *
 * Copies and submissions are staged and carried out for all requests of a batch together. Files
 * call only those below them:
 *
 *   queue.c                        creates a queue and ends it
 *     resume.c                     takes up an earlier queue's in-flight log
 *   pump.c                         takes requests, carries out what is staged, publishes answers
 *     request.c                    advances a request from one wait to the next
 *       check.c                    what a request may be
 *       indirect.c  data.c         move descriptors and data, and return what comes next
 *         mapped.c                 the same through pages that stay mapped
 *     completion.c                 gives operations to the store and gets them back
 *   faults.c                       tells the queue's owner of what went wrong
 */
#ifndef BACKENDS_VBD_BLKBACK_PRIVATE_H
#define BACKENDS_VBD_BLKBACK_PRIVATE_H

#include "backends/copy_batch.h"
#include "backends/grant_cache.h"
#include "backends/stores/completions.h"
#include "pvdrivers/backends/inflight.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/ring/ring.h"

#define BLKBACK_BATCH 64            /* requests between two publications */
#define BLKBACK_MAX_BYTES (4 << 20) /* of data a pump begins to move, and one request more */
#define BLKBACK_MAX_OPERATIONS 3    /* of the store, for one request */
#define BLKBACK_EXPIRE_INTERVAL 1000000000u /* ns between looks for unused persistent grants */

/* What comes next of a request. */
enum blkback_next {
    BLKBACK_CHECK,          /* its segments are known: check it and begin its operations */
    BLKBACK_SUBMIT,         /* give the operation to the store */
    BLKBACK_OPERATION_DONE, /* begin the next operation, or answer */
    BLKBACK_WAIT_COPIES,    /* once its copies are carried out: request->after_copies */
    BLKBACK_WAIT_BUFFERS,   /* once there are more free buffers: start the data again */
    BLKBACK_BAD_GRANT,      /* answer with an error */
    BLKBACK_NOTHING         /* it is answered, or is a barrier and waits for all others */
};

struct blkback_request {
    struct pv_blk_io io; /* first: the store's pointer is ours */
    struct pv_blkback_queue *queue;
    struct blkback_request *next;    /* on the free list or one of the queue's lists */
    struct pv_inflight_entry *entry; /* its place in the log, and there the private copy */
    struct pv_blkif_request ring;    /* that copy, decoded */
    enum blkback_next after_copies;
    uint8_t operation; /* the indirect one when there is one; what the response echoes */
    bool copy_failed;
    enum pv_blk_op operations[BLKBACK_MAX_OPERATIONS];
    uint8_t nr_operations, next_operation;
    uint32_t nr_segments, nr_buffers, nr_grants; /* buffers and grants held */
    uint64_t nr_sectors;
    const struct pv_blkif_segment *seg; /* in `ring` or `indirect` */
    struct pv_blkif_segment *indirect;  /* room for the most segments */
    struct iovec *iov;
    struct cached_grant **grants;
};

struct request_list {
    struct blkback_request *head, **tail;
};

struct pv_blkback_queue {
    struct pv_pollable pollable; /* first: the poll group's pointer is ours */
    struct pv_back_ring ring;
    struct pv_blk_store *store;
    domid_t frontend;
    enum pv_abi abi;
    uint32_t page_size; /* the frontend's, bytes */
    uint32_t ring_pages;
    bool read_only, flush, barrier, discard, secure_discard, persistent;
    bool bounces; /* the store is given none of the pages that stay mapped */
    bool bound, stopped, broken;
    uint32_t max_indirect_segments, max_segments;
    uint32_t published; /* rsp_prod as the frontend last saw it */
    uint64_t now, deadline, last_expiry;
    int64_t bytes_left; /* of what this pump may move */

    struct pv_inflight_log *log;
    size_t own_log_size;             /* bytes; 0 when the log is the caller's */
    struct blkback_request *resumed; /* taken by an earlier backend, to be begun before all else */
    uint32_t resumed_count;

    struct blkback_request *requests, *free;
    uint32_t made;      /* of the requests; the others have never been used */
    size_t tables_size; /* bytes, of the requests and what follows them in memory */
    struct pv_blkif_segment *all_segments;
    struct iovec *all_iov;
    struct cached_grant **all_grants;
    struct request_list answered;            /* free once the response is published */
    struct request_list copying;             /* copies staged */
    struct request_list waiting;             /* for buffers */
    struct blkback_request *barrier_request; /* nothing more is taken until it is answered */
    bool barrier_started;

    struct copy_batch copies;
    struct pv_blk_io **submissions;
    uint32_t submission_count;
    bool submitted; /* by this pump */

    uint8_t *buffers; /* pages for data between grant copies and the store */
    size_t buffers_size;
    void **free_buffers; /* NULL: one that has never been used */
    uint32_t free_buffer_count, buffers_made;
    struct grant_cache cache;

    struct completions completions; /* the pollable's fd watches theirs and the store's */

    int fault_fd;                             /* 0: faults are not reported */
    bool fault_reported;                      /* until the owner asks; under completions.lock */
    struct pv_blkback_store_error last_error; /* under completions.lock */

    struct pv_blkback_stats stats;
};

static inline void request_list_init(struct request_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

static inline void request_list_add(struct request_list *list, struct blkback_request *request)
{
    request->next = NULL;
    *list->tail = request;
    list->tail = &request->next;
}

static inline struct blkback_request *request_list_take_all(struct request_list *list)
{
    struct blkback_request *head = list->head;
    request_list_init(list);
    return head;
}

static inline uint32_t blkback_segment_bytes(const struct pv_blkif_segment *segment)
{
    return (segment->last_sect - segment->first_sect + 1u) * PV_SECTOR_SIZE;
}

/* check.c: what a request may be. Each returns BLKBACK_OK or an enum pv_blkback_error. */
#define BLKBACK_OK (-1)
int blkback_check_operation(const struct pv_blkback_queue *queue,
                            const struct pv_blkif_request *request);
int blkback_check_count(const struct pv_blkback_queue *queue,
                        const struct pv_blkif_request *request);
int blkback_check_segments(const struct pv_blkback_queue *queue, struct blkback_request *request);
int blkback_check_range(const struct pv_blkback_queue *queue,
                        const struct blkback_request *request);

/* data.c: data between the guest's pages and the store. */
enum blkback_next blkback_start_data(struct pv_blkback_queue *queue,
                                     struct blkback_request *request);
/* The store has carried out the operation. */
enum blkback_next blkback_finish_data(struct pv_blkback_queue *queue,
                                      struct blkback_request *request);
void blkback_release_data(struct pv_blkback_queue *queue, struct blkback_request *request);

/* indirect.c */
enum blkback_next blkback_fetch_descriptors(struct pv_blkback_queue *queue,
                                            struct blkback_request *request);

/* mapped.c: data through pages that stay mapped. */
/* Lets the store have the pages themselves. */
void blkback_gather_mapped(struct blkback_request *request);
/* Between the gathered pages and the store's memory. */
void blkback_copy_mapped(struct pv_blkback_queue *queue, const struct blkback_request *request,
                         uint8_t *memory);
/* Between the pages and the request's buffers: the guest's data into them, or out of them. */
void blkback_bounce(struct pv_blkback_queue *queue, const struct blkback_request *request);

/* request.c */
/* One of those never used; there must be one. */
struct blkback_request *blkback_make_request(struct pv_blkback_queue *queue);
/* Each advances a request until it is answered or has to wait. */
void blkback_begin(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_copies_done(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_buffers_freed(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_store_done(struct pv_blkback_queue *queue, struct blkback_request *request);
/* No other request is in flight. */
void blkback_start_barrier(struct pv_blkback_queue *queue);

/* resume.c: the in-flight log that an earlier queue of the connection may have left. */
/* 0, or a negative errno as pv_inflight_check. */
int blkback_check_log(const struct pv_blkback_queue *queue, const struct pv_blkback_config *config);
int blkback_attach_log(struct pv_blkback_queue *queue, const struct pv_blkback_config *config);

/* A free buffer; there must be one. */
static inline void *blkback_take_buffer(struct pv_blkback_queue *queue)
{
    void *buffer = queue->free_buffers[--queue->free_buffer_count];
    return buffer ? buffer : queue->buffers + (size_t)queue->buffers_made++ * queue->page_size;
}

/* faults.c: cold, so that they stay off the path of requests that succeed. */
__attribute__((cold)) void blkback_note_store_error(struct pv_blkback_queue *queue,
                                                    const struct pv_blk_io *io);
__attribute__((cold)) void blkback_report_fault(struct pv_blkback_queue *queue);

/* completion.c: store operations on their way out and back. */
extern const struct pv_pollable_ops blkback_pollable_ops;
void blkback_complete(struct pv_blk_io *io);
void blkback_submit_staged(struct pv_blkback_queue *queue);
void blkback_poll_store(struct pv_blkback_queue *queue);

#endif
