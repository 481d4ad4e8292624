/*
 * The SCSI frontend's data plane: one virtual host is one ring with its granted pages and its
 * event channel. It never blocks and is driven by one thread: submit, poll, and before sleeping
 * arm.
 *
 * Return values below 0 are negative errnos. -EINVAL is always the caller's mistake. A backend
 * that breaks the protocol makes the queue broken: it touches the ring no more, and every later
 * call returns -EPROTO.
 *
 * A command is put on a ring once in its life. One that a lost backend has taken may have been
 * carried out, and not every SCSI command may be carried out twice; so it ends with the host byte
 * RESET, upon which Linux' upper drivers, or whoever submitted it, decide what to do. One that was
 * never on the ring goes on to the next connection, or ends with NO_CONNECT if there is none.
 */
#ifndef PVDRIVERS_FRONTENDS_SCSI_SCSIFRONT_H
#define PVDRIVERS_FRONTENDS_SCSI_SCSIFRONT_H

#include "pvdrivers/hypervisor.h"
#include "pvdrivers/ring/vscsiif.h"

/* cffi: begin */
struct pv_scsifront_queue;

enum pv_scsifront_place { PV_SCSIFRONT_WAITING, PV_SCSIFRONT_ON_RING, PV_SCSIFRONT_FINISHED };

/* One command of the caller's. The caller owns it and leaves it alone from submit until poll has
 * returned it. */
struct pv_scsifront_command {
    uint8_t act;                   /* VSCSIIF_ACT_SCSI_CDB, ABORT or RESET */
    uint16_t channel, target, lun; /* of all three */
    /* CDB */
    uint8_t cdb_length;                    /* 1 to 16 bytes */
    uint8_t cdb[VSCSIIF_MAX_COMMAND_SIZE]; /* sent as it is, beyond its length too */
    uint8_t direction;                     /* VSCSIIF_TO_DEVICE, FROM_DEVICE or NO_DATA */
    uint32_t length;                       /* bytes of data; 0 with NO_DATA */
    void *data;                            /* any memory, or a part of pv_scsifront_buffers() */
    /* ABORT: which; submitted and not returned by poll yet */
    struct pv_scsifront_command *subject;
    /* The answer. */
    int32_t rslt;      /* of the protocol: SCSI status, host byte; or VSCSIIF_RSLT_RESET_* */
    uint32_t residual; /* bytes of `length` that were not transferred */
    uint8_t sense_length;
    uint8_t sense[VSCSIIF_SENSE_BUFFERSIZE];
    void *user; /* free for the caller */
    /* Called by pv_scsifront_hand_out; NULL: it is left to that one's caller. */
    void (*finished)(struct pv_scsifront_command *command);
    /* The queue's, while the command is submitted. */
    enum pv_scsifront_place place;
    bool in_place; /* the data are in pv_scsifront_buffers() and are not copied */
    uint16_t rqid, subject_rqid;
    uint64_t serial, subject_serial;
    struct pv_scsifront_command *next, *prev;
};

struct pv_scsifront_config {
    struct pv_hypervisor *hypervisor; /* the guest's own view; its ABI is the ring's */
    struct pv_evtchn *evtchn;         /* may serve several queues; outlives them */
    domid_t backend;
    uint32_t buffer_pages; /* pages for pv_scsifront_buffers() */
    uint32_t pool_pages;   /* granted pages data is copied through; 0: as many as a full ring needs,
                              at most 4 MiB */
};

enum pv_scsifront_violation {
    PV_SCSIFRONT_OK,
    PV_SCSIFRONT_RESPONSE_OVERFLOW, /* more responses than there were requests */
    PV_SCSIFRONT_BAD_RQID,          /* rqid beyond the ring */
    PV_SCSIFRONT_IDLE_RQID,         /* rqid of no request on the ring */
    PV_SCSIFRONT_SENSE_OVERFLOW,    /* sense_len beyond the buffer */
    PV_SCSIFRONT_VIOLATION_COUNT
};

struct pv_scsifront_stats {
    uint64_t cdb_req, abort_req, reset_req; /* requests put on the ring, by act */
    uint64_t sg_grant_req;                  /* of cdb_req: with a list of segments */
    uint64_t bytes_out, bytes_in;           /* asked for by requests, by direction */
    uint64_t oo_req;                        /* times a submission waited for a free slot or page */
    uint64_t responses, errors;             /* errors: responses to a CDB with rslt other than 0 */
    uint64_t overflows;                     /* residuals larger than the data */
    uint64_t bytes_copied;                  /* between the caller's memory and granted pages */
    uint64_t notifications_sent, notifications_suppressed;
    uint64_t grants_made, grants_ended, grants_leaked;
    uint64_t violations;
};

