/*
 * Shared rings (io/ring.h): one page or several with a 64-byte header of four indices, then
 * 2^n slots, each the union of a request and a response. Indices run freely through 2^32.
 *
 * A Front half produces requests and consumes responses; a Back half the reverse. The halves keep
 * their own positions privately and believe nothing of the peer's but its two published indices,
 * each read once per step. docs/ring.md lists the barriers and what each is for.
 */
#ifndef PVDRIVERS_RING_RING_H
#define PVDRIVERS_RING_RING_H

#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/types.h"

#include <errno.h>
#include <string.h>

/* cffi: begin */
struct pv_sring {
    uint32_t req_prod, req_event;
    uint32_t rsp_prod, rsp_event;
    uint32_t pvt;
    uint8_t pad[44];
    uint8_t ring[]; /* nr_ents slots */
};

struct pv_front_ring {
    struct pv_sring *sring;
    uint32_t req_prod_pvt; /* requests written, published or not */
    uint32_t rsp_cons;     /* responses taken */
    uint32_t nr_ents;      /* slots, a power of two */
    uint32_t slot_size;    /* bytes */
};

struct pv_back_ring {
    struct pv_sring *sring;
    uint32_t rsp_prod_pvt; /* responses written, published or not */
    uint32_t req_cons;     /* requests taken */
    uint32_t nr_ents;
    uint32_t slot_size;
};

PV_INLINE uint32_t pv_ring_entries(size_t area_bytes, uint32_t slot_size);
PV_INLINE void pv_sring_init(struct pv_sring *sring);

PV_INLINE void pv_front_ring_attach(struct pv_front_ring *front, struct pv_sring *sring,
                                    size_t area_bytes, uint32_t slot_size, uint32_t index);
PV_INLINE uint32_t pv_front_free_requests(const struct pv_front_ring *front);
PV_INLINE void *pv_front_request_slot(const struct pv_front_ring *front, uint32_t index);
PV_INLINE bool pv_front_push_requests(struct pv_front_ring *front);
PV_INLINE int pv_front_unconsumed_responses(const struct pv_front_ring *front);
PV_INLINE const void *pv_front_response_slot(const struct pv_front_ring *front, uint32_t index);
PV_INLINE void pv_front_copy_response(const struct pv_front_ring *front, uint32_t index, void *copy,
                                      size_t size);
PV_INLINE void pv_front_prefetch(const struct pv_front_ring *front, uint32_t index, size_t size);
PV_INLINE bool pv_front_final_check(const struct pv_front_ring *front);

PV_INLINE void pv_back_ring_attach(struct pv_back_ring *back, struct pv_sring *sring,
                                   size_t area_bytes, uint32_t slot_size, uint32_t index);
PV_INLINE int pv_back_unconsumed_requests(const struct pv_back_ring *back);
PV_INLINE void pv_back_copy_request(const struct pv_back_ring *back, uint32_t index, void *copy,
                                    size_t size);
PV_INLINE void pv_back_copy_request_rest(const struct pv_back_ring *back, uint32_t index,
                                         void *copy, size_t size, size_t end);
PV_INLINE void pv_back_prefetch(const struct pv_back_ring *back, uint32_t index, size_t size);
PV_INLINE void *pv_back_response_slot(const struct pv_back_ring *back, uint32_t index);
PV_INLINE bool pv_back_push_responses(struct pv_back_ring *back);
PV_INLINE bool pv_back_final_check(const struct pv_back_ring *back);
/* cffi: end */

#define PV_SRING_HEADER_SIZE 64u

/* Slots that fit an area in bytes: the largest power of two (0 when not even one fits). */
PV_INLINE uint32_t pv_ring_entries(size_t area_bytes, uint32_t slot_size)
{
    if (area_bytes < PV_SRING_HEADER_SIZE + slot_size)
        return 0;
    uint32_t fit = (uint32_t)((area_bytes - PV_SRING_HEADER_SIZE) / slot_size);
    return 1u << (31 - __builtin_clz(fit));
}

