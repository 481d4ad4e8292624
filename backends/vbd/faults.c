/* Faults that the queue reports to its owner: once, until the owner asks about them. A bad peer or
 * disk must not wake the owner for every request. */
#include "backends/vbd/blkback_private.h"

#include <sys/eventfd.h>

/* Under the lock. */
static void report(struct pv_blkback_queue *queue)
{
    if (queue->fault_fd > 0 && !queue->fault_reported)
        eventfd_write(queue->fault_fd, 1);
    queue->fault_reported = true;
}

void blkback_report_fault(struct pv_blkback_queue *queue)
{
    pthread_mutex_lock(&queue->completions.lock);
    report(queue);
    pthread_mutex_unlock(&queue->completions.lock);
}

void blkback_note_store_error(struct pv_blkback_queue *queue, const struct pv_blk_io *io)
{
    pthread_mutex_lock(&queue->completions.lock);
    queue->last_error = (struct pv_blkback_store_error){.count = queue->last_error.count + 1,
                                                        .sector = io->sector,
                                                        .nr_sectors = io->nr_sectors,
                                                        .op = io->op,
                                                        .error = -io->status};
    report(queue);
    pthread_mutex_unlock(&queue->completions.lock);
}

void pv_blkback_take_faults(struct pv_blkback_queue *queue, struct pv_blkback_store_error *last)
{
    pthread_mutex_lock(&queue->completions.lock);
    queue->fault_reported = false;
    *last = queue->last_error;
    pthread_mutex_unlock(&queue->completions.lock);
}
