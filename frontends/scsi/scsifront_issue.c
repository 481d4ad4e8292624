/* From commands to requests: copying into granted pages, listing segments, publishing. */
#include "frontends/scsi/scsifront_private.h"

#include <string.h>

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- Data ---------------------------------------------------------------------------------- */

/* How many pages a request takes. */
struct request_shape {
    uint32_t nr_data, nr_lists;
    uint32_t offset; /* of the data in the first page */
    bool in_place;
};

static uint32_t pages_for(const struct pv_scsifront_queue *queue, uint64_t bytes)
{
    return (uint32_t)((bytes + queue->page_size - 1) >> queue->page_shift);
}

static struct request_shape shape_of(const struct pv_scsifront_queue *queue,
                                     const struct pv_scsifront_command *command)
{
    struct request_shape shape = {0};
    /* A page that the backend still uses after its request is not granted a second time. */
    if (command->in_place && queue->pool.grants_leaked == 0) {
        size_t place = (size_t)((const uint8_t *)command->data - queue->pool.area);
        shape.offset = (uint32_t)place & (queue->page_size - 1);
        shape.nr_data = pages_for(queue, (uint64_t)shape.offset + command->length);
        shape.in_place = shape.nr_data <= queue->max_segments;
    }
    if (!shape.in_place) {
        shape.offset = 0;
        shape.nr_data = pages_for(queue, command->length);
    }
    if (shape.nr_data > VSCSIIF_SG_TABLESIZE)
        shape.nr_lists = pages_for(queue, shape.nr_data * sizeof(struct pv_vscsiif_segment));
    return shape;
}

/* Adds a granted page to a request: the given one of the caller's buffers, or a free one. */
static int add_page(struct pv_scsifront_queue *queue, struct shadow *shadow, bool readonly,
                    const uint8_t *in_place)
{
    struct page_pool *pool = &queue->pool;
    uint32_t page = in_place ? page_pool_page(pool, in_place) : page_pool_take(pool);
    shadow->pages[shadow->nr_pages++] = page; /* from here on released with the request */
    /* Commands of both directions may use a page of the caller's buffers at a time. */
    return page_pool_grant(pool, page, readonly && !in_place);
}

static int add_data(struct pv_scsifront_queue *queue, struct shadow *shadow,
                    const struct request_shape *shape, struct pv_vscsiif_segment *segments)
{
    const struct pv_scsifront_command *command = shadow->command;
    bool write = command->direction == VSCSIIF_TO_DEVICE;
    uint8_t *data = command->data;
    uint32_t left = command->length, offset = shape->offset;
    for (uint32_t i = 0; i < shape->nr_data; i++) {
        uint32_t bytes = min_u32(left, queue->page_size - offset);
        int error = add_page(queue, shadow, write, shape->in_place ? data : NULL);
        if (error)
            return error;
        uint32_t page = shadow->pages[i];
        if (write && !shape->in_place)
            memcpy(page_pool_address(&queue->pool, page), data, bytes);
        segments[i] = (struct pv_vscsiif_segment){
            .gref = queue->pool.grefs[page], .offset = (uint16_t)offset, .length = (uint16_t)bytes};
        data += bytes;
        left -= bytes;
        offset = 0;
    }
    if (write && !shape->in_place)
        queue->stats.bytes_copied += command->length;
    return 0;
}

/* Pages that list the segments, which lie as in a slot. */
static int add_lists(struct pv_scsifront_queue *queue, struct shadow *shadow,
                     const struct request_shape *shape, struct vscsiif_request *request)
{
    for (uint32_t i = 0; i < shape->nr_lists; i++) {
        int error = add_page(queue, shadow, true, NULL);
        if (error)
            return error;
        uint32_t first = i * queue->segments_per_page;
        uint32_t count = min_u32(shape->nr_data - first, queue->segments_per_page);
        uint32_t page = shadow->pages[shadow->nr_pages - 1];
        uint32_t bytes = count * (uint32_t)sizeof(*queue->segments);
        memcpy(page_pool_address(&queue->pool, page), queue->segments + first, bytes);
        request->seg[i] =
            (struct pv_vscsiif_segment){.gref = queue->pool.grefs[page], .length = (uint16_t)bytes};
    }
    request->nr_segments = (uint8_t)(VSCSIIF_SG_GRANT | shape->nr_lists);
    return 0;
}

static int attach_pages(struct pv_scsifront_queue *queue, struct shadow *shadow,
                        const struct request_shape *shape, struct vscsiif_request *request)
{
    request->nr_segments = (uint8_t)shape->nr_data;
    if (shape->nr_lists == 0)
        return add_data(queue, shadow, shape, request->seg);
    int error = add_data(queue, shadow, shape, queue->segments);
    return error ? error : add_lists(queue, shadow, shape, request);
}

/* ---- Requests ------------------------------------------------------------------------------ */

