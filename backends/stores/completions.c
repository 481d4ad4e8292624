#include "backends/stores/completions.h"
#include "pvdrivers/ring/barrier.h"

#include <sys/eventfd.h>

/* Whose operations end here. Found without a call, though this is a shared object (initial-exec
 * TLS): a program that loads it later has room for a few pointers among its static thread-local
 * variables. */
static _Thread_local struct completions *entered __attribute__((tls_model("initial-exec")));

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

void completions_enter(struct completions *completions)
{
    entered = completions;
}

void completions_leave(void)
{
    entered = NULL;
}

static void append(struct pv_blk_io ***tail, struct pv_blk_io *io)
{
    io->next = NULL;
    **tail = io;
    *tail = &io->next;
}

void completions_add(struct completions *completions, struct pv_blk_io *io)
{
    if (completions == entered) {
        append(&completions->here_tail, io);
        return;
    }
    pthread_mutex_lock(&completions->lock);
    append(&completions->others_tail, io);
    pv_write_once(&completions->count, completions->count + 1);
    if (completions->armed) {
        completions->armed = false;
        eventfd_write(completions->eventfd, 1);
    }
    pthread_mutex_unlock(&completions->lock);
}

struct pv_blk_io *completions_take(struct completions *completions)
{
    if (pv_read_once(&completions->count)) {
        pthread_mutex_lock(&completions->lock);
        *completions->here_tail = completions->others;
        completions->here_tail = completions->others_tail;
        completions->others = NULL;
        completions->others_tail = &completions->others;
        pv_write_once(&completions->count, 0);
        pthread_mutex_unlock(&completions->lock);
    }
    struct pv_blk_io *head = completions->here;
    completions->here = NULL;
    completions->here_tail = &completions->here;
    return head;
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
