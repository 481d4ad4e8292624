/* Data between the guest's pages and the store: which way they go, and grant copies that a whole
 * batch shares. */
#include "backends/vbd/blkback_private.h"

/* Carries out the staged copies and tells each failure to the request it belongs to. */
static void flush_copies(struct pv_blkback_queue *queue)
{
    uint32_t count = queue->copy_count;
    if (count == 0)
        return;
    const struct pv_hypervisor_ops *ops = queue->pollable.hypervisor->ops;
    bool failed = ops->gnttab_copy(queue->pollable.hypervisor, queue->copies, count) < 0;
    queue->copy_count = 0;
    queue->stats.grant_copy_calls++;
    queue->stats.grant_copies += count;
    for (uint32_t i = 0; i < count; i++) {
        if (failed || queue->copies[i].status != GNTST_okay)
            queue->copy_owner[i]->copy_failed = true;
        else
            queue->stats.bytes_copied += queue->copies[i].len;
    }
}

void blkback_stage_copy(struct pv_blkback_queue *queue, struct blkback_request *request,
                        const struct pv_grant_copy *copy)
{
    if (queue->copy_count == BLKBACK_COPY_BATCH)
        flush_copies(queue);
    queue->copies[queue->copy_count] = *copy;
    /* What the hypervisor does not get to is a failure (XSA-318). */
    queue->copies[queue->copy_count].status = GNTST_general_error;
    queue->copy_owner[queue->copy_count++] = request;
}

void blkback_run_copies(struct pv_blkback_queue *queue)
{
    flush_copies(queue);
    struct blkback_request *request = request_list_take_all(&queue->copying);
    while (request) {
        struct blkback_request *next = request->next;
        if (request->copy_failed)
            blkback_fail(queue, request, PV_BLKBACK_BAD_GRANT);
        else
            blkback_copies_done(queue, request);
        request = next;
    }
}

static void wait_for_copies(struct pv_blkback_queue *queue, struct blkback_request *request,
                            enum blkback_stage stage)
{
    request->stage = stage;
    request_list_add(&queue->copying, request);
}

static void copy_descriptors(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    uint32_t per_page = blkback_descriptors_per_page(queue), left = request->nr_segments;
    for (uint32_t page = 0; left > 0; page++) {
        uint32_t here = left < per_page ? left : per_page;
        blkback_stage_copy(
            queue, request,
            &(struct pv_grant_copy){
                .source = {.ref = request->ring.indirect_grefs[page], .domid = queue->frontend},
                .dest = {.address = request->indirect + page * per_page, .domid = DOMID_SELF},
                .len = (uint16_t)(here * sizeof(struct pv_blkif_segment)),
                .flags = GNTCOPY_source_gref});
        left -= here;
    }
    wait_for_copies(queue, request, BLKBACK_FETCH);
}

/* The descriptors of an indirect request, each page copied once and only as far as used. */
void blkback_fetch_descriptors(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    request->seg = request->indirect;
    int status = queue->persistent ? blkback_read_descriptors(queue, request) : -ENOSPC;
    if (status == 0)
        blkback_check_and_start(queue, request);
    else if (status == -EFAULT)
        blkback_fail(queue, request, PV_BLKBACK_BAD_GRANT);
    else
        copy_descriptors(queue, request);
}

static void stage_segment(struct pv_blkback_queue *queue, struct blkback_request *request,
                          const struct pv_blkif_segment *segment, void *local, bool to_guest)
{
    struct pv_grant_copy_end guest = {.ref = segment->gref,
                                      .domid = queue->frontend,
                                      .offset = (uint16_t)(segment->first_sect * 512)};
    struct pv_grant_copy_end here = {.address = local, .domid = DOMID_SELF};
    struct pv_grant_copy copy = {.source = to_guest ? here : guest,
                                 .dest = to_guest ? guest : here,
                                 .len = (uint16_t)blkback_segment_bytes(segment),
                                 .flags = to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref};
    blkback_stage_copy(queue, request, &copy);
}

