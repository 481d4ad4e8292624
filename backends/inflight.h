/*
 * The log of what a queue has in flight. It lies in memory that may outlive the process, as the
 * shared ring does, and together they tell the next backend which requests its predecessor had
 * taken and not answered: answers overtake each other and are written over requests, so the ring
 * alone does not.
 *
 * A process that is killed stops between two instructions: everything before them has happened,
 * whatever the processor, and nothing behind. So it is enough that stores are in program order,
 * and each of the four below is the one that decides:
 *
 *   state = TAKEN      the request is copied; nobody has begun it
 *   req_cons = n + 1   it is taken: from here on its slot on the ring means nothing
 *   state = ANSWERED   its response is written at index `response`, and counts
 *                      once the ring's rsp_prod, the frontend's own truth, is beyond that
 *   state = FREE       after that, before the indices come round again
 */
#ifndef BACKENDS_INFLIGHT_H
#define BACKENDS_INFLIGHT_H

#include "pvdrivers/backends/vbd/blkback.h"
#include "pvdrivers/ring/ring.h"

enum inflight_state { INFLIGHT_FREE, INFLIGHT_TAKEN, INFLIGHT_ANSWERED };

struct inflight_entry {
    uint32_t state;
    uint32_t request, response; /* indices on the ring */
    uint32_t unused;
    uint8_t slot[BLKIF_MAX_SLOT_SIZE]; /* the private copy */
};

/* Whose log it is; no padding, so that memcmp compares it. */
struct inflight_identity {
    uint32_t frontend, abi, remote_port, ring_pages;
    grant_ref_t ring_refs[PV_BLKBACK_MAX_RING_PAGES];
};

struct inflight_log {
    uint32_t magic; /* 0: nothing is here yet */
    uint32_t req_cons;
    struct inflight_identity identity;
    _Alignas(128) struct inflight_entry entries[]; /* one for each of the queue's requests */
};

_Static_assert(sizeof(struct inflight_entry) == 128, "two cache lines");

static inline void inflight_take(struct inflight_log *log, struct inflight_entry *entry,
                                 struct pv_back_ring *ring)
{
    pv_back_copy_request(ring, ring->req_cons, entry->slot, BLKIF_HEAD_SIZE);
    if (!pv_blkif_fits_head(entry->slot))
        pv_back_copy_request_rest(ring, ring->req_cons, entry->slot, BLKIF_HEAD_SIZE);
    entry->request = ring->req_cons++;
    /* Release: behind the copy. */
    pv_store_release(&entry->state, INFLIGHT_TAKEN);
    /* Release: behind the entry it counts. */
    pv_store_release(&log->req_cons, ring->req_cons);
    /* Nothing the request causes comes before it is taken. */
    pv_compiler_barrier();
}

/* Before the response is published, which is a release. */
static inline void inflight_answer(struct inflight_entry *entry, uint32_t response)
{
    entry->response = response;
    /* Release: behind the index it goes by. */
    pv_store_release(&entry->state, INFLIGHT_ANSWERED);
}

/* After the response was published, which ends with a full barrier. */
static inline void inflight_forget(struct inflight_entry *entry)
{
    /* No order: the full barrier gives it, and taking again is a release. */
    pv_write_once(&entry->state, INFLIGHT_FREE);
}

/* Whether a log with something in it fits the ring as an earlier backend left it: 0, -ESTALE (it is
 * another connection's, or contradicts the ring), or -EIO (the ring is overrun). */
struct pv_blkback_queue;
int inflight_check(const struct pv_blkback_queue *queue, const struct inflight_log *log,
                   const struct pv_blkback_config *config);
/* Begins the queue's log, or goes on with the one of an earlier queue: what that left unanswered is
 * then in flight, on the queue's list `resumed`. Returns as inflight_check. */
int inflight_attach(struct pv_blkback_queue *queue, const struct pv_blkback_config *config);

#endif
