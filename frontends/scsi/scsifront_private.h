/* What the files of the SCSI frontend share. */
#ifndef FRONTENDS_SCSI_SCSIFRONT_PRIVATE_H
#define FRONTENDS_SCSI_SCSIFRONT_PRIVATE_H

#include "frontends/page_pool.h"
#include "pvdrivers/frontends/scsi/scsifront.h"
#include "pvdrivers/ring/abi_vscsiif.h"
#include "pvdrivers/ring/ring.h"

#define RESERVED_SLOTS 1u /* for ABORT and RESET */

/* Results that this end gives (pvdrivers/scsi/result.py). */
#define RSLT_NO_CONNECT (1 << 16)
#define RSLT_ABORT (5 << 16)
#define RSLT_ERROR (7 << 16)
#define RSLT_RESET (8 << 16)

/* One request on the ring; its index is the rqid. */
struct shadow {
    bool on_ring; /* not answered; else the rqid is free */
    /* NULL: an ABORT or RESET has ended it. The rqid stays taken, since a response may come. */
    struct pv_scsifront_command *command;
    uint16_t next_free;
    uint32_t nr_pages;
    uint32_t *pages; /* indices into the pool: data pages, then pages of segments */
};

struct command_list {
    struct pv_scsifront_command *first, *last;
};

struct pv_scsifront_queue {
    struct pv_scsifront_config config;
    struct pv_hypervisor *hypervisor;
    enum queue_state { QUEUE_OPEN, QUEUE_CONNECTED, QUEUE_STOPPED } state;
    enum pv_scsifront_violation violation;

    struct pv_front_ring ring;
    uint32_t published; /* req_prod as the backend sees it */
    grant_ref_t ring_ref;
    bool has_ring_ref;
    evtchn_port_t port;
    bool has_port;

    uint32_t page_size, page_shift;
    uint32_t max_segments, segments_per_page;
    struct page_pool pool;
    struct shadow *shadows;
    uint32_t *shadow_pages;              /* the memory behind every shadow's list of pages */
    uint32_t free_rqid;                  /* head of the list of free ones; nr_ents: none */
    struct pv_vscsiif_segment *segments; /* of one with a list */

    struct command_list urgent, waiting; /* for room: ABORT and RESET, and the others */
    struct command_list finished;        /* not returned by poll yet */
    uint32_t outstanding;
    uint32_t in_flight; /* commands on the ring; fewer than requests after an ABORT or RESET */
    uint64_t serial;    /* of the command submitted last */

    struct pv_scsifront_stats stats;
};

/* scsifront_submit.c */
void pv_scsifront_list_append(struct command_list *list, struct pv_scsifront_command *command);
void pv_scsifront_list_remove(struct command_list *list, struct pv_scsifront_command *command);
/* Puts a command in order behind those that wait. */
void pv_scsifront_start(struct pv_scsifront_queue *queue, struct pv_scsifront_command *command);
/* A command that is in no list ends: as the backend has answered, or without an answer. */
void pv_scsifront_finish(struct pv_scsifront_queue *queue, struct pv_scsifront_command *command,
                         int32_t rslt);
void pv_scsifront_finish_unanswered(struct pv_scsifront_queue *queue,
                                    struct pv_scsifront_command *command, int32_t rslt);
bool pv_scsifront_valid(const struct pv_scsifront_queue *queue,
                        const struct pv_scsifront_command *command);

/* scsifront_issue.c */
/* Puts waiting commands on the ring while there is room, and publishes them. */
void pv_scsifront_issue(struct pv_scsifront_queue *queue);
/* Gives back a request's pages and its rqid. */
void pv_scsifront_release(struct pv_scsifront_queue *queue, struct shadow *shadow);

/* The request of an ABORT's subject; NULL: it has ended. */
static inline struct shadow *subject_of(struct pv_scsifront_queue *queue,
                                        const struct pv_scsifront_command *abort)
{
    struct shadow *shadow = &queue->shadows[abort->subject_rqid];
    bool there = shadow->command && shadow->command->serial == abort->subject_serial;
    return there ? shadow : NULL;
}

#endif