/* Allocates, initialises and grants the ring; returns NULL with errno set on failure. */
PV_API struct pv_scsifront_queue *pv_scsifront_create(const struct pv_scsifront_config *config);
/* What goes into xenstore: ring-ref, event-channel. */
PV_API grant_ref_t pv_scsifront_ring_ref(const struct pv_scsifront_queue *queue);
PV_API evtchn_port_t pv_scsifront_port(const struct pv_scsifront_queue *queue);
/* Commands may be submitted from now on, with `max_segments` pages of data each: at most what the
 * backend's feature-sg-grant says; 0 and whatever is below 26 stand for 26, which need no list.
 * -ENOMEM: there are not so many pages. */
PV_API int pv_scsifront_connect(struct pv_scsifront_queue *queue, uint32_t max_segments);
/* Bytes that a command may have at most; a command in pv_scsifront_buffers() that does not start a
 * page, and would need a page more than there are segments, is copied. */
PV_API uint32_t pv_scsifront_max_length(const struct pv_scsifront_queue *queue);
/* The queue's own granted memory: `buffer_pages` pages side by side, once it is connected. Data in
 * it is not copied; the backend sees all of the pages that it lies in, as long as a command is on
 * the ring. */
PV_API void *pv_scsifront_buffers(struct pv_scsifront_queue *queue);

/* Takes all `count` commands or, on an error, none. What finds no room waits in order, ABORT and
 * RESET before others; one slot is for them alone, so that they pass a ring full of commands that
 * do not end. The requests are published together and the backend is notified at most once. */
PV_API int pv_scsifront_submit(struct pv_scsifront_queue *queue,
                               struct pv_scsifront_command **commands, unsigned count);
/* Takes at most `budget` responses, publishes what waited for room, and puts finished commands
 * into `done` (room for `budget`). Returns how many.
 *
 * What a successful ABORT or RESET ended is finished too, with the host byte ABORT or RESET: not
 * every backend answers it. */
PV_API int pv_scsifront_poll(struct pv_scsifront_queue *queue, struct pv_scsifront_command **done,
                             unsigned budget);
/* For a caller that shares the queue with other code: calls `finished` of those of the `count`
 * commands in `done` that have it, and leaves the others, side by side. Returns how many these are.
 */
PV_API unsigned pv_scsifront_hand_out(struct pv_scsifront_command **done, unsigned count);
/* Whether poll would find something: a look at the ring, for a caller that spins. */
PV_API bool pv_scsifront_has_news(const struct pv_scsifront_queue *queue);
/* Asks for a notification at the next response; true when there is something to poll already
 * (do not sleep). */
PV_API bool pv_scsifront_arm(struct pv_scsifront_queue *queue);
/* Commands submitted and not returned by poll. */
PV_API uint32_t pv_scsifront_outstanding(const struct pv_scsifront_queue *queue);

/* No more on this ring: the backend has gone or is going (Closing, suspend, broken). */
PV_API void pv_scsifront_stop(struct pv_scsifront_queue *queue);
/* Moves what a stopped queue has outstanding to a connected one: what has never been on the ring is
 * submitted there, unless its data were in the buffers of the stopped one; the rest ends there.
 * Returns how many are submitted. */
PV_API int pv_scsifront_requeue(struct pv_scsifront_queue *stopped,
                                struct pv_scsifront_queue *queue);
/* Ends all that is outstanding, and lists at most `max` of it: the caller has it again. The queue
 * must be stopped. Returns how many. */
PV_API int pv_scsifront_give_up(struct pv_scsifront_queue *stopped,
                                struct pv_scsifront_command **commands, unsigned max);
/* Ends every grant and closes the port; a second call does nothing. A page whose grant the
 * backend still uses is leaked, never reused (XSA-396). Outstanding commands stay listed. */
PV_API void pv_scsifront_disconnect(struct pv_scsifront_queue *queue);
PV_API void pv_scsifront_destroy(struct pv_scsifront_queue *queue); /* disconnects; NULL is fine */

PV_API enum pv_scsifront_violation pv_scsifront_broken(const struct pv_scsifront_queue *queue);
PV_API void pv_scsifront_get_stats(const struct pv_scsifront_queue *queue,
                                   struct pv_scsifront_stats *stats);
/* One line about the queue as it is now; returns what snprintf does. */
PV_API int pv_scsifront_describe(const struct pv_scsifront_queue *queue, char *line, size_t size);
/* cffi: end */

#endif
