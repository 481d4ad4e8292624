/* What a queue's owner should know, told once until asked about: a peer or a disk in trouble must
 * not cost it a wake-up for every request. */
#include "backends/vbd/blkback_private.h"

#include <sys/eventfd.h>

/* Under the lock. */
static void tell(struct pv_blkback_queue *queue)
{
    if (queue->trouble_fd > 0 && !queue->trouble_told)
        eventfd_write(queue->trouble_fd, 1);
    queue->trouble_told = true;
}

void blkback_tell_trouble(struct pv_blkback_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    tell(queue);
    pthread_mutex_unlock(&queue->lock);
}

void blkback_note_store_error(struct pv_blkback_queue *queue, const struct pv_blk_io *io)
{
    pthread_mutex_lock(&queue->lock);
    queue->last_error = (struct pv_blkback_store_error){.count = queue->last_error.count + 1,
                                                        .sector = io->sector,
                                                        .nr_sectors = io->nr_sectors,
                                                        .op = io->op,
                                                        .error = -io->status};
    tell(queue);
    pthread_mutex_unlock(&queue->lock);
}

void pv_blkback_take_trouble(struct pv_blkback_queue *queue, struct pv_blkback_store_error *last)
{
    pthread_mutex_lock(&queue->lock);
    queue->trouble_told = false;
    *last = queue->last_error;
    pthread_mutex_unlock(&queue->lock);
}
