/* From operations to requests: splitting, copying into granted pages, publishing. */
#include "frontends/vbd/blkfront_private.h"

#include <string.h>

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t pages_of(const struct pv_blkfront_queue *queue, uint64_t bytes)
{
    return (uint32_t)((bytes + queue->page_size - 1) >> queue->pool.page_shift);
}

static bool carries_data(const struct pv_blkfront_io *io)
{
    return io->operation <= BLKIF_OP_WRITE_BARRIER && io->nr_sectors > 0;
}

/* Data in the caller's own granted pages needs no copy when every piece starts a page. */
static bool may_stay_in_place(const struct pv_blkfront_queue *queue,
                              const struct pv_blkfront_io *io)
{
    return queue->config.persistent && queue->config.trusted &&
           page_pool_is_buffer(&queue->pool, io->data, io->nr_sectors * PV_SECTOR_SIZE) &&
           ((uintptr_t)io->data & (queue->page_size - 1)) == 0;
}

/* How much of an operation the next request takes. */
struct request_shape {
    uint32_t bytes, nr_pages, nr_indirect;
    bool in_place;
};

static void shape_pages(const struct pv_blkfront_queue *queue, struct request_shape *shape,
                        uint64_t left, uint32_t max_pages)
{
    uint64_t most = (uint64_t)max_pages << queue->pool.page_shift;
    shape->bytes = (uint32_t)(left < most ? left : most);
    shape->nr_pages = pages_of(queue, shape->bytes);
    shape->nr_indirect = 0;
    if (shape->nr_pages > BLKIF_MAX_SEGMENTS_PER_REQUEST)
        shape->nr_indirect = pages_of(queue, shape->nr_pages * sizeof(struct pv_blkif_segment));
}

/* 0, or -ENOMEM when there are too few free pages. */
static int choose_shape(const struct pv_blkfront_queue *queue, const struct pv_blkfront_io *io,
                        struct request_shape *shape)
{
    *shape = (struct request_shape){0};
    if (!carries_data(io))
        return 0;
    uint64_t left = (io->nr_sectors - io->issued_sectors) * PV_SECTOR_SIZE;
    uint32_t free = queue->pool.nr_free;
    shape->in_place = may_stay_in_place(queue, io);
    shape_pages(queue, shape, left, queue->max_segments);
    if (shape->nr_indirect + (shape->in_place ? 0 : shape->nr_pages) <= free)
        return 0;
    if (queue->ring.req_prod_pvt != queue->ring.rsp_cons)
        return -ENOMEM; /* for now */
    /* Nothing is in flight, so the missing pages are leaked: use those that are left. */
    uint32_t few = min_u32(shape->in_place ? BLKIF_MAX_SEGMENTS_PER_REQUEST : free,
                           BLKIF_MAX_SEGMENTS_PER_REQUEST);
    bool whole = io->operation == BLKIF_OP_WRITE_BARRIER; /* a barrier is one request */
    if (few == 0 || (whole && few < shape->nr_pages))
        return -ENOMEM;
    shape_pages(queue, shape, left, few);
    return 0;
}

/* Halves the request, since there are too few grants; false when it cannot be smaller. */
static bool halve_shape(const struct pv_blkfront_queue *queue, const struct pv_blkfront_io *io,
                        struct request_shape *shape)
{
    if (shape->nr_pages < 2 || io->operation == BLKIF_OP_WRITE_BARRIER)
        return false;
    uint64_t left = (io->nr_sectors - io->issued_sectors) * PV_SECTOR_SIZE;
    shape_pages(queue, shape, left, shape->nr_pages / 2);
    return true;
}

/* Puts a request's share of the data into a page; the rest of the page shows nothing of ours to
 * an untrusted backend (XSA-403). */
static void fill_page(struct pv_blkfront_queue *queue, uint8_t *page, const uint8_t *data,
                      uint32_t bytes, bool write)
{
    uint32_t copied = write ? bytes : 0;
    if (write) {
        memcpy(page, data, bytes);
        queue->stats.bytes_copied += bytes;
    }
    if (!queue->config.trusted)
        memset(page + copied, 0, queue->page_size - copied);
}

