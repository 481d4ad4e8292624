/* What the files of the block frontend share. */
#ifndef FRONTENDS_VBD_BLKFRONT_PRIVATE_H
#define FRONTENDS_VBD_BLKFRONT_PRIVATE_H

#include "pvdrivers/frontends/vbd/blkfront.h"
#include "pvdrivers/ring/ring.h"

/* Pages of the guest's own for data and indirect descriptors. The first `buffers` are handed to
 * the caller; the others are taken and given back last in, first out, so that persistent grants
 * are reused while the backend still has them mapped. */
struct page_pool {
    uint8_t *area;
    uint32_t count, buffers;
    grant_ref_t *grefs;
    enum page_state { PAGE_PRIVATE, PAGE_GRANTED, PAGE_LEAKED } * states;
    uint32_t *free;
    uint32_t nr_free;
};

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
    uint32_t page_size, page_shift;
    uint32_t max_segments, descriptors_per_page;
    struct pv_blkif_request request;   /* the one being built */
    struct pv_blkif_segment *segments; /* of an indirect one; padding stays 0 */

    struct io_list submitted;       /* every operation, in order, until it is finished */
    struct pv_blkfront_io *waiting; /* the first of them not wholly on the ring */
    struct io_list finished;        /* done, but poll had no room or was not there */
    uint32_t outstanding;

    struct pv_blkfront_stats stats;
};

/* blkfront_pool.c */
int pv_blkfront_pool_init(struct pv_blkfront_queue *queue, uint32_t count, uint32_t buffers);
void pv_blkfront_pool_close(struct pv_blkfront_queue *queue);
bool pv_blkfront_in_buffers(const struct pv_blkfront_queue *queue, const void *data, size_t bytes);
/* Grants a page unless it is granted already. */
int pv_blkfront_grant_page(struct pv_blkfront_queue *queue, uint32_t page, bool readonly);
/* Gives a page back after a request; ends its grant unless grants are persistent. */
void pv_blkfront_release_page(struct pv_blkfront_queue *queue, uint32_t page);

static inline uint8_t *page_address(const struct pv_blkfront_queue *queue, uint32_t page)
{
    return queue->pool.area + ((size_t)page << queue->page_shift);
}

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
