/*
 * For rings whose responses are in the order of the requests: what a backend has answered is known
 * from `rsp_prod`, and what is in flight lies in the slots behind it. Only one moment is between
 * the two: a response is written over its request before the index that counts it is published. So
 * each batch of responses is written here first. A successor that finds a batch here that the ring
 * does not count writes it again and publishes it.
 *
 *   struct pv_response_log *log = MEMORY;           pv_response_log_size bytes, zero or an earlier
 * one pv_response_log_attach(log, &identity, &ring);  the ring stands where its backend stopped
 *   memcpy(pv_response_log_slot(log, &ring, index), response, size);   for each of a batch, in
 * order pv_response_log_push(log, &ring);               publishes them; true: notify
 *
 * A batch ends where a packet ends, so that a successor begins at the start of one.
 */
#ifndef PVDRIVERS_BACKENDS_RESPONSE_LOG_H
#define PVDRIVERS_BACKENDS_RESPONSE_LOG_H

#include "pvdrivers/ring/ring.h"

struct pv_response_log;

#define PV_RESPONSE_LOG_ALIGNMENT 64 /* bytes */

/* The connection a log belongs to. */
struct pv_response_log_identity {
    uint32_t frontend, remote_port, ring_ref, response_size;
};

/* Bytes of a log for a ring of `nr_ents` slots, a multiple of PV_RESPONSE_LOG_ALIGNMENT. */
PV_API size_t pv_response_log_size(uint32_t nr_ents, uint32_t response_size);
/* Whether an earlier backend's log fits the ring: 0, -ESTALE (it is another connection's, or
 * contradicts the ring) or -EIO (the ring is overrun). A log that has not begun fits none. Changes
 * nothing. */
PV_API int pv_response_log_check(const struct pv_response_log *log,
                                 const struct pv_response_log_identity *identity,
                                 const struct pv_back_ring *ring);
/* Begins a log, or takes up an earlier backend's: the ring's positions are then behind all that is
 * answered, and what was written and not published is published (`*notify`). As above; 0 for a log
 * that begins. May be killed and done again at any point. */
PV_API int pv_response_log_attach(struct pv_response_log *log,
                                  const struct pv_response_log_identity *identity,
                                  struct pv_back_ring *ring, bool *notify);

#endif
