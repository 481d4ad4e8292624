/* A queue takes up the in-flight log of its connection. */
#include "backends/vbd/blkback_private.h"
#include "pvdrivers/ring/abi_layout.h"

static_assert(PV_BLKBACK_MAX_RING_PAGES <= PV_INFLIGHT_MAX_RING_PAGES,
              "an in-flight log names all");

size_t pv_blkback_inflight_size(enum pv_abi abi, uint32_t ring_pages)
{
    size_t area = (size_t)ring_pages * pv_abi_page_size(abi);
    uint32_t slot_size = pv_blkif_slot_size(abi);
    return pv_inflight_size(pv_ring_entries(area, slot_size), slot_size);
}

static struct pv_inflight_identity identify(const struct pv_blkback_config *config)
{
    struct pv_inflight_identity identity = {.frontend = config->frontend,
                                            .abi = (uint32_t)config->abi,
                                            .remote_port = config->remote_port,
                                            .ring_pages = config->ring_pages};
    memcpy(identity.ring_refs, config->ring_refs, config->ring_pages * sizeof(grant_ref_t));
    return identity;
}

int blkback_check_log(const struct pv_blkback_queue *queue, const struct pv_blkback_config *config)
{
    struct pv_inflight_identity identity = identify(config);
    int count = pv_inflight_check(config->inflight, &identity, &queue->ring);
    return count < 0 ? count : 0;
}

/* Requests that an earlier queue left unanswered are in flight again, in the ring's order. */
int blkback_attach_log(struct pv_blkback_queue *queue, const struct pv_blkback_config *config)
{
    struct pv_inflight_identity identity = identify(config);
    struct blkback_request **tail = &queue->resumed;
    int count = pv_inflight_attach(queue->log, &identity, &queue->ring);
    if (count <= 0)
        return count;
    while (queue->made < queue->ring.nr_ents) {
        struct blkback_request *request = blkback_make_request(queue);
        if (request->entry->state == PV_INFLIGHT_TAKEN)
            continue;
        request->next = queue->free;
        queue->free = request;
    }
    for (int i = -1; (i = pv_inflight_next(queue->log, &queue->ring, i)) >= 0;) {
        struct blkback_request *request = &queue->requests[i];
        pv_blkif_decode_request(queue->abi, request->entry->slot, &request->ring);
        *tail = request;
        tail = &request->next;
    }
    *tail = NULL;
    queue->resumed_count = (uint32_t)count;
    queue->stats.requests = queue->stats.resumed = queue->resumed_count;
    return 0;
}