void pv_scsifront_release(struct pv_scsifront_queue *queue, struct shadow *shadow)
{
    while (shadow->nr_pages > 0) /* backwards, so that the first page is the next one taken */
        page_pool_release(&queue->pool, shadow->pages[--shadow->nr_pages]);
    queue->in_flight -= shadow->command != NULL;
    shadow->command = NULL;
    shadow->on_ring = false;
    shadow->next_free = (uint16_t)queue->free_rqid;
    queue->free_rqid = (uint32_t)(shadow - queue->shadows);
}

static struct shadow *take_shadow(struct pv_scsifront_queue *queue,
                                  struct pv_scsifront_command *command)
{
    struct shadow *shadow = &queue->shadows[queue->free_rqid];
    command->rqid = (uint16_t)queue->free_rqid;
    queue->free_rqid = shadow->next_free;
    queue->in_flight++;
    shadow->on_ring = true;
    shadow->command = command;
    return shadow;
}

/* The next slot, with a request that has no data. It is built in place, and nothing is read of it;
 * segments that it does not use, and the reserved bytes, stay as they are. */
static struct vscsiif_request *begin_request(struct pv_scsifront_queue *queue,
                                             const struct pv_scsifront_command *command)
{
    struct vscsiif_request *request = pv_front_request_slot(&queue->ring, queue->ring.req_prod_pvt);
    request->rqid = command->rqid;
    request->act = command->act;
    request->cmd_len = 0;
    memcpy(request->cmnd, command->cdb, sizeof request->cmnd);
    request->timeout_per_command = 0;
    request->channel = command->channel;
    request->id = command->target;
    request->lun = command->lun;
    request->ref_rqid = command->act == VSCSIIF_ACT_SCSI_ABORT ? command->subject_rqid : 0;
    request->sc_data_direction = VSCSIIF_NO_DATA;
    request->nr_segments = 0;
    return request;
}

static void put_request(struct pv_scsifront_queue *queue, struct pv_scsifront_command *command)
{
    command->place = PV_SCSIFRONT_ON_RING;
    queue->ring.req_prod_pvt++;
}

static void count_cdb(struct pv_scsifront_stats *stats, const struct pv_scsifront_command *command,
                      const struct request_shape *shape)
{
    stats->cdb_req++;
    stats->sg_grant_req += shape->nr_lists > 0;
    if (command->direction == VSCSIIF_TO_DEVICE)
        stats->bytes_out += command->length;
    else
        stats->bytes_in += command->length;
}

/* 0; -ENOMEM: there are too few free pages; or why a page could not be granted. */
static int issue_cdb(struct pv_scsifront_queue *queue, struct pv_scsifront_command *command)
{
    struct request_shape shape = shape_of(queue, command);
    if (shape.nr_lists + (shape.in_place ? 0 : shape.nr_data) > queue->pool.nr_free)
        return -ENOMEM;
    struct shadow *shadow = take_shadow(queue, command);
    struct vscsiif_request *request = begin_request(queue, command);
    request->cmd_len = command->cdb_length;
    request->sc_data_direction = command->direction;
    command->in_place = shape.in_place;
    int error = attach_pages(queue, shadow, &shape, request);
    if (error) {
        pv_scsifront_release(queue, shadow);
        return error;
    }
    count_cdb(&queue->stats, command, &shape);
    put_request(queue, command);
    return 0;
}

static bool has_room(const struct pv_scsifront_queue *queue, uint32_t reserved)
{
    return pv_front_free_requests(&queue->ring) > reserved;
}

static void issue_urgent(struct pv_scsifront_queue *queue)
{
    struct pv_scsifront_command *command;
    while ((command = queue->urgent.first)) {
        bool abort = command->act == VSCSIIF_ACT_SCSI_ABORT;
        bool over = abort && !subject_of(queue, command);
        if (!over && !has_room(queue, 0))
            return;
        pv_scsifront_list_remove(&queue->urgent, command);
        if (over) {
            pv_scsifront_finish(queue, command, VSCSIIF_RSLT_RESET_SUCCESS);
            continue;
        }
        take_shadow(queue, command);
        begin_request(queue, command);
        put_request(queue, command);
        *(abort ? &queue->stats.abort_req : &queue->stats.reset_req) += 1;
    }
}

static void issue_waiting(struct pv_scsifront_queue *queue)
{
    struct pv_scsifront_command *command;
    while ((command = queue->waiting.first) && has_room(queue, RESERVED_SLOTS)) {
        int error = issue_cdb(queue, command);
        if (error && queue->in_flight > 0)
            return; /* what is in flight gives its pages and grants back */
        pv_scsifront_list_remove(&queue->waiting, command);
        if (error)
            pv_scsifront_finish_unanswered(queue, command, RSLT_ERROR);
    }
}

static void publish(struct pv_scsifront_queue *queue)
{
    if (queue->published == queue->ring.req_prod_pvt)
        return;
    queue->published = queue->ring.req_prod_pvt;
    if (!pv_front_push_requests(&queue->ring)) {
        queue->stats.notifications_suppressed++;
        return;
    }
    queue->stats.notifications_sent++;
    queue->hypervisor->ops->evtchn_notify(queue->config.evtchn, queue->port);
}

void pv_scsifront_issue(struct pv_scsifront_queue *queue)
{
    issue_urgent(queue);
    issue_waiting(queue);
    publish(queue);
}
