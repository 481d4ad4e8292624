/*
 * For rings whose responses are in the order of the requests: what a backend has answered is known
 * from `rsp_prod`, and what is in flight lies in the slots behind it. Only one moment is between
 * the two: a response is written over its request before the index that counts it is published. So
 * each batch of responses is written here first. A successor that finds a batch here that the ring
 * does not count writes it again and publishes it.
 *
 *   struct pv_response_log *log = MEMORY;   pv_response_log_size bytes, all zero or an earlier log
 *   pv_response_log_attach(log, &identity, &ring);  the ring is where its backend stopped
 *   for each response of a batch, in order:
 *       write it to pv_response_log_slot(log, &ring, ring.rsp_prod_pvt, size)
 *       ring.rsp_prod_pvt++
 *   pv_response_log_push(log, &ring, size);   publishes them; true: notify
 *
 * A batch ends where a packet ends, so that a successor begins at the start of one.
 *
 * A process that is killed stops between two instructions: everything before them has happened,
 * whatever the processor, and nothing behind. So it is enough that stores are in program order, and
 * one of them decides: before `end` is written the batch was never answered, and behind that it is.
 */
#ifndef PVDRIVERS_BACKENDS_RESPONSE_LOG_H
#define PVDRIVERS_BACKENDS_RESPONSE_LOG_H

#include "pvdrivers/ring/ring.h"

#include <stdalign.h>

/* cffi: begin */
struct pv_response_log;

#define PV_RESPONSE_LOG_ALIGNMENT 64 /* bytes */

/* The connection a log belongs to. */
struct pv_response_log_identity {
    uint32_t frontend, remote_port, ring_ref, response_size;
};

/* Bytes of a log for a ring of `nr_ents` slots, a multiple of PV_RESPONSE_LOG_ALIGNMENT. */
PV_API size_t pv_response_log_size(uint32_t nr_ents, uint32_t response_size);
/* Whether an earlier backend has begun the log; its memory was all zero otherwise. */
PV_API bool pv_response_log_has_begun(const struct pv_response_log *log);
/* Whether an earlier backend's log fits the ring, whose two positions are both its rsp_prod: 0,
 * -ESTALE (it is another connection's, or contradicts the ring) or -EIO (the ring is overrun). A
 * log that has not begun fits none. Changes nothing. */
PV_API int pv_response_log_check(const struct pv_response_log *log,
                                 const struct pv_response_log_identity *identity,
                                 const struct pv_back_ring *ring);
/* Begins a log, or takes up an earlier backend's: the ring's positions are then behind all that is
 * answered, and what was written and not published is published. Returns as above; 0 for a log that
 * begins. May be killed and done again at any point. The frontend is to be notified then: the
 * earlier backend may have been killed before it did. */
PV_API int pv_response_log_attach(struct pv_response_log *log,
                                  const struct pv_response_log_identity *identity,
                                  struct pv_back_ring *ring);
/* cffi: end */

/* Logs of killed backends are read by later versions: another layout needs another magic number. */
struct pv_response_log {
    uint32_t magic; /* 0: nothing is here yet */
    uint32_t end;   /* index behind all that is answered, published or not */
    struct pv_response_log_identity identity;
    alignas(PV_RESPONSE_LOG_ALIGNMENT) uint8_t responses[]; /* by the ring's index */
};

/* Where the response at an index of the ring belongs until it is published. A constant `size` is
 * cheap. */
PV_INLINE void *pv_response_log_slot(struct pv_response_log *log, const struct pv_back_ring *ring,
                                     uint32_t index, uint32_t size)
{
    return log->responses + (size_t)(index & (ring->nr_ents - 1)) * size;
}

/* Writes what the log has from `index` on to the ring and publishes it. */
PV_INLINE bool pv_response_log_publish(struct pv_response_log *log, struct pv_back_ring *ring,
                                       uint32_t index, uint32_t size)
{
    for (; index != ring->rsp_prod_pvt; index++)
        memcpy(pv_back_response_slot(ring, index), pv_response_log_slot(log, ring, index, size),
               size);
    return pv_back_push_responses(ring);
}

/* Publishes the responses up to ring->rsp_prod_pvt, which lie in the log; true when the frontend
 * must be notified. */
PV_INLINE bool pv_response_log_push(struct pv_response_log *log, struct pv_back_ring *ring,
                                    uint32_t size)
{
    uint32_t first = log->end;
    /* Release: behind the responses it counts. */
    pv_store_release(&log->end, ring->rsp_prod_pvt);
    /* No request is overwritten before its response counts. */
    pv_compiler_barrier();
    return pv_response_log_publish(log, ring, first, size);
}

#endif
