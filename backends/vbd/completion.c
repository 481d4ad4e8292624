/* Store operations on their way out and back. */
#include "backends/vbd/blkback_private.h"

void blkback_complete(struct pv_blk_io *io)
{
    completions_add(&((struct blkback_request *)io)->queue->completions, io, false);
}

void blkback_submit_staged(struct pv_blkback_queue *queue)
{
    uint32_t count = queue->submission_count;
    if (count == 0)
        return;
    queue->submission_count = 0;
    queue->submitted = true;
    completions_enter(&queue->completions);
    queue->store->ops->submit(queue->store, queue->submissions, count);
    completions_leave();
}

void blkback_poll_store(struct pv_blkback_queue *queue)
{
    if (!queue->store->ops->poll)
        return;
    completions_enter(&queue->completions);
    queue->deadline = queue->store->ops->poll(queue->store, queue->now);
    completions_leave();
}

bool pv_blkback_arm(struct pv_blkback_queue *queue)
{
    if (queue->ring.sring && !queue->broken && !queue->stopped && !queue->barrier_request &&
        !queue->waiting.head && pv_back_final_check(&queue->ring))
        return true;
    return completions_arm(&queue->completions);
}

uint64_t pv_blkback_deadline(const struct pv_blkback_queue *queue)
{
    return queue->deadline;
}

/* ---- The same for a poll group ------------------------------------------------------------- */

static int pump(struct pv_pollable *pollable, uint32_t budget, uint64_t now)
{
    return pv_blkback_pump((struct pv_blkback_queue *)pollable, budget, now);
}

static bool arm(struct pv_pollable *pollable)
{
    return pv_blkback_arm((struct pv_blkback_queue *)pollable);
}

static uint64_t deadline(struct pv_pollable *pollable)
{
    return ((struct pv_blkback_queue *)pollable)->deadline;
}

const struct pv_pollable_ops blkback_pollable_ops = {
    .pump = pump, .arm = arm, .deadline = deadline};
