/*
 * The inside of a block backend queue. A request goes through a short plan of store operations,
 * and each of these through the stages its data needs:
 *
 *   take -> [fetch descriptors] -> check -> for each step of the plan:
 *       store with memory:  copy between guest page and store
 *       WRITE:              copy into buffers -> store        (or straight from mapped pages)
 *       READ:               store -> copy out of buffers      (or straight into mapped pages)
 *       FLUSH, DISCARD:     store
 *   -> response
 *
 * Copies and submissions are staged and carried out for all requests of a batch together.
 */
#ifndef BACKENDS_VBD_BLKBACK_PRIVATE_H
#define BACKENDS_VBD_BLKBACK_PRIVATE_H

#include "backends/grant_cache.h"
#include "pvdrivers/backends/inflight.h"
#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/ring/ring.h"

#include <pthread.h>

#define BLKBACK_COPY_BATCH 128
#define BLKBACK_BATCH 64             /* requests between two publications */
#define BLKBACK_MOST_BYTES (4 << 20) /* of data a pump begins to move, and one request more */
#define BLKBACK_MAX_STEPS 3
#define BLKBACK_EXPIRE_INTERVAL 1000000000u /* ns between looks for unused persistent grants */

enum blkback_stage { BLKBACK_FETCH, BLKBACK_LOAD, BLKBACK_UNLOAD, BLKBACK_MOVE };

struct blkback_request {
    struct pv_blk_io io; /* first: the store's pointer is ours */
    struct pv_blkback_queue *queue;
    struct blkback_request *next;    /* on the free list or the queue's list of its stage */
    struct pv_inflight_entry *entry; /* its place in the log, and there the private copy */
    struct pv_blkif_request ring;    /* that copy, decoded */
    enum blkback_stage stage;
    uint8_t operation; /* the indirect one when there is one; what the response echoes */
    enum pv_blk_op plan[BLKBACK_MAX_STEPS];
    uint8_t steps, step;
    bool copy_failed;
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

    struct pv_grant_copy *copies; /* BLKBACK_COPY_BATCH of them */
    struct blkback_request **copy_owner;
    uint32_t copy_count;
    struct pv_blk_io **submissions;
    uint32_t submission_count;
    bool submitted; /* by this pump */

    uint8_t *buffers; /* pages for data between grant copies and the store */
    size_t buffers_size;
    void **free_buffers; /* NULL: one that has never been used */
    uint32_t free_buffer_count, buffers_made;
    struct grant_cache cache;

    /* Finished store operations: by this thread inside submit, or by any other. */
    struct pv_blk_io *finished_here, **finished_here_tail;
    pthread_mutex_t lock; /* for the rest */
    struct pv_blk_io *finished, **finished_tail;
    uint32_t finished_count; /* also read without the lock: something to take? */
    bool armed;              /* a finished operation must write to the eventfd */
    bool slept;              /* the pump's own: it armed since it last looked at the eventfd */
    int eventfd;             /* the pollable's fd is readable when this or the store's is */

    int trouble_fd;                           /* 0: nobody wants to know */
    bool trouble_told;                        /* and not asked about yet; under the lock */
    struct pv_blkback_store_error last_error; /* under the lock */

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
    return (segment->last_sect - segment->first_sect + 1u) * 512u;
}

/* Descriptors per page of them; they are laid out as struct pv_blkif_segment on every ABI. */
static inline uint32_t blkback_descriptors_per_page(const struct pv_blkback_queue *queue)
{
    _Static_assert(sizeof(struct pv_blkif_segment) == 8, "the ABI's descriptor");
    return queue->page_size / sizeof(struct pv_blkif_segment);
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
void blkback_stage_copy(struct pv_blkback_queue *queue, struct blkback_request *request,
                        const struct pv_grant_copy *copy);
void blkback_fetch_descriptors(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_start_data(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_unload(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_run_copies(struct pv_blkback_queue *queue);
void blkback_release_data(struct pv_blkback_queue *queue, struct blkback_request *request);

/* mapped.c: the same through pages that stay mapped. */
/* As grant_cache_acquire when they cannot be. */
int blkback_read_descriptors(struct pv_blkback_queue *queue, struct blkback_request *request);
/* Lets the store have the pages themselves. */
void blkback_gather_mapped(struct blkback_request *request);
/* Between the gathered pages and the store's memory. */
void blkback_copy_mapped(struct pv_blkback_queue *queue, const struct blkback_request *request,
                         uint8_t *memory);
/* Between the pages and the request's buffers: the guest's data into them, or out of them. */
void blkback_bounce(struct pv_blkback_queue *queue, const struct blkback_request *request);

/* plan.c: a request's way through its steps. */
void blkback_begin(struct pv_blkback_queue *queue, struct blkback_request *request);
/* Once its segments are known. */
void blkback_check_and_start(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_advance(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_copies_done(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_store_done(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_step_done(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_submit(struct pv_blkback_queue *queue, struct blkback_request *request);
void blkback_fail(struct pv_blkback_queue *queue, struct blkback_request *request,
                  enum pv_blkback_error error);

/* queue.c: one of those never used; there must be one. */
struct blkback_request *blkback_make_request(struct pv_blkback_queue *queue);
/* A free buffer; there must be one. */
static inline void *blkback_take_buffer(struct pv_blkback_queue *queue)
{
    void *buffer = queue->free_buffers[--queue->free_buffer_count];
    return buffer ? buffer : queue->buffers + (size_t)queue->buffers_made++ * queue->page_size;
}

/* trouble.c: what somebody should be told of. */
/* Not part of the way that requests go. */
__attribute__((cold)) void blkback_note_store_error(struct pv_blkback_queue *queue,
                                                    const struct pv_blk_io *io);
__attribute__((cold)) void blkback_tell_trouble(struct pv_blkback_queue *queue);

/* completion.c: store operations coming back. */
extern const struct pv_pollable_ops blkback_pollable_ops;
void blkback_complete(struct pv_blk_io *io);
void blkback_submit_staged(struct pv_blkback_queue *queue);
void blkback_poll_store(struct pv_blkback_queue *queue);
struct pv_blk_io *blkback_take_finished(struct pv_blkback_queue *queue);

#endif
