/* A frontend's ring, mapped and taken up where an earlier backend stopped. */
#ifndef BACKENDS_MAP_RING_H
#define BACKENDS_MAP_RING_H

#include "pvdrivers/hypervisor.h"
#include "pvdrivers/ring/ring.h"

struct ring_source {
    struct pv_hypervisor *hypervisor;
    domid_t frontend;
    const grant_ref_t *refs;
    uint32_t pages, page_size; /* bytes of each, by the ABI that the frontend names */
    uint32_t slot_size;
};

/* 0, or a negative errno: -EPROTO, the frontend's pages are not as large as its ABI's, and nothing
 * stays mapped; -EIO, its index makes no sense. What is mapped is at ring->sring. */
int map_ring(const struct ring_source *source, struct pv_back_ring *ring);

#endif