/* The frontend alone initialises a shared ring, before the backend may see it. */
PV_INLINE void pv_sring_init(struct pv_sring *sring)
{
    memset(sring, 0, PV_SRING_HEADER_SIZE);
    sring->req_event = 1;
    sring->rsp_event = 1;
}

/* Whether publishing [old_prod, new_prod) passes the index at which the peer asked to be woken. */
PV_INLINE bool pv_ring_must_notify(uint32_t old_prod, uint32_t new_prod, uint32_t peer_event)
{
    return (uint32_t)(new_prod - peer_event) < (uint32_t)(new_prod - old_prod);
}

/* Shared steps of both halves. */
PV_INLINE uint8_t *pv_ring_slot(struct pv_sring *sring, uint32_t nr_ents, uint32_t slot_size,
                                uint32_t index)
{
    return sring->ring + (size_t)(index & (nr_ents - 1)) * slot_size;
}

PV_INLINE bool pv_ring_publish(uint32_t *prod, const uint32_t *peer_event, uint32_t new_prod)
{
    /* Ours, so no order: a peer that wrote here would only lose its own notification. */
    uint32_t old_prod = pv_read_once(prod);
    /* Release: the slots are visible before the index that covers them. */
    pv_store_release(prod, new_prod);
    /* Full: the index is visible before we read where the peer wants to be woken. The peer does
     * the mirror image (event, full barrier, index), so that one of the two sees the other. */
    pv_mb();
    return pv_ring_must_notify(old_prod, new_prod, pv_read_once(peer_event));
}

/* Asks to be woken when the peer publishes entry `cons`; what it published before is then seen by
 * the next look at its index. */
PV_INLINE void pv_ring_arm(uint32_t *event, uint32_t cons)
{
    /* No order: the full barrier below gives it. */
    pv_write_once(event, cons + 1);
    /* Full: our wish to be woken is visible before the last look at the peer's index. */
    pv_mb();
}

/* Entries the peer published behind `cons`, or -EPROTO when that is more than it may: it overran
 * the ring or took its index back, and nothing on this ring can be believed any more. */
PV_INLINE int pv_ring_unconsumed(const uint32_t *peer_prod, uint32_t cons, uint32_t limit)
{
    /* Acquire: the slots are read after the index that covers them. */
    uint32_t ready = pv_load_acquire(peer_prod) - cons;
    return ready > limit ? -EPROTO : (int)ready;
}

PV_INLINE void pv_ring_copy(void *copy, const uint8_t *slot, size_t size)
{
    memcpy(copy, slot, size);
    /* From here on only the copy exists for the compiler (XSA-155). */
    pv_compiler_barrier();
}

/* The slot will soon be read and, when its index comes round again, written. */
PV_INLINE void pv_ring_prefetch(const uint8_t *slot, size_t size)
{
    for (size_t at = 0; at < size; at += PV_CACHE_LINE)
        pv_prefetch_to_write(slot + at);
    pv_prefetch_to_write(slot + size - 1);
}

/* ---- Front half ---------------------------------------------------------------------------- */

PV_INLINE void pv_front_ring_attach(struct pv_front_ring *front, struct pv_sring *sring,
                                    size_t area_bytes, uint32_t slot_size, uint32_t index)
{
    front->sring = sring;
    front->req_prod_pvt = index;
    front->rsp_cons = index;
    front->nr_ents = pv_ring_entries(area_bytes, slot_size);
    front->slot_size = slot_size;
}

PV_INLINE uint32_t pv_front_free_requests(const struct pv_front_ring *front)
{
    return front->nr_ents - (front->req_prod_pvt - front->rsp_cons);
}

PV_INLINE void *pv_front_request_slot(const struct pv_front_ring *front, uint32_t index)
{
    return pv_ring_slot(front->sring, front->nr_ents, front->slot_size, index);
}

/* Publishes all written requests; true when the backend must be notified. */
PV_INLINE bool pv_front_push_requests(struct pv_front_ring *front)
{
    return pv_ring_publish(&front->sring->req_prod, &front->sring->req_event, front->req_prod_pvt);
}

/* Responses ready to take, or -EPROTO when the backend claims more than were asked for. */
PV_INLINE int pv_front_unconsumed_responses(const struct pv_front_ring *front)
{
    return pv_ring_unconsumed(&front->sring->rsp_prod, front->rsp_cons,
                              front->req_prod_pvt - front->rsp_cons);
}

