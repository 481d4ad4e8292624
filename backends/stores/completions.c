#include "backends/stores/completions.h"

#include <sys/eventfd.h>

_Thread_local struct completions *completions_entered;

void completions_init(struct completions *completions)
{
    completions->here_tail = &completions->here;
    completions->others_tail = &completions->others;
    completions->eventfd = -1;
    pthread_mutex_init(&completions->lock, NULL);
}

void completions_destroy(struct completions *completions)
{
    pthread_mutex_destroy(&completions->lock);
}

void completions_add_other(struct completions *completions, struct pv_blk_io *io, bool more)
{
    pthread_mutex_lock(&completions->lock);
    completions_append(&completions->others_tail, io);
    pv_write_once(&completions->count, completions->count + 1);
    if (completions->armed && !more) {
        completions->armed = false;
        eventfd_write(completions->eventfd, 1);
    }
    pthread_mutex_unlock(&completions->lock); /* the last access: the queue may be freed after it */
}

void completions_gather(struct completions *completions)
{
    pthread_mutex_lock(&completions->lock);
    *completions->here_tail = completions->others;
    completions->here_tail = completions->others_tail;
    completions->others = NULL;
    completions->others_tail = &completions->others;
    pv_write_once(&completions->count, 0);
    pthread_mutex_unlock(&completions->lock);
}

bool completions_arm(struct completions *completions)
{
    pthread_mutex_lock(&completions->lock);
    completions->slept = true;
    completions->armed = true;
    bool work = completions->count > 0;
    pthread_mutex_unlock(&completions->lock);
    return work;
}

void completions_wake(struct completions *completions)
{
    if (!completions->slept)
        return;
    eventfd_t count;
    pthread_mutex_lock(&completions->lock);
    completions->slept = completions->armed = false;
    eventfd_read(completions->eventfd, &count);
    pthread_mutex_unlock(&completions->lock);
}
