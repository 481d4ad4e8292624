/* What filters share: a store below, a seeded decision, and operations of their own that stand for
 * a submitter's. Filters have no `memory`: all data passes through submit. */
#ifndef BACKENDS_STORES_FILTER_H
#define BACKENDS_STORES_FILTER_H

#include "pvdrivers/backends/stores/stores.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* An operation passed down in place of the submitter's. They are kept for reuse, so that a filter
 * allocates as many as were ever in flight together. */
struct filter_io {
    struct pv_blk_io io; /* first: the store below gives it back */
    struct filter *filter;
    struct pv_blk_io *parent;
    struct filter_io *next_free;
    struct iovec *iov; /* the prefix's */
    int iov_room;
    uint64_t number; /* the log's count, the delay's due time */
};

struct filter {
    struct pv_blk_store store; /* first */
    struct pv_blk_store *below;
    pthread_mutex_t lock;
    struct filter_io *free;
    struct pv_blk_fault fault;
    uint64_t seen; /* operations that the fault is about */
};

/* The filter as the store it is, or NULL with errno set. `size` is that of the struct that
 * begins with struct filter. */
void *filter_create(size_t size, struct pv_blk_store *below, const struct pv_blk_store_ops *ops);
void filter_destroy(struct filter *filter);
void filter_close(struct pv_blk_store *store);
uint64_t filter_poll(struct pv_blk_store *store, uint64_t now);
int filter_fd(struct pv_blk_store *store);
int filter_refresh(struct pv_blk_store *store);

/* Whether the fault strikes this operation; *random is then this operation's own number. */
bool filter_strikes(struct filter *filter, enum pv_blk_op op, uint64_t *random);

/* An operation for `sectors` sectors from the parent's start on; NULL without memory. */
struct filter_io *filter_take_io(struct filter *filter, struct pv_blk_io *parent, uint64_t sectors);
void filter_give_back(struct filter_io *io);
/* Completes the parent as its stand-in was. */
void filter_pass_back(struct pv_blk_io *io);
void filter_fail(struct pv_blk_io *io, int status);
/* Lets a random prefix of a struck operation pass and fails it with the fault's error. */
void filter_submit_prefixes(struct filter *filter, struct pv_blk_io **ios, unsigned count);

#endif