/* For a codec that reads no byte of it twice. */
PV_INLINE const void *pv_front_response_slot(const struct pv_front_ring *front, uint32_t index)
{
    return pv_ring_slot(front->sring, front->nr_ents, front->slot_size, index);
}

PV_INLINE void pv_front_copy_response(const struct pv_front_ring *front, uint32_t index, void *copy,
                                      size_t size)
{
    pv_ring_copy(copy, pv_ring_slot(front->sring, front->nr_ents, front->slot_size, index), size);
}

/* Of a response that is ready, the first `size` bytes. */
PV_INLINE void pv_front_prefetch(const struct pv_front_ring *front, uint32_t index, size_t size)
{
    pv_ring_prefetch(pv_ring_slot(front->sring, front->nr_ents, front->slot_size, index), size);
}

/* Before sleeping: true when there is something to do (a response, or the backend's fault). When
 * false, the backend has been asked to notify at its next response. */
PV_INLINE bool pv_front_final_check(const struct pv_front_ring *front)
{
    if (pv_front_unconsumed_responses(front) != 0)
        return true;
    pv_ring_arm(&front->sring->rsp_event, front->rsp_cons);
    return pv_front_unconsumed_responses(front) != 0;
}

/* ---- Back half ----------------------------------------------------------------------------- */

PV_INLINE void pv_back_ring_attach(struct pv_back_ring *back, struct pv_sring *sring,
                                   size_t area_bytes, uint32_t slot_size, uint32_t index)
{
    back->sring = sring;
    back->rsp_prod_pvt = index;
    back->req_cons = index;
    back->nr_ents = pv_ring_entries(area_bytes, slot_size);
    back->slot_size = slot_size;
}

/* Requests ready to take, or -EPROTO when the frontend claims more than there are slots whose
 * request is answered: the ring stops for good. */
PV_INLINE int pv_back_unconsumed_requests(const struct pv_back_ring *back)
{
    return pv_ring_unconsumed(&back->sring->req_prod, back->req_cons,
                              back->nr_ents - (back->req_cons - back->rsp_prod_pvt));
}

PV_INLINE void pv_back_copy_request(const struct pv_back_ring *back, uint32_t index, void *copy,
                                    size_t size)
{
    pv_ring_copy(copy, pv_ring_slot(back->sring, back->nr_ents, back->slot_size, index), size);
}

/* After the slot's first `size` bytes were copied, those before `end`: no byte is read twice. */
PV_INLINE void pv_back_copy_request_rest(const struct pv_back_ring *back, uint32_t index,
                                         void *copy, size_t size, size_t end)
{
    pv_ring_copy((uint8_t *)copy + size,
                 pv_ring_slot(back->sring, back->nr_ents, back->slot_size, index) + size,
                 end - size);
}

/* Of a request that is ready, the first `size` bytes. */
PV_INLINE void pv_back_prefetch(const struct pv_back_ring *back, uint32_t index, size_t size)
{
    pv_ring_prefetch(pv_ring_slot(back->sring, back->nr_ents, back->slot_size, index), size);
}

PV_INLINE void *pv_back_response_slot(const struct pv_back_ring *back, uint32_t index)
{
    return pv_ring_slot(back->sring, back->nr_ents, back->slot_size, index);
}

/* Publishes all written responses; true when the frontend must be notified. */
PV_INLINE bool pv_back_push_responses(struct pv_back_ring *back)
{
    return pv_ring_publish(&back->sring->rsp_prod, &back->sring->rsp_event, back->rsp_prod_pvt);
}

/* Before sleeping: true when there is something to do (a request, or the frontend's fault). When
 * false, the frontend has been asked to notify at its next request. */
PV_INLINE bool pv_back_final_check(const struct pv_back_ring *back)
{
    if (pv_back_unconsumed_requests(back) != 0)
        return true;
    pv_ring_arm(&back->sring->req_event, back->req_cons);
    return pv_back_unconsumed_requests(back) != 0;
}

#endif
