/* The segment descriptors of indirect requests: each page of them is copied once, and only as far
 * as it is used. */
#include "backends/vbd/blkback_private.h"

/* Descriptors are laid out as struct pv_blkif_segment on every ABI. */
static_assert(sizeof(struct pv_blkif_segment) == 8, "the ABI's descriptor");

enum blkback_next blkback_fetch_descriptors(struct pv_blkback_queue *queue,
                                            struct blkback_request *request)
{
    const grant_ref_t *refs = request->ring.indirect_grefs;
    struct cached_grant *grants[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST];
    const uint32_t size = sizeof(struct pv_blkif_segment), per_page = queue->page_size / size;
    uint32_t left = request->nr_segments, pages = (left + per_page - 1) / per_page;
    int status = -ENOSPC;
    request->seg = request->indirect;
    if (queue->persistent)
        status = grant_cache_acquire(&queue->cache, refs, sizeof *refs, pages, grants);
    if (status == -EFAULT)
        return BLKBACK_BAD_GRANT;
    bool mapped = status == 0; /* false: the cache is full of grants in use */
    for (uint32_t page = 0; page < pages; page++) {
        uint32_t here = left < per_page ? left : per_page;
        struct pv_blkif_segment *descriptors = request->indirect + page * per_page;
        if (mapped)
            memcpy(descriptors, grants[page]->address, here * size);
        else
            copy_batch_from_grant(&queue->copies, refs[page], 0, descriptors,
                                  (uint16_t)(here * size), &request->copy_failed);
        left -= here;
    }
    if (!mapped) {
        request->after_copies = BLKBACK_CHECK;
        return BLKBACK_WAIT_COPIES;
    }
    /* From here on only the copy exists for the compiler (XSA-155). */
    pv_compiler_barrier();
    queue->stats.bytes_copied += request->nr_segments * size;
    grant_cache_release(&queue->cache, grants, pages, queue->now);
    return BLKBACK_CHECK;
}
