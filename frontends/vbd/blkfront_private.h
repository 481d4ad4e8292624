/* What the files of the block frontend share. */
#ifndef FRONTENDS_VBD_BLKFRONT_PRIVATE_H
#define FRONTENDS_VBD_BLKFRONT_PRIVATE_H

#include "frontends/page_pool.h"
#include "pvdrivers/frontends/vbd/blkfront.h"
#include "pvdrivers/ring/ring.h"

/* One request on the ring; its index is the request's id. */
struct shadow {
    struct pv_blkfront_io *io; /* NULL: the id is free */
    uint32_t next_free;
    uint8_t echo;  /* the operation the response must carry */
    bool in_place; /* the pages are the caller's buffers: nothing was copied */
    uint8_t *data; /* the caller's memory behind this request, `bytes` of it */
    uint32_t bytes;
    uint32_t nr_pages;
    uint32_t *pages; /* indices into the pool: data pages, then pages of descriptors */
};

struct io_list {
    struct pv_blkfront_io *first, *last;
};

struct pv_blkfront_queue {
    struct pv_blkfront_config config;
    struct pv_hypervisor *hypervisor;
    struct pv_blkfront_features features;
    bool has_flushed; /* the backend has carried out an empty flush, so it knows how to */
    enum queue_state { QUEUE_OPEN, QUEUE_CONNECTED, QUEUE_STOPPED } state;
    enum pv_blkfront_violation violation;

    struct pv_front_ring ring;
    uint32_t published; /* req_prod as the backend sees it */
    grant_ref_t *ring_refs;
    uint32_t nr_ring_refs;
    evtchn_port_t port;
    bool has_port;

    struct page_pool pool;
    struct shadow *shadows;
    uint32_t *shadow_pages; /* the memory behind every shadow's list of pages */
    uint32_t free_id;       /* head of the list of free ids; nr_ents: none */
    uint32_t page_size;
    uint32_t max_segments, descriptors_per_page;
    struct pv_blkif_request request;   /* the one being built */
    struct pv_blkif_segment *segments; /* of an indirect one; padding stays 0 */

    struct io_list submitted;       /* every operation, in order, until it is finished */
    struct pv_blkfront_io *waiting; /* the first of them not wholly on the ring */
    struct io_list finished;        /* done, but poll had no room or was not there */
    uint32_t outstanding;

    struct pv_blkfront_stats stats;
};

/* blkfront_issue.c */
/* Puts waiting operations on the ring while there is room, and publishes them. */
void pv_blkfront_issue(struct pv_blkfront_queue *queue);
/* Gives back a request's pages and its id. */
void pv_blkfront_release(struct pv_blkfront_queue *queue, struct shadow *shadow);

/* blkfront.c */
void pv_blkfront_list_append(struct io_list *list, struct pv_blkfront_io *io);
void pv_blkfront_list_remove(struct io_list *list, struct pv_blkfront_io *io);
/* An operation with nothing left on the ring moves on to the finished ones. */
void pv_blkfront_finish(struct pv_blkfront_queue *queue, struct pv_blkfront_io *io);

#endif