/* Adds a granted page to a request: the given one of the caller's buffers, or a free one. */
static int add_page(struct pv_blkfront_queue *queue, struct shadow *shadow, bool readonly,
                    const uint8_t *in_place)
{
    struct page_pool *pool = &queue->pool;
    uint32_t page = in_place ? page_pool_page(pool, in_place) : page_pool_take(pool);
    shadow->pages[shadow->nr_pages++] = page; /* from here on released with the request */
    return page_pool_grant(pool, page, readonly);
}

static int add_data(struct pv_blkfront_queue *queue, struct shadow *shadow,
                    const struct request_shape *shape, bool write,
                    struct pv_blkif_segment *segments)
{
    uint8_t *data = shadow->data;
    uint32_t left = shape->bytes;
    for (uint32_t i = 0; i < shape->nr_pages; i++, data += queue->page_size) {
        uint32_t bytes = min_u32(left, queue->page_size);
        left -= bytes;
        int error = add_page(queue, shadow, write, shape->in_place ? data : NULL);
        if (error)
            return error;
        uint32_t page = shadow->pages[i];
        if (!shape->in_place)
            fill_page(queue, page_pool_address(&queue->pool, page), data, bytes, write);
        segments[i].gref = queue->pool.grefs[page];
        segments[i].first_sect = 0;
        segments[i].last_sect = (uint8_t)(bytes / PV_SECTOR_SIZE - 1);
    }
    return 0;
}

/* Pages of segment descriptors, whose layout is the same in every ABI. */
static int add_descriptors(struct pv_blkfront_queue *queue, struct shadow *shadow,
                           const struct request_shape *shape, struct pv_blkif_request *request)
{
    for (uint32_t i = 0; i < shape->nr_indirect; i++) {
        int error = add_page(queue, shadow, true, NULL);
        if (error)
            return error;
        uint32_t first = i * queue->descriptors_per_page;
        uint32_t count = min_u32(shape->nr_pages - first, queue->descriptors_per_page);
        uint32_t page = shadow->pages[shadow->nr_pages - 1];
        uint32_t bytes = count * (uint32_t)sizeof(*queue->segments);
        memcpy(page_pool_address(&queue->pool, page), queue->segments + first, bytes);
        memset(page_pool_address(&queue->pool, page) + bytes, 0, queue->page_size - bytes);
        request->indirect_grefs[i] = queue->pool.grefs[page];
    }
    return 0;
}

static int attach_pages(struct pv_blkfront_queue *queue, struct shadow *shadow,
                        const struct request_shape *shape, struct pv_blkif_request *request)
{
    bool write = request->operation != BLKIF_OP_READ;
    bool indirect = shape->nr_indirect > 0;
    int error = add_data(queue, shadow, shape, write, indirect ? queue->segments : request->seg);
    if (error || !indirect)
        return error;
    request->indirect_op = request->operation;
    request->operation = BLKIF_OP_INDIRECT;
    return add_descriptors(queue, shadow, shape, request);
}

static void count_request(struct pv_blkfront_stats *stats, const struct pv_blkif_request *request,
                          uint8_t echo, uint32_t sectors)
{
    stats->indirect_req += request->operation == BLKIF_OP_INDIRECT;
    switch (echo) {
    case BLKIF_OP_READ:
        stats->rd_req++;
        stats->rd_sect += sectors;
        break;
    case BLKIF_OP_WRITE_BARRIER:
        stats->br_req++;
        stats->wr_sect += sectors;
        break;
    case BLKIF_OP_WRITE:
        stats->wr_req++;
        stats->wr_sect += sectors;
        break;
    case BLKIF_OP_FLUSH_DISKCACHE:
        stats->f_req++;
        break;
    case BLKIF_OP_DISCARD:
        stats->ds_req++;
        stats->ds_sect += request->nr_sectors;
        break;
    }
}

static uint8_t operation_on_ring(const struct pv_blkfront_queue *queue,
                                 const struct pv_blkfront_io *io)
{
    if (io->operation == BLKIF_OP_FLUSH_DISKCACHE && !queue->features.flush)
        return BLKIF_OP_WRITE_BARRIER; /* an empty one flushes too */
    return io->operation;
}

