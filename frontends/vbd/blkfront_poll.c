/* Takes responses. Nothing in one is used before it has been checked. */
#include "frontends/vbd/blkfront_private.h"

#include <string.h>

#define PREFETCHED 4u /* slots prefetched from the backend's cache while one is worked on */

static int break_queue(struct pv_blkfront_queue *queue, enum pv_blkfront_violation violation)
{
    queue->violation = violation;
    queue->stats.violations++;
    return -EPROTO;
}

/* A backend that does not know an operation it offered, or the old ones' plain error on their first
 * empty flush: the feature is off from now on. Returns the operation's result. */
static int lose_feature(struct pv_blkfront_queue *queue, const struct pv_blkfront_io *io,
                        uint8_t operation)
{
    queue->stats.not_supported++;
    if (operation == BLKIF_OP_DISCARD) {
        queue->features.discard = queue->features.secure_discard = false;
        return -EOPNOTSUPP;
    }
    queue->features.flush = queue->features.barrier = false;
    /* A barrier's data has not been written, and its submitter must know. */
    return io->nr_sectors > 0 ? -EOPNOTSUPP : 0;
}

static int result_of(struct pv_blkfront_queue *queue, const struct shadow *shadow, int16_t status)
{
    uint8_t operation = shadow->echo;
    bool flush = operation == BLKIF_OP_FLUSH_DISKCACHE || operation == BLKIF_OP_WRITE_BARRIER;
    bool empty_flush = flush && shadow->bytes == 0;
    if (status == BLKIF_RSP_OKAY) {
        queue->has_flushed |= empty_flush;
        return 0;
    }
    if (status == BLKIF_RSP_EOPNOTSUPP && (flush || operation == BLKIF_OP_DISCARD))
        return lose_feature(queue, shadow->io, operation);
    /* Later it is the disk's error, and to hide it would lose what the caller takes for stable. */
    if (status == BLKIF_RSP_ERROR && empty_flush && !queue->has_flushed)
        return lose_feature(queue, shadow->io, operation);
    queue->stats.errors++;
    return -EIO;
}

static void copy_out(struct pv_blkfront_queue *queue, const struct shadow *shadow)
{
    uint32_t page_size = queue->page_size;
    for (uint32_t done = 0, i = 0; done < shadow->bytes; done += page_size, i++) {
        uint32_t left = shadow->bytes - done;
        uint32_t bytes = left < page_size ? left : page_size;
        memcpy(shadow->data + done, page_pool_address(&queue->pool, shadow->pages[i]), bytes);
    }
    queue->stats.bytes_copied += shadow->bytes;
}

static enum pv_blkfront_violation check(const struct pv_blkfront_queue *queue,
                                        const struct pv_blkif_response *response)
{
    if (response->id >= queue->ring.nr_ents)
        return PV_BLKFRONT_BAD_ID;
    const struct shadow *shadow = &queue->shadows[response->id];
    if (!shadow->io)
        return PV_BLKFRONT_IDLE_ID;
    return response->operation == shadow->echo ? PV_BLKFRONT_OK : PV_BLKFRONT_WRONG_OPERATION;
}

/* Where poll's caller wants the operations that have ended. */
struct done_list {
    struct pv_blkfront_io **ios;
    unsigned count, room;
};

static void add_finished(struct pv_blkfront_queue *queue, struct done_list *done)
{
    while (done->count < done->room && queue->finished.first) {
        struct pv_blkfront_io *io = queue->finished.first;
        pv_blkfront_list_remove(&queue->finished, io);
        done->ios[done->count++] = io;
    }
}

static void end(struct pv_blkfront_queue *queue, struct pv_blkfront_io *io, struct done_list *done)
{
    if (done->count == done->room) {
        pv_blkfront_finish(queue, io);
        return;
    }
    pv_blkfront_list_remove(&queue->submitted, io);
    done->ios[done->count++] = io;
}

static int take_response(struct pv_blkfront_queue *queue, struct done_list *done)
{
    uint8_t slot[BLKIF_MAX_RESPONSE_SIZE];
    struct pv_blkif_response response;
    pv_front_copy_response(&queue->ring, queue->ring.rsp_cons, slot, BLKIF_MAX_RESPONSE_SIZE);
    pv_blkif_decode_response(queue->hypervisor->abi, slot, &response);
    enum pv_blkfront_violation violation = check(queue, &response);
    if (violation)
        return break_queue(queue, violation);

    struct shadow *shadow = &queue->shadows[response.id];
    struct pv_blkfront_io *io = shadow->io;
    int result = result_of(queue, shadow, response.status);
    if (result == 0 && shadow->echo == BLKIF_OP_READ && !shadow->in_place)
        copy_out(queue, shadow);
    io->status = io->status ? io->status : result; /* the first error counts */
    pv_blkfront_release(queue, shadow);
    queue->ring.rsp_cons++;
    queue->stats.responses++;
    if (--io->in_flight == 0 && io != queue->waiting)
        end(queue, io, done);
    return 0;
}

static int take_responses(struct pv_blkfront_queue *queue, unsigned most, struct done_list *done)
{
    int ready = pv_front_unconsumed_responses(&queue->ring);
    if (ready < 0)
        return break_queue(queue, PV_BLKFRONT_RESPONSE_OVERFLOW);
    if ((unsigned)ready < most)
        most = (unsigned)ready;
    for (unsigned i = 0; i < most && i < PREFETCHED; i++)
        pv_front_prefetch(&queue->ring, queue->ring.rsp_cons + i, BLKIF_MAX_RESPONSE_SIZE);
    int error = 0;
    for (unsigned taken = 0; taken < most && !error; taken++) {
        if (taken + PREFETCHED < most)
            pv_front_prefetch(&queue->ring, queue->ring.rsp_cons + PREFETCHED,
                              BLKIF_MAX_RESPONSE_SIZE);
        error = take_response(queue, done);
    }
    return error;
}

int pv_blkfront_poll(struct pv_blkfront_queue *queue, struct pv_blkfront_io **done, unsigned budget)
{
    if (queue->violation)
        return -EPROTO;
    if (queue->state != QUEUE_CONNECTED)
        return -ENOTCONN;
    struct done_list list = {.ios = done, .room = budget};
    add_finished(queue, &list); /* after those of an earlier call */
    int error = take_responses(queue, budget, &list);
    if (!error)
        pv_blkfront_issue(queue);
    add_finished(queue, &list);
    queue->outstanding -= list.count;
    /* Operations that were answered before the violation still end. */
    return error && list.count == 0 ? error : (int)list.count;
}

bool pv_blkfront_has_news(const struct pv_blkfront_queue *queue)
{
    return queue->state != QUEUE_CONNECTED || queue->violation || queue->finished.first ||
           pv_front_unconsumed_responses(&queue->ring) != 0;
}

bool pv_blkfront_arm(struct pv_blkfront_queue *queue)
{
    if (queue->state != QUEUE_CONNECTED || queue->violation)
        return true;
    return pv_front_final_check(&queue->ring) || queue->finished.first;
}
