/* A queue takes up the in-flight log of its connection. */
#include "backends/scsi/scsiback_private.h"
#include "pvdrivers/ring/abi_layout.h"

size_t pv_scsiback_inflight_size(enum pv_abi abi)
{
    return pv_inflight_size(pv_ring_entries(pv_abi_page_size(abi), VSCSIIF_SLOT_SIZE),
                            VSCSIIF_SLOT_SIZE);
}

static struct pv_inflight_identity identify(const struct pv_scsiback_config *config)
{
    return (struct pv_inflight_identity){.frontend = config->frontend,
                                         .abi = (uint32_t)config->abi,
                                         .remote_port = config->remote_port,
                                         .ring_pages = 1,
                                         .ring_refs = {config->ring_ref}};
}

int scsiback_check_log(const struct pv_scsiback_queue *queue,
                       const struct pv_scsiback_config *config)
{
    struct pv_inflight_identity identity = identify(config);
    int count = pv_inflight_check(config->inflight, &identity, &queue->ring);
    return count < 0 ? count : 0;
}

/* Requests that an earlier queue left unanswered are in flight again, in the ring's order. */
int scsiback_attach_log(struct pv_scsiback_queue *queue, const struct pv_scsiback_config *config)
{
    struct pv_inflight_identity identity = identify(config);
    struct scsiback_request **tail = &queue->resumed;
    int count = pv_inflight_attach(queue->log, &identity, &queue->ring);
    if (count <= 0)
        return count;
    while (queue->made < queue->ring.nr_ents) {
        struct scsiback_request *request = scsiback_make_request(queue);
        if (request->entry->state == PV_INFLIGHT_TAKEN)
            continue;
        request->next = queue->free;
        queue->free = request;
    }
    for (int i = -1; (i = pv_inflight_next(queue->log, &queue->ring, i)) >= 0;) {
        struct scsiback_request *request = &queue->requests[i];
        *tail = request;
        tail = &request->next;
    }
    *tail = NULL;
    queue->resumed_count = (uint32_t)count;
    queue->stats.requests = queue->stats.resumed = queue->resumed_count;
    return 0;
}