void pv_blkfront_release(struct pv_blkfront_queue *queue, struct shadow *shadow)
{
    while (shadow->nr_pages > 0) /* backwards, so that the first page is the next one taken */
        page_pool_release(&queue->pool, shadow->pages[--shadow->nr_pages]);
    shadow->io = NULL;
    shadow->next_free = queue->free_id;
    queue->free_id = (uint32_t)(shadow - queue->shadows);
}

static int issue_request(struct pv_blkfront_queue *queue, struct pv_blkfront_io *io,
                         const struct request_shape *shape)
{
    uint32_t id = queue->free_id;
    struct shadow *shadow = &queue->shadows[id];
    struct pv_blkif_request *request = &queue->request;
    request->operation = operation_on_ring(queue, io);
    request->nr_segments = (uint16_t)shape->nr_pages;
    request->id = id;
    request->sector_number = io->sector + io->issued_sectors;
    request->nr_sectors = io->operation == BLKIF_OP_DISCARD ? io->nr_sectors : 0;
    request->discard_flags = io->secure ? BLKIF_DISCARD_SECURE : 0;
    request->handle = queue->config.handle;
    queue->free_id = shadow->next_free;
    shadow->io = io;
    shadow->echo = request->operation;
    shadow->in_place = shape->in_place;
    shadow->bytes = shape->bytes;
    if (shape->bytes > 0)
        shadow->data = (uint8_t *)io->data + io->issued_sectors * PV_SECTOR_SIZE;
    int error = attach_pages(queue, shadow, shape, request);
    if (error) {
        pv_blkfront_release(queue, shadow);
        return error;
    }
    count_request(&queue->stats, request, shadow->echo, shape->bytes / PV_SECTOR_SIZE);
    pv_blkif_encode_request(queue->hypervisor->abi, request,
                            pv_front_request_slot(&queue->ring, queue->ring.req_prod_pvt));
    queue->ring.req_prod_pvt++;
    io->in_flight++;
    io->issued_sectors += carries_data(io) ? shape->bytes / PV_SECTOR_SIZE : io->nr_sectors;
    return 0;
}

/* Ends an operation that no request can carry out: its feature was withdrawn while it waited. */
static int unsupported(const struct pv_blkfront_queue *queue, const struct pv_blkfront_io *io)
{
    const struct pv_blkfront_features *features = &queue->features;
    switch (io->operation) {
    case BLKIF_OP_WRITE_BARRIER:
        return features->barrier ? 0 : -EOPNOTSUPP;
    case BLKIF_OP_DISCARD:
        return features->discard ? 0 : -EOPNOTSUPP;
    default:
        return 0;
    }
}

/* Puts as much of one operation on the ring as there is room for; true when that is all of it. */
static bool issue_io(struct pv_blkfront_queue *queue, struct pv_blkfront_io *io)
{
    const struct pv_blkfront_features *features = &queue->features;
    io->status = io->status ? io->status : unsupported(queue, io);
    if (io->operation == BLKIF_OP_FLUSH_DISKCACHE && !features->flush && !features->barrier)
        return true; /* a backend that cannot flush has no cache to lose */
    while (io->status == 0) {
        struct request_shape shape;
        if (queue->free_id == queue->ring.nr_ents)
            return false;
        int error = choose_shape(queue, io, &shape);
        if (!error)
            error = issue_request(queue, io, &shape);
        bool others = queue->ring.req_prod_pvt != queue->ring.rsp_cons;
        if (error && others)
            return false; /* what is in flight gives its pages and grants back */
        while (error == -ENOSPC && halve_shape(queue, io, &shape))
            error = issue_request(queue, io, &shape);
        io->status = error;
        if (io->issued_sectors == io->nr_sectors)
            return true;
    }
    return true;
}

static void publish(struct pv_blkfront_queue *queue)
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

void pv_blkfront_issue(struct pv_blkfront_queue *queue)
{
    while (queue->waiting) {
        struct pv_blkfront_io *io = queue->waiting;
        if (!issue_io(queue, io))
            break;
        queue->waiting = io->next;
        if (io->in_flight == 0)
            pv_blkfront_finish(queue, io);
    }
    publish(queue);
}
