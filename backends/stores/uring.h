/* An io_uring by its system calls: what liburing would do, as far as one store needs it. Callers
 * see to it that one thread at a time is in here; uring_has_completions alone may run beside. */
#ifndef BACKENDS_STORES_URING_H
#define BACKENDS_STORES_URING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uring {
    int fd; /* readable while completions wait */
    uint8_t *rings;
    size_t rings_size, sqes_size; /* bytes */

    struct io_uring_sqe *sqes;
    uint32_t sq_entries;
    uint32_t *sq_head, *sq_tail, *sq_flags, *sq_array;
    uint32_t tail; /* of what is prepared; sq_tail is what the kernel has been shown */

    const struct io_uring_cqe *cqes;
    uint32_t cq_entries;
    uint32_t *cq_head, *cq_tail;
};

/* 0, or a negative errno when the kernel has no io_uring, lets this process have none, or one too
 * old. On failure nothing is left to close. */
int uring_open(struct uring *uring, uint32_t sq_entries, uint32_t cq_entries);
void uring_close(struct uring *uring);

/* A cleared entry to fill in, or NULL when as many are prepared as fit. */
struct io_uring_sqe *uring_prepare(struct uring *uring);
/* Hands over what is prepared and waits for `wait` completions. 0 or a negative errno; whatever it
 * is, uring_take_back says what the kernel has not taken. */
int uring_enter(struct uring *uring, uint32_t wait);
/* The last prepared entry that the kernel has not taken, which it now never will; or NULL. */
const struct io_uring_sqe *uring_take_back(struct uring *uring);

/* There are some, or will be after uring_fetch. */
bool uring_has_completions(const struct uring *uring);
/* Has those of operations that this thread had submitted posted. */
void uring_fetch(struct uring *uring);
/* Takes the oldest completion, if there is one. */
bool uring_complete(struct uring *uring, struct io_uring_cqe *completion);

#endif
