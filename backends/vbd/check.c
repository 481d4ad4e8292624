/* What a request may be, in the order of Linux's blkback, so that a request with two faults gets
 * the same answer from both. */
#include "backends/vbd/blkback_private.h"

int blkback_check_operation(const struct pv_blkback_queue *queue,
                            const struct pv_blkif_request *request)
{
    bool offered;
    switch (request->operation) {
    case BLKIF_OP_READ:
    case BLKIF_OP_WRITE:
        offered = true;
        break;
    case BLKIF_OP_WRITE_BARRIER:
        offered = queue->barrier;
        break;
    case BLKIF_OP_FLUSH_DISKCACHE:
        offered = queue->flush;
        break;
    case BLKIF_OP_DISCARD:
        offered = queue->discard;
        break;
    case BLKIF_OP_INDIRECT:
        offered = queue->max_indirect_segments > 0;
        if (offered && request->indirect_op != BLKIF_OP_READ &&
            request->indirect_op != BLKIF_OP_WRITE)
            return PV_BLKBACK_BAD_INDIRECT_OPERATION;
        break;
    default:
        offered = false;
    }
    return offered ? BLKBACK_OK : PV_BLKBACK_BAD_OPERATION;
}

int blkback_check_count(const struct pv_blkback_queue *queue,
                        const struct pv_blkif_request *request)
{
    uint32_t least = 1, most = BLKIF_MAX_SEGMENTS_PER_REQUEST;
    switch (request->operation) {
    case BLKIF_OP_DISCARD: /* the field's place holds the flags */
        return BLKBACK_OK;
    case BLKIF_OP_INDIRECT:
        most = queue->max_indirect_segments;
        break;
    case BLKIF_OP_WRITE_BARRIER:
    case BLKIF_OP_FLUSH_DISKCACHE:
        least = 0;
        break;
    }
    bool within = request->nr_segments >= least && request->nr_segments <= most;
    return within ? BLKBACK_OK : PV_BLKBACK_BAD_SEGMENT_COUNT;
}

int blkback_check_segments(const struct pv_blkback_queue *queue, struct blkback_request *request)
{
    uint32_t page_sectors = queue->page_size / PV_SECTOR_SIZE;
    request->nr_sectors = 0;
    for (uint32_t i = 0; i < request->nr_segments; i++) {
        const struct pv_blkif_segment *segment = &request->seg[i];
        if (segment->last_sect >= page_sectors || segment->last_sect < segment->first_sect)
            return PV_BLKBACK_BAD_SEGMENT;
        request->nr_sectors += segment->last_sect - segment->first_sect + 1u;
    }
    return BLKBACK_OK;
}

/* Linux looks at the alignment of each segment's length too, not only at their sum. */
static bool aligned(const struct pv_blkback_queue *queue, const struct blkback_request *request)
{
    uint64_t bits = request->ring.sector_number;
    if (request->operation == BLKIF_OP_DISCARD)
        bits |= request->nr_sectors;
    for (uint32_t i = 0; i < request->nr_segments; i++)
        bits |= request->seg[i].last_sect - request->seg[i].first_sect + 1u;
    return (bits & (queue->store->geometry.sector_size / PV_SECTOR_SIZE - 1)) == 0;
}

int blkback_check_range(const struct pv_blkback_queue *queue, const struct blkback_request *request)
{
    const struct pv_blk_geometry *geometry = &queue->store->geometry;
    if (request->operation != BLKIF_OP_READ && (queue->read_only || geometry->read_only))
        return PV_BLKBACK_READ_ONLY;
    if (request->nr_sectors == 0)
        return BLKBACK_OK; /* an empty flush: its sector number means nothing */
    uint64_t end;
    if (__builtin_add_overflow(request->ring.sector_number, request->nr_sectors, &end) ||
        end > geometry->sectors)
        return PV_BLKBACK_OUT_OF_RANGE;
    return aligned(queue, request) ? BLKBACK_OK : PV_BLKBACK_UNALIGNED;
}
