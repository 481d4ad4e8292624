/*
 * The inside of a SCSI backend queue. A request's way:
 *
 *   take -> check -> [fetch the list of segments] -> check segments -> which way?
 *       direct, store with memory:  copy between guest page and store
 *       direct, WRITE:              copy into its buffer -> store
 *       direct, READ:               store -> copy out of its buffer
 *       emulated:                   [copy into its buffer] -> unit -> [copy out of its buffer]
 *   -> response
 *
 * Every request has a buffer of its own for all its data, of which only what is used is there.
 * Grant copies and submissions are staged and carried out for all requests of a batch together.
 * Files call only those below them:
 *
 *   queue.c                        creates a queue and ends it
 *     resume.c                     takes up an earlier queue's in-flight log
 *   pump.c                         takes requests, carries out what is staged, publishes answers
 *     request.c                    advances a request from one wait to the next
 *       check.c                    what a request may be
 *       segments.c                 fetches a list of segments, moves data between pages and memory
 *       direct.c                   which CDBs the store carries out, and how
 *       task_management.c          ABORT and RESET
 *     completion.c                 gives operations to stores and units and gets them back
 *   luns.c                         what is where
 */
#ifndef BACKENDS_SCSI_SCSIBACK_PRIVATE_H
#define BACKENDS_SCSI_SCSIBACK_PRIVATE_H

#include "backends/copy_batch.h"
#include "backends/stores/completions.h"
#include "pvdrivers/backends/inflight.h"
#include "pvdrivers/backends/scsi/scsiback.h"
#include "pvdrivers/ring/abi_vscsiif.h"
#include "pvdrivers/ring/ring.h"

#define SCSIBACK_BATCH 16            /* requests between two publications */
#define SCSIBACK_MAX_BYTES (4 << 20) /* of data a pump begins to move, and one request more */

/* Words `rslt` of requests that no unit has answered. */
#define SCSIBACK_NO_CONNECT (1 << 16)
#define SCSIBACK_ERROR (7 << 16)
#define SCSIBACK_ABORTED (5 << 16 | 0x40) /* host byte ABORT, status TASK ABORTED */

/* What comes next of a request. */
enum scsiback_next {
    SCSIBACK_CHECK_SEGMENTS, /* they are known */
    SCSIBACK_CHOOSE,         /* its data is described: direct or emulated? */
    SCSIBACK_SUBMIT,         /* give the operation to the store */
    SCSIBACK_EMULATE,        /* give the command to the unit: its data are here */
    SCSIBACK_DIRECT_DONE,    /* its data are where they belong: flush, or answer */
    SCSIBACK_ANSWER,         /* by command.result */
    SCSIBACK_WAIT_COPIES,    /* once its copies are carried out: request->after_copies */
    SCSIBACK_NOTHING         /* it is answered, or waits for another request */
};

struct lun_table;

struct scsiback_request {
    struct pv_blk_io io; /* first: the store's pointer is ours */
    struct pv_scsi_command command;
    struct pv_scsiback_queue *queue;
    struct scsiback_request *next;      /* on the free list or one of the queue's lists */
    struct pv_inflight_entry *entry;    /* its place in the log */
    const struct vscsiif_request *ring; /* the private copy, there; as far as the request uses it */
    struct lun_table *luns;             /* as they were when it began */
    struct pv_scsi_nexus *nexus;        /* where it goes; NULL: it has not begun, or is answered */
    enum scsiback_next after_copies;
    bool copy_failed;
    bool is_direct;    /* counted in at the nexus */
    bool is_submitted; /* to its unit */
    bool flushes;      /* WRITE with FUA: once it is written */
    uint32_t nr_segments, bytes;
    const struct pv_vscsiif_segment *seg; /* in `*ring` or `list` */
    struct pv_vscsiif_segment *list;      /* room for the most segments */
    struct iovec iov;                     /* its buffer, as far as it is used */
    struct scsiback_request *aborts;      /* ABORTs that are answered once this is */
};

struct request_list {
    struct scsiback_request *head, **tail;
};

struct pv_scsiback_queue {
    struct pv_pollable pollable; /* first: the poll group's pointer is ours */
    struct pv_back_ring ring;
    domid_t frontend;
    uint32_t page_size; /* the frontend's, bytes */
    uint32_t max_list;  /* segments; 0: lists are not accepted */
    bool bound, stopped, broken;
    int fault_fd;       /* 0: faults are not reported */
    uint32_t published; /* rsp_prod as the frontend last saw it */
    uint64_t now, deadline;
    int64_t bytes_left; /* of what this pump may move */

    struct pv_inflight_log *log;
    size_t own_log_size;              /* bytes; 0 when the log is the caller's */
    struct scsiback_request *resumed; /* taken by an earlier backend, to be begun before all else */
    uint32_t resumed_count;

    struct pv_scsi_nexus *held;  /* counted in until this pump ends; may be NULL */
    struct lun_table *luns;      /* in use */
    struct lun_table *retired;   /* not in use any more, but requests in flight began with them */
    struct lun_table *next_luns; /* to be used from the next request on */
    uint32_t luns_changed;       /* there are next_luns; also read without the lock */
    pthread_mutex_t luns_lock;   /* for these, and what the pollable's fd watches */

