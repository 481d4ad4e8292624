/* Operations on their way back to the queue that gave them to a store or to a logical unit. They
 * end in the queue's own thread while it submits or polls, or in any other, which then wakes it. */
#ifndef BACKENDS_STORES_COMPLETIONS_H
#define BACKENDS_STORES_COMPLETIONS_H

#include "pvdrivers/backends/stores/store.h"

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

/* Between these two, what ends in this thread has ended here. They do not nest. */
void completions_enter(struct completions *completions);
void completions_leave(void);

/* From any thread; the operation's last use of the queue, which may be freed behind it. */
void completions_add(struct completions *completions, struct pv_blk_io *io);
/* Everything that has ended so far, in order, as one list; NULL: nothing. */
struct pv_blk_io *completions_take(struct completions *completions);

/* Before sleeping: true when there is something to take (do not sleep). */
bool completions_arm(struct completions *completions);
/* Undoes the arm before this pump, and takes its wake-up from the eventfd. */
void completions_wake(struct completions *completions);

#endif
