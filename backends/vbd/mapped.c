/* Data between the guest's pages and the store through pages that stay mapped. */
#include "backends/vbd/blkback_private.h"

static uint8_t *mapped_data(const struct blkback_request *request, uint32_t segment)
{
    return (uint8_t *)request->grants[segment]->address +
           request->seg[segment].first_sect * PV_SECTOR_SIZE;
}

/* A guest's buffer is often one piece, and its pages mapped side by side: neighbours become one
 * element. */
void blkback_gather_mapped(struct blkback_request *request)
{
    struct iovec *last = NULL;
    request->io.iov_count = 0;
    for (uint32_t i = 0; i < request->nr_segments; i++) {
        uint8_t *data = mapped_data(request, i);
        uint32_t bytes = blkback_segment_bytes(&request->seg[i]);
        if (last && (uint8_t *)last->iov_base + last->iov_len == data) {
            last->iov_len += bytes;
            continue;
        }
        last = &request->iov[request->io.iov_count++];
        *last = (struct iovec){.iov_base = data, .iov_len = bytes};
    }
}

void blkback_copy_mapped(struct pv_blkback_queue *queue, const struct blkback_request *request,
                         uint8_t *memory)
{
    for (int i = 0; i < request->io.iov_count; i++) {
        const struct iovec *piece = &request->iov[i];
        if (request->operation == BLKIF_OP_READ)
            memcpy(piece->iov_base, memory, piece->iov_len);
        else
            memcpy(memory, piece->iov_base, piece->iov_len);
        memory += piece->iov_len;
        queue->stats.bytes_copied += piece->iov_len;
    }
}

void blkback_bounce(struct pv_blkback_queue *queue, const struct blkback_request *request)
{
    for (uint32_t i = 0; i < request->nr_segments; i++) {
        const struct iovec *buffer = &request->iov[i];
        uint8_t *data = mapped_data(request, i);
        if (request->operation == BLKIF_OP_READ)
            memcpy(data, buffer->iov_base, buffer->iov_len);
        else
            memcpy(buffer->iov_base, data, buffer->iov_len);
        queue->stats.bytes_copied += buffer->iov_len;
    }
    /* From here on only the copy exists for the compiler: what the guest still writes to its pages
     * does not reach the store (XSA-155). */
    pv_compiler_barrier();
}
