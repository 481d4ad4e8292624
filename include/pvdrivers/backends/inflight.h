/*
 * The in-flight log of one ring: which requests its backend has taken and not answered. It lies in
 * memory that may outlive the process, as the shared ring does. Together they tell the next backend
 * what to do again: answers overtake each other and are written over requests, so the ring alone
 * does not. It knows no protocol: a request is a ring slot of any size.
 *
 *   struct pv_inflight_log *log = MEMORY;       pv_inflight_size bytes, all zero or an earlier log
 *   pv_inflight_attach(log, &identity, &ring);  returns how many requests are to be done again
 *   for (int i = -1; (i = pv_inflight_next(log, &ring, i)) >= 0;)
 *       begin again the request in pv_inflight_entry(log, &ring, i)->slot;
 *
 * From then on each request on its way has an entry of its own. To take a request: copy the slot at
 * ring.req_cons to entry->slot, call pv_inflight_take, and work on that copy alone. To answer it:
 * write the response at ring.rsp_prod_pvt, call pv_inflight_answer, and once the response is
 * published pv_inflight_forget.
 *
 * A process that is killed stops between two instructions: everything before them has happened,
 * whatever the processor, and nothing behind. So it is enough that stores are in program order,
 * and each of the four below is the one that decides:
 *
 *   state = TAKEN      the request is copied and not begun
 *   req_cons = n + 1   it is taken: from here on its slot on the ring means nothing
 *   state = ANSWERED   its response is written at index `response`, and counts
 *                      once the ring's rsp_prod, which the frontend reads, is beyond that
 *   state = FREE       after that, before the indices come round again
 */
#ifndef PVDRIVERS_BACKENDS_INFLIGHT_H
#define PVDRIVERS_BACKENDS_INFLIGHT_H

#include "pvdrivers/ring/ring.h"

#include <stdalign.h>

/* cffi: begin */
struct pv_inflight_log;

#define PV_INFLIGHT_ALIGNMENT 128 /* of a log, bytes */
#define PV_INFLIGHT_MAX_RING_PAGES 16
#define PV_INFLIGHT_NONCE 12 /* bytes */

enum pv_inflight_state { PV_INFLIGHT_FREE, PV_INFLIGHT_TAKEN, PV_INFLIGHT_ANSWERED };

struct pv_inflight_entry {
    uint32_t state;             /* enum pv_inflight_state */
    uint32_t request, response; /* indices on the ring */
    uint32_t unused;
    uint8_t slot[]; /* the private copy, ring.slot_size bytes */
};

/* The connection a log belongs to. What is not used is 0. */
struct pv_inflight_identity {
    uint32_t frontend, abi, remote_port, ring_pages;
    grant_ref_t ring_refs[PV_INFLIGHT_MAX_RING_PAGES];
};

/* Bytes of a log for a ring of `nr_ents` slots, a multiple of PV_INFLIGHT_ALIGNMENT: logs may lie
 * side by side. */
PV_API size_t pv_inflight_size(uint32_t nr_ents, uint32_t slot_size);
/* Whether a log that has begun fits the ring, whose two positions are both its rsp_prod as the
 * earlier backend left it: how many requests are to be done again, -ESTALE (the log is another
 * connection's, or contradicts the ring) or -EIO (the ring is overrun). Changes nothing. */
PV_API int pv_inflight_check(const struct pv_inflight_log *log,
                             const struct pv_inflight_identity *identity,
                             const struct pv_back_ring *ring);
/* Whether an earlier backend has begun the log; its memory was all zero otherwise. */
PV_API bool pv_inflight_has_begun(const struct pv_inflight_log *log);
/* Begins a log, or goes on with an earlier backend's: ring->req_cons is then where that stopped,
 * the entries of requests to be done again are TAKEN and all others FREE. Returns as
 * pv_inflight_check; 0 for a log that begins. May be killed and done again at any point. */
PV_API int pv_inflight_attach(struct pv_inflight_log *log,
                              const struct pv_inflight_identity *identity,
                              struct pv_back_ring *ring);
/* Walks the TAKEN entries in the ring's order: the number of the one that follows entry `previous`
 * (-1: the first), or -1 when there is no other. */
PV_API int pv_inflight_next(const struct pv_inflight_log *log, const struct pv_back_ring *ring,
                            int previous);

/* One of ring->nr_ents entries. */
PV_INLINE struct pv_inflight_entry *
pv_inflight_entry(struct pv_inflight_log *log, const struct pv_back_ring *ring, uint32_t number);
/* Takes the request at ring->req_cons, which has been copied to entry->slot. */
PV_INLINE void pv_inflight_take(struct pv_inflight_log *log, struct pv_inflight_entry *entry,
                                struct pv_back_ring *ring);
/* The response is written at index `response`, and not yet published. */
PV_INLINE void pv_inflight_answer(struct pv_inflight_entry *entry, uint32_t response);
/* The response has been published. */
PV_INLINE void pv_inflight_forget(struct pv_inflight_entry *entry);
/* cffi: end */

/* No padding in it: identities are compared byte by byte. */
static_assert(sizeof(struct pv_inflight_identity) == (4 + PV_INFLIGHT_MAX_RING_PAGES) * 4,
              "identity");

/* Logs of killed backends are read by later versions: another layout needs another magic number. */
struct pv_inflight_log {
    uint32_t magic; /* 0: nothing is here yet */
    uint32_t req_cons;
    struct pv_inflight_identity identity;
    /* Random, so that a request's index on the ring together with this names it among those of all
     * connections. Logs of versions without it have zeros here. */
    uint8_t nonce[PV_INFLIGHT_NONCE];
    alignas(PV_INFLIGHT_ALIGNMENT) uint8_t entries[];
};

/* Entries begin on cache lines, so that two requests never share one. */
PV_INLINE size_t pv_inflight_entry_size(uint32_t slot_size)
{
    return (sizeof(struct pv_inflight_entry) + slot_size + 63) & ~(size_t)63;
}

PV_INLINE struct pv_inflight_entry *
pv_inflight_entry(struct pv_inflight_log *log, const struct pv_back_ring *ring, uint32_t number)
{
    return (struct pv_inflight_entry *)(log->entries +
                                        number * pv_inflight_entry_size(ring->slot_size));
}

PV_INLINE void pv_inflight_take(struct pv_inflight_log *log, struct pv_inflight_entry *entry,
                                struct pv_back_ring *ring)
{
    entry->request = ring->req_cons++;
    /* Release: behind the copy. */
    pv_store_release(&entry->state, PV_INFLIGHT_TAKEN);
    /* Release: behind the entry it counts. */
    pv_store_release(&log->req_cons, ring->req_cons);
    /* Nothing the request causes comes before it is taken. */
    pv_compiler_barrier();
}

PV_INLINE void pv_inflight_answer(struct pv_inflight_entry *entry, uint32_t response)
{
    entry->response = response;
    /* Release: behind the index it goes by. The response is published behind this, since that is a
     * release too. */
    pv_store_release(&entry->state, PV_INFLIGHT_ANSWERED);
}

PV_INLINE void pv_inflight_forget(struct pv_inflight_entry *entry)
{
    /* No order: to publish ends with a full barrier, and taking again is a release. */
    pv_write_once(&entry->state, PV_INFLIGHT_FREE);
}

#endif
