/* What a caller without a ring needs of a store: one operation at a time. */
#include "pvdrivers/backends/stores/stores.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#define POLL_INTERVAL_NS 1000000 /* how late a store may learn the time */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool complete;
};

static void wake(struct pv_blk_io *io)
{
    struct waiter *waiter = io->submitter;
    pthread_mutex_lock(&waiter->lock);
    waiter->complete = true;
    pthread_cond_signal(&waiter->done);
    pthread_mutex_unlock(&waiter->lock);
}

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void tell_time(struct pv_blk_store *store)
{
    if (store->ops->poll)
        store->ops->poll(store, now_ns());
}

static bool is_complete(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    bool complete = waiter->complete;
    pthread_mutex_unlock(&waiter->lock);
    return complete;
}

/* For the store's own thread to complete something. */
static void wait_a_moment(struct waiter *waiter)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += POLL_INTERVAL_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&waiter->lock);
    if (!waiter->complete)
        pthread_cond_timedwait(&waiter->done, &waiter->lock, &until);
    pthread_mutex_unlock(&waiter->lock);
}

static void wait_for(struct waiter *waiter, struct pv_blk_store *store)
{
    struct pollfd wake = {.fd = store->ops->fd ? store->ops->fd(store) : -1, .events = POLLIN};
    while (!is_complete(waiter)) {
        if (wake.fd >= 0)
            poll(&wake, 1, POLL_INTERVAL_NS / 1000000);
        else
            wait_a_moment(waiter);
        tell_time(store);
    }
}

static bool in_range(const struct pv_blk_geometry *geometry, enum pv_blk_op op, uint64_t sector,
                     uint64_t nr_sectors)
{
    uint64_t end, unit = geometry->sector_size / PV_SECTOR_SIZE;
    if (op == PV_BLK_FLUSH)
        return true;
    return !__builtin_add_overflow(sector, nr_sectors, &end) && end <= geometry->sectors &&
           nr_sectors > 0 && sector % unit == 0 && nr_sectors % unit == 0;
}

int pv_blk_store_transfer(struct pv_blk_store *store, enum pv_blk_op op, uint64_t sector,
                          uint64_t nr_sectors, void *data, bool secure)
{
    struct waiter waiter = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct iovec iov = {.iov_base = data, .iov_len = nr_sectors * PV_SECTOR_SIZE};
    struct pv_blk_io io = {.op = op,
                           .secure = secure,
                           .sector = sector,
                           .nr_sectors = nr_sectors,
                           .iov = &iov,
                           .iov_count = op == PV_BLK_READ || op == PV_BLK_WRITE,
                           .complete = wake,
                           .submitter = &waiter};
    if (!in_range(&store->geometry, op, sector, nr_sectors))
        return -EINVAL;
    if (op != PV_BLK_READ && store->geometry.read_only)
        return -EROFS;
    struct pv_blk_io *ios = &io;
    tell_time(store);
    store->ops->submit(store, &ios, 1);
    wait_for(&waiter, store);
    pthread_mutex_destroy(&waiter.lock);
    pthread_cond_destroy(&waiter.done);
    return io.status;
}

void pv_blk_store_close(struct pv_blk_store *store)
{
    if (store)
        store->ops->close(store);
}

int pv_blk_store_refresh(struct pv_blk_store *store)
{
    return store->ops->refresh ? store->ops->refresh(store) : 0;
}
