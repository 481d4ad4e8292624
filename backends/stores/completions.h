/* Operations on their way back to the queue that gave them to a store or to a logical unit. They
 * end in the queue's own thread while it submits or polls, or in any other, which then wakes it. */
#ifndef BACKENDS_STORES_COMPLETIONS_H
#define BACKENDS_STORES_COMPLETIONS_H

#include "pvdrivers/backends/stores/store.h"
#include "pvdrivers/ring/barrier.h"

#include <pthread.h>

struct completions {
    struct pv_blk_io *here, **here_tail; /* ended by the queue's own thread */
    pthread_mutex_t lock;                /* for the rest; free for the owner's use too */
    struct pv_blk_io *others, **others_tail;
    uint32_t count; /* of the others; also read without the lock: something to take? */
    bool armed;     /* what ends now must write to the eventfd */
    bool slept;     /* the queue's own: it armed since it last looked at the eventfd */
    int eventfd;    /* the owner's; readable when something ended while the queue was armed */
};

void completions_init(struct completions *completions);
void completions_destroy(struct completions *completions);

/* Whose operations end in this thread. Found without a call, though this is a shared object
 * (initial-exec TLS): a program that loads it later has room for a few pointers among its static
 * thread-local variables. */
extern _Thread_local struct completions *completions_entered
    __attribute__((tls_model("initial-exec")));

/* Between these two, what ends in this thread has ended here. They do not nest. */
static inline void completions_enter(struct completions *completions)
{
    completions_entered = completions;
}

static inline void completions_leave(void)
{
    completions_entered = NULL;
}

static inline void completions_append(struct pv_blk_io ***tail, struct pv_blk_io *io)
{
    io->next = NULL;
    **tail = io;
    *tail = &io->next;
}

/* What has ended in another thread. */
void completions_add_other(struct completions *completions, struct pv_blk_io *io, bool more);
/* From any thread; the operation's last use of the queue, which may be freed behind it. `more`:
 * the thread adds another at once, which wakes the queue for this one, too. */
static inline void completions_add(struct completions *completions, struct pv_blk_io *io, bool more)
{
    if (completions == completions_entered)
        completions_append(&completions->here_tail, io);
    else
        completions_add_other(completions, io, more);
}

/* Puts what other threads have ended behind what has ended here. */
void completions_gather(struct completions *completions);
/* Everything that has ended so far, in order, as one list; NULL: nothing. */
static inline struct pv_blk_io *completions_take(struct completions *completions)
{
    if (pv_read_once(&completions->count))
        completions_gather(completions);
    struct pv_blk_io *head = completions->here;
    completions->here = NULL;
    completions->here_tail = &completions->here;
    return head;
}

/* Before sleeping: true when there is something to take (do not sleep). */
bool completions_arm(struct completions *completions);
/* Undoes the arm before this pump, and takes its wake-up from the eventfd. */
void completions_wake(struct completions *completions);

#endif
