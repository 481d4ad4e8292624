/* Store operations on their way out and back: finished in this thread while it submits or polls
 * the store, or in any other. */
#include "backends/vbd/blkback_private.h"

#include <sys/eventfd.h>

/* The queue whose pump this thread is in. Found without a call, though this is a shared object
 * (initial-exec TLS): a program that loads it later has room for one pointer among its static
 * thread-local variables. */
static _Thread_local struct pv_blkback_queue *pumping __attribute__((tls_model("initial-exec")));

static void append(struct pv_blk_io ***tail, struct pv_blk_io *io)
{
    io->next = NULL;
    **tail = io;
    *tail = &io->next;
}

void blkback_complete(struct pv_blk_io *io)
{
    struct pv_blkback_queue *queue = ((struct blkback_request *)io)->queue;
    if (queue == pumping) {
        append(&queue->finished_here_tail, io);
        return;
    }
    pthread_mutex_lock(&queue->lock);
    append(&queue->finished_tail, io);
    pv_write_once(&queue->finished_count, queue->finished_count + 1);
    if (queue->armed) {
        queue->armed = false;
        eventfd_write(queue->eventfd, 1);
    }
    pthread_mutex_unlock(&queue->lock); /* the last access: the queue may be freed after it */
}

void blkback_submit_staged(struct pv_blkback_queue *queue)
{
    uint32_t count = queue->submission_count;
    if (count == 0)
        return;
    queue->submission_count = 0;
    queue->submitted = true;
    pumping = queue;
    queue->store->ops->submit(queue->store, queue->submissions, count);
    pumping = NULL;
}

void blkback_poll_store(struct pv_blkback_queue *queue)
{
    if (!queue->store->ops->poll)
        return;
    pumping = queue;
    queue->deadline = queue->store->ops->poll(queue->store, queue->now);
    pumping = NULL;
}

/* Everything finished so far, in order, as one list; NULL when there is nothing. */
struct pv_blk_io *blkback_take_finished(struct pv_blkback_queue *queue)
{
    if (pv_read_once(&queue->finished_count)) {
        pthread_mutex_lock(&queue->lock);
        *queue->finished_here_tail = queue->finished;
        queue->finished_here_tail = queue->finished_tail;
        queue->finished = NULL;
        queue->finished_tail = &queue->finished;
        pv_write_once(&queue->finished_count, 0);
        pthread_mutex_unlock(&queue->lock);
    }
    struct pv_blk_io *head = queue->finished_here;
    queue->finished_here = NULL;
    queue->finished_here_tail = &queue->finished_here;
    return head;
}

bool pv_blkback_arm(struct pv_blkback_queue *queue)
{
    if (queue->ring.sring && !queue->broken && !queue->stopped && !queue->barrier_request &&
        !queue->waiting.head && pv_back_final_check(&queue->ring))
        return true;
    pthread_mutex_lock(&queue->lock);
    queue->slept = true;
    queue->armed = true;
    bool work = queue->finished_count > 0;
    pthread_mutex_unlock(&queue->lock);
    return work;
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
