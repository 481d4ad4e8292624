/* Data between the guest's pages and the store: which way they go, and the buffers and grants they
 * hold on it. */
#include "backends/vbd/blkback_private.h"

/* Between the guest's pages and `memory`; without one, the request's buffers. */
static enum blkback_next stage_copies(struct pv_blkback_queue *queue,
                                      struct blkback_request *request, uint8_t *memory,
                                      enum blkback_next after)
{
    bool to_guest = request->operation == BLKIF_OP_READ;
    for (uint32_t i = 0; i < request->nr_segments; i++) {
        const struct pv_blkif_segment *segment = &request->seg[i];
        uint16_t offset = (uint16_t)(segment->first_sect * PV_SECTOR_SIZE);
        uint16_t bytes = (uint16_t)blkback_segment_bytes(segment);
        void *local = memory ? memory : request->iov[i].iov_base;
        if (to_guest)
            copy_batch_to_grant(&queue->copies, segment->gref, offset, local, bytes,
                                &request->copy_failed);
        else
            copy_batch_from_grant(&queue->copies, segment->gref, offset, local, bytes,
                                  &request->copy_failed);
        if (memory)
            memory += bytes;
    }
    request->after_copies = after;
    return BLKBACK_WAIT_COPIES;
}

static bool lacks_buffers(struct pv_blkback_queue *queue, const struct blkback_request *request)
{
    return queue->free_buffer_count < request->nr_segments;
}

static void take_buffers(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    for (uint32_t i = 0; i < request->nr_segments; i++)
        request->iov[i] = (struct iovec){.iov_base = blkback_take_buffer(queue),
                                         .iov_len = blkback_segment_bytes(&request->seg[i])};
    request->nr_buffers = request->nr_segments;
    request->io.iov_count = (int)request->nr_segments;
}

static enum blkback_next start_copied(struct pv_blkback_queue *queue,
                                      struct blkback_request *request)
{
    if (lacks_buffers(queue, request))
        return BLKBACK_WAIT_BUFFERS;
    take_buffers(queue, request);
    if (request->operation == BLKIF_OP_READ)
        return BLKBACK_SUBMIT;
    return stage_copies(queue, request, NULL, BLKBACK_SUBMIT);
}

/* Between its data and the guest's mapped pages there is a buffer. */
static enum blkback_next start_bounced(struct pv_blkback_queue *queue,
                                       struct blkback_request *request)
{
    take_buffers(queue, request);
    if (request->operation != BLKIF_OP_READ)
        blkback_bounce(queue, request);
    return BLKBACK_SUBMIT;
}

static enum blkback_next start_mapped(struct pv_blkback_queue *queue,
                                      struct blkback_request *request, uint8_t *memory)
{
    request->nr_grants = request->nr_segments;
    if (queue->bounces && !memory)
        return start_bounced(queue, request);
    blkback_gather_mapped(request);
    if (!memory)
        return BLKBACK_SUBMIT;
    blkback_copy_mapped(queue, request, memory);
    return BLKBACK_OPERATION_DONE;
}

enum blkback_next blkback_start_data(struct pv_blkback_queue *queue,
                                     struct blkback_request *request)
{
    struct pv_blk_store *store = queue->store;
    if (store->geometry.no_data)
        return BLKBACK_SUBMIT;
    uint8_t *memory = NULL;
    if (store->ops->memory)
        memory = store->ops->memory(store, request->ring.sector_number, request->nr_sectors);
    if (queue->persistent) {
        if (queue->bounces && !memory && lacks_buffers(queue, request))
            return BLKBACK_WAIT_BUFFERS; /* before it holds grants that other requests may wait for
                                          */
        int status =
            grant_cache_acquire(&queue->cache, &request->seg[0].gref, sizeof request->seg[0],
                                request->nr_segments, request->grants);
        if (status == 0)
            return start_mapped(queue, request, memory);
        if (status == -EFAULT)
            return BLKBACK_BAD_GRANT;
        /* The cache is full of grants in use: this request's data are copied. */
    }
    if (memory)
        return stage_copies(queue, request, memory, BLKBACK_OPERATION_DONE);
    return start_copied(queue, request);
}

enum blkback_next blkback_finish_data(struct pv_blkback_queue *queue,
                                      struct blkback_request *request)
{
    if (request->io.op != PV_BLK_READ || request->nr_buffers == 0)
        return BLKBACK_OPERATION_DONE;
    if (request->nr_grants == 0)
        return stage_copies(queue, request, NULL, BLKBACK_OPERATION_DONE);
    blkback_bounce(queue, request);
    return BLKBACK_OPERATION_DONE;
}

void blkback_release_data(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    for (uint32_t i = 0; i < request->nr_buffers; i++)
        queue->free_buffers[queue->free_buffer_count++] = request->iov[i].iov_base;
    request->nr_buffers = 0;
    grant_cache_release(&queue->cache, request->grants, request->nr_grants, queue->now);
    request->nr_grants = 0;
}
