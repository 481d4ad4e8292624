#include "backends/stores/uring.h"

#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One mapping for both rings; no completion is dropped; what has to wait does so in threads that
 * belong to this process and end with it (Linux 5.12). */
#define NEEDED_FEATURES (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_NATIVE_WORKERS)

/* The most kernel threads in which operations on files wait, over all rings that a thread submits
 * to. A stuck disk takes 512, so several leave some to the others. The kernel makes them when
 * needed and ends idle ones. */
#define MAX_WORKERS 4096

/* Completions from the background are posted when the submitting thread next enters the kernel, and
 * a flag asks it to; otherwise each would interrupt that thread (Linux 5.19). */
#define UNDISTURBED (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

static uint32_t *field(const struct uring *uring, uint32_t offset)
{
    return (uint32_t *)(void *)(uring->rings + offset);
}

static int map(struct uring *uring, const struct io_uring_params *params)
{
    size_t sq_size = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
    size_t cq_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    uring->rings_size = sq_size > cq_size ? sq_size : cq_size;
    uring->sqes_size = params->sq_entries * sizeof(struct io_uring_sqe);
    void *rings = mmap(NULL, uring->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                       uring->fd, IORING_OFF_SQ_RING);
    if (rings == MAP_FAILED)
        return -errno;
    uring->rings = rings;
    void *sqes = mmap(NULL, uring->sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                      uring->fd, IORING_OFF_SQES);
    if (sqes == MAP_FAILED)
        return -errno;
    uring->sqes = sqes;
    return 0;
}

static void find_fields(struct uring *uring, const struct io_uring_params *params)
{
    uring->sq_entries = params->sq_entries;
    uring->sq_head = field(uring, params->sq_off.head);
    uring->sq_tail = field(uring, params->sq_off.tail);
    uring->sq_flags = field(uring, params->sq_off.flags);
    uring->sq_array = field(uring, params->sq_off.array);
    for (uint32_t i = 0; i < params->sq_entries; i++)
        uring->sq_array[i] = i; /* entry i is always submitted from place i */
    uring->cq_entries = params->cq_entries;
    uring->cq_head = field(uring, params->cq_off.head);
    uring->cq_tail = field(uring, params->cq_off.tail);
    uring->cqes = (const struct io_uring_cqe *)(void *)(uring->rings + params->cq_off.cqes);
}

static int set_up(uint32_t sq_entries, uint32_t cq_entries, uint32_t flags,
                  struct io_uring_params *params)
{
    *params =
        (struct io_uring_params){.flags = IORING_SETUP_CQSIZE | flags, .cq_entries = cq_entries};
    return (int)syscall(SYS_io_uring_setup, sq_entries, params); /* close-on-exec */
}

int uring_open(struct uring *uring, uint32_t sq_entries, uint32_t cq_entries)
{
    struct io_uring_params params;
    *uring = (struct uring){.fd = set_up(sq_entries, cq_entries, UNDISTURBED, &params)};
    if (uring->fd < 0 && errno == EINVAL)
        uring->fd = set_up(sq_entries, cq_entries, 0, &params);
    if (uring->fd < 0)
        return -errno;
    int status = (params.features & NEEDED_FEATURES) == NEEDED_FEATURES ? 0 : -ENOSYS;
    if (status == 0)
        status = map(uring, &params);
    if (status < 0) {
        uring_close(uring);
        return status;
    }
    find_fields(uring, &params);
    uint32_t workers[2] = {MAX_WORKERS, 0}; /* for files; for all else, as it is */
    /* Unknown before Linux 5.15: the kernel's default then applies. */
    syscall(SYS_io_uring_register, uring->fd, IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
    return 0;
}

void uring_close(struct uring *uring)
{
    if (uring->sqes)
        munmap(uring->sqes, uring->sqes_size);
    if (uring->rings)
        munmap(uring->rings, uring->rings_size);
    if (uring->fd >= 0)
        close(uring->fd);
    *uring = (struct uring){.fd = -1};
}

static uint32_t taken(const struct uring *uring)
{
    /* The kernel takes entries only inside enter, which has returned. */
    return pv_read_once(uring->sq_head);
}

struct io_uring_sqe *uring_prepare(struct uring *uring)
{
    if (uring->tail - taken(uring) == uring->sq_entries)
        return NULL;
    struct io_uring_sqe *sqe = &uring->sqes[uring->tail++ & (uring->sq_entries - 1)];
    memset(sqe, 0, sizeof *sqe);
    return sqe;
}

int uring_enter(struct uring *uring, uint32_t wait)
{
    long status;
    if (uring->tail == taken(uring) && wait == 0)
        return 0;
    /* Release: the kernel sees the entries that this index covers. */
    pv_store_release(uring->sq_tail, uring->tail);
    do /* an entry it refuses ends a call, not the entries behind it */
        status = syscall(SYS_io_uring_enter, uring->fd, uring->tail - taken(uring), wait,
                         wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
    while ((status < 0 && errno == EINTR) || (status > 0 && uring->tail != taken(uring)));
    return status < 0 ? -errno : 0;
}

const struct io_uring_sqe *uring_take_back(struct uring *uring)
{
    if (uring->tail == taken(uring))
        return NULL;
    uring->tail--;
    pv_write_once(uring->sq_tail, uring->tail); /* the kernel looks inside enter only */
    return &uring->sqes[uring->tail & (uring->sq_entries - 1)];
}

static bool has_unposted(const struct uring *uring)
{
    return pv_read_once(uring->sq_flags) & IORING_SQ_TASKRUN;
}

bool uring_has_completions(const struct uring *uring)
{
    return pv_read_once(uring->cq_head) != pv_read_once(uring->cq_tail) || has_unposted(uring);
}

void uring_fetch(struct uring *uring)
{
    if (has_unposted(uring))
        syscall(SYS_io_uring_enter, uring->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
}

bool uring_complete(struct uring *uring, struct io_uring_cqe *completion)
{
    uint32_t head = pv_read_once(uring->cq_head);
    /* Acquire: the completion, and the data it is about, are there when the index says so. */
    if (head == pv_load_acquire(uring->cq_tail))
        return false;
    *completion = uring->cqes[head & (uring->cq_entries - 1)];
    /* Release: the copy above is done before the kernel may use the place again. */
    pv_store_release(uring->cq_head, head + 1);
    return true;
}