    struct scsiback_request *requests, *free;
    uint32_t made;      /* of the requests; the others have never been used */
    size_t tables_size; /* bytes, of the requests and what follows them in memory */
    struct pv_vscsiif_segment *all_segments;
    uint8_t *buffers;
    size_t buffer_size;           /* of each request */
    struct request_list answered; /* free once the response is published */
    struct request_list copying;  /* copies staged */
    struct request_list emulated; /* on their way to units, in the order of the ring */
    struct copy_batch copies;
    struct pv_blk_io **submissions; /* to stores */
    uint32_t submission_count;
    bool submitted; /* by this pump */
    struct completions completions;

    struct pv_scsiback_stats stats;
};

static inline void request_list_init(struct request_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

static inline void request_list_add(struct request_list *list, struct scsiback_request *request)
{
    request->next = NULL;
    *list->tail = request;
    list->tail = &request->next;
}

static inline struct scsiback_request *request_list_take_all(struct request_list *list)
{
    struct scsiback_request *head = list->head;
    request_list_init(list);
    return head;
}

static inline uint32_t scsiback_list_room(const struct pv_scsiback_queue *queue)
{
    return queue->max_list > VSCSIIF_SG_TABLESIZE ? queue->max_list : VSCSIIF_SG_TABLESIZE;
}

/* check.c: what a request may be. Each returns SCSIBACK_OK or an enum pv_scsiback_error. */
#define SCSIBACK_OK (-1)
/* Where the LUN is known. */
int scsiback_check_head(const struct vscsiif_request *request);
int scsiback_check_list(const struct pv_scsiback_queue *queue, struct scsiback_request *request);
int scsiback_check_segments(const struct pv_scsiback_queue *queue,
                            struct scsiback_request *request);

/* segments.c */
enum scsiback_next scsiback_fetch_list(struct pv_scsiback_queue *queue,
                                       struct scsiback_request *request);
/* Between the first `bytes` of the request's segments and local memory. */
enum scsiback_next scsiback_copy(struct pv_scsiback_queue *queue, struct scsiback_request *request,
                                 bool to_guest, uint8_t *memory, uint32_t bytes,
                                 enum scsiback_next after);

/* direct.c */
/* Whether the store carries it out. It is counted in at the nexus then, and its operation is in
 * request->io. */
bool scsiback_choose_direct(struct pv_scsiback_queue *queue, struct scsiback_request *request);
/* The nexus of the last one is no longer counted in for those that may follow it. */
void scsiback_release_nexus(struct pv_scsiback_queue *queue);
enum scsiback_next scsiback_start_direct(struct pv_scsiback_queue *queue,
                                         struct scsiback_request *request);
/* The store has carried the operation out. */
enum scsiback_next scsiback_finish_direct(struct pv_scsiback_queue *queue,
                                          struct scsiback_request *request);

/* task_management.c */
enum scsiback_next scsiback_begin_abort(struct pv_scsiback_queue *queue,
                                        struct scsiback_request *request);
enum scsiback_next scsiback_begin_reset(struct pv_scsiback_queue *queue,
                                        struct scsiback_request *request);

/* request.c */
/* One of those never used; there must be one. */
struct scsiback_request *scsiback_make_request(struct pv_scsiback_queue *queue);
/* Each advances a request until it is answered or has to wait. */
void scsiback_begin(struct pv_scsiback_queue *queue, struct scsiback_request *request);
/* Gives commands to their units. */
void scsiback_emulate_staged(struct pv_scsiback_queue *queue);
void scsiback_copies_done(struct pv_scsiback_queue *queue, struct scsiback_request *request);
void scsiback_store_done(struct pv_scsiback_queue *queue, struct scsiback_request *request);
void scsiback_unit_done(struct pv_scsiback_queue *queue, struct scsiback_request *request);

/* resume.c: the in-flight log that an earlier queue of the connection may have left. */
/* 0, or a negative errno as pv_inflight_check. */
int scsiback_check_log(const struct pv_scsiback_queue *queue,
                       const struct pv_scsiback_config *config);
int scsiback_attach_log(struct pv_scsiback_queue *queue, const struct pv_scsiback_config *config);

/* completion.c */
extern const struct pv_pollable_ops scsiback_pollable_ops;
void scsiback_io_complete(struct pv_blk_io *io);
void scsiback_command_complete(struct pv_scsi_command *command, bool more);
void scsiback_submit_staged(struct pv_scsiback_queue *queue);
void scsiback_poll_stores(struct pv_scsiback_queue *queue);

/* luns.c */
struct lun_place {
    uint64_t key;
    struct pv_scsi_nexus *nexus;
};

struct lun_table {
    struct lun_table *next;       /* on the list of retired ones */
    uint32_t users;               /* requests that began with it */
    const struct lun_place *last; /* that was found; may be NULL */
    uint32_t count;
    struct lun_place places[]; /* by key */
};

/* Uses what pv_scsiback_set_luns has given. */
void scsiback_take_luns(struct pv_scsiback_queue *queue);
/* Where the request goes, which it keeps until it drops it. False: there is no such LUN. */
bool scsiback_find_lun(struct pv_scsiback_queue *queue, struct scsiback_request *request);
void scsiback_drop_lun(struct pv_scsiback_queue *queue, struct scsiback_request *request);
void scsiback_free_luns(struct pv_scsiback_queue *queue);

#endif