static void stage_all(struct pv_blkback_queue *queue, struct blkback_request *request,
                      uint8_t *memory)
{
    bool to_guest = request->operation == BLKIF_OP_READ;
    for (uint32_t i = 0; i < request->nr_segments; i++) {
        void *local = memory ? memory : request->iov[i].iov_base;
        stage_segment(queue, request, &request->seg[i], local, to_guest);
        if (memory)
            memory += blkback_segment_bytes(&request->seg[i]);
    }
}

static bool waits_for_buffers(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    if (queue->free_buffer_count >= request->nr_segments)
        return false;
    queue->stats.oo_req++;
    request_list_add(&queue->waiting, request);
    return true;
}

static void take_buffers(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    for (uint32_t i = 0; i < request->nr_segments; i++)
        request->iov[i] = (struct iovec){.iov_base = blkback_take_buffer(queue),
                                         .iov_len = blkback_segment_bytes(&request->seg[i])};
    request->nr_buffers = request->nr_segments;
    request->io.iov_count = (int)request->nr_segments;
}

static void start_with_buffers(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    if (waits_for_buffers(queue, request))
        return;
    take_buffers(queue, request);
    if (request->operation == BLKIF_OP_READ) {
        blkback_submit(queue, request);
        return;
    }
    stage_all(queue, request, NULL);
    wait_for_copies(queue, request, BLKBACK_LOAD);
}

/* Between its data and the guest's mapped pages there is a buffer. */
static void start_bounced(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    take_buffers(queue, request);
    if (request->operation != BLKIF_OP_READ)
        blkback_bounce(queue, request);
    blkback_submit(queue, request);
}

static void start_mapped(struct pv_blkback_queue *queue, struct blkback_request *request,
                         uint8_t *memory)
{
    request->nr_grants = request->nr_segments;
    if (queue->bounces && !memory) {
        start_bounced(queue, request);
        return;
    }
    blkback_gather_mapped(request);
    if (memory) {
        blkback_copy_mapped(queue, request, memory);
        blkback_step_done(queue, request);
        return;
    }
    blkback_submit(queue, request);
}

void blkback_start_data(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    struct pv_blk_store *store = queue->store;
    if (store->geometry.no_data) {
        blkback_submit(queue, request);
        return;
    }
    uint8_t *memory = NULL;
    if (store->ops->memory)
        memory = store->ops->memory(store, request->ring.sector_number, request->nr_sectors);
    if (queue->persistent) {
        if (queue->bounces && !memory && waits_for_buffers(queue, request))
            return; /* before it holds grants, which others may wait for */
        int status =
            grant_cache_acquire(&queue->cache, request->seg, request->nr_segments, request->grants);
        if (status == 0) {
            start_mapped(queue, request, memory);
            return;
        }
        if (status == -EFAULT) {
            blkback_fail(queue, request, PV_BLKBACK_BAD_GRANT);
            return;
        }
        /* The cache is full of grants in use: this request goes by copies. */
    }
    if (memory) {
        stage_all(queue, request, memory);
        wait_for_copies(queue, request, BLKBACK_MOVE);
        return;
    }
    start_with_buffers(queue, request);
}

/* The store has read into the buffers: on to the guest. */
void blkback_unload(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    if (request->nr_grants) {
        blkback_bounce(queue, request);
        blkback_step_done(queue, request);
        return;
    }
    stage_all(queue, request, NULL);
    wait_for_copies(queue, request, BLKBACK_UNLOAD);
}

void blkback_release_data(struct pv_blkback_queue *queue, struct blkback_request *request)
{
    for (uint32_t i = 0; i < request->nr_buffers; i++)
        queue->free_buffers[queue->free_buffer_count++] = request->iov[i].iov_base;
    request->nr_buffers = 0;
    grant_cache_release(&queue->cache, request->grants, request->nr_grants, queue->now);
    request->nr_grants = 0;
}
