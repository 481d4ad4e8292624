/* Limits the bytes per second by a token bucket, kept as the time up to which its tokens are
 * spent. */
#include "backends/stores/filter.h"

struct rate_filter {
    struct filter filter;
    uint64_t bytes_per_second;
    uint64_t burst_time; /* ns in which the bucket fills */
    uint64_t now, paid;  /* ns; the next operation may pass at `paid` */
    struct pv_blk_io *head, **tail;
};

static uint64_t cost(const struct rate_filter *rate, const struct pv_blk_io *io)
{
    if (io->op != PV_BLK_READ && io->op != PV_BLK_WRITE)
        return 0;
    return (uint64_t)((double)io->nr_sectors * 512e9 / (double)rate->bytes_per_second);
}

static struct pv_blk_io *take_affordable(struct rate_filter *rate, uint64_t now)
{
    pthread_mutex_lock(&rate->filter.lock);
    if (now > rate->now && now != UINT64_MAX)
        rate->now = now;
    if (rate->paid + rate->burst_time < rate->now)
        rate->paid = rate->now - rate->burst_time;
    struct pv_blk_io *io = rate->head;
    if (io && rate->paid <= now) {
        rate->paid += cost(rate, io);
        rate->head = io->next;
        if (!rate->head)
            rate->tail = &rate->head;
    } else {
        io = NULL;
    }
    pthread_mutex_unlock(&rate->filter.lock);
    return io;
}

static void release(struct rate_filter *rate, uint64_t now)
{
    struct pv_blk_store *below = rate->filter.below;
    struct pv_blk_io *io;
    while ((io = take_affordable(rate, now)))
        below->ops->submit(below, &io, 1);
}

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct rate_filter *rate = (struct rate_filter *)store;
    pthread_mutex_lock(&rate->filter.lock);
    for (unsigned i = 0; i < count; i++) {
        ios[i]->next = NULL;
        *rate->tail = ios[i];
        rate->tail = &ios[i]->next;
    }
    uint64_t now = rate->now;
    pthread_mutex_unlock(&rate->filter.lock);
    release(rate, now);
}

static uint64_t poll(struct pv_blk_store *store, uint64_t now)
{
    struct rate_filter *rate = (struct rate_filter *)store;
    release(rate, now);
    uint64_t next = filter_poll(store, now);
    pthread_mutex_lock(&rate->filter.lock);
    if (rate->head && rate->paid < next)
        next = rate->paid;
    pthread_mutex_unlock(&rate->filter.lock);
    return next;
}

static void close_store(struct pv_blk_store *store)
{
    release((struct rate_filter *)store, UINT64_MAX);
    filter_close(store);
}

static const struct pv_blk_store_ops rate_ops = {.name = "rate",
                                                 .submit = submit,
                                                 .poll = poll,
                                                 .fd = filter_fd,
                                                 .refresh = filter_refresh,
                                                 .close = close_store};

struct pv_blk_store *pv_rate_filter_create(struct pv_blk_store *below, uint64_t bytes_per_second,
                                           uint64_t burst)
{
    if (bytes_per_second == 0) {
        errno = EINVAL;
        return NULL;
    }
    struct rate_filter *rate = filter_create(sizeof *rate, below, &rate_ops);
    if (!rate)
        return NULL;
    rate->bytes_per_second = bytes_per_second;
    rate->burst_time = (uint64_t)((double)burst * 1e9 / (double)bytes_per_second);
    rate->tail = &rate->head;
    return &rate->filter.store;
}
