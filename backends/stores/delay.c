/* Holds operations back for a time, by the clock that poll is given. */
#include "backends/stores/filter.h"

struct delay_filter {
    struct filter filter;
    uint64_t delay, jitter; /* ns */
    uint64_t now;
    struct pv_blk_io *held; /* stand-ins, by due time */
};

static uint64_t due(const struct pv_blk_io *io)
{
    return ((const struct filter_io *)io)->number;
}

static void hold(struct delay_filter *delay, struct filter_io *io, uint64_t random)
{
    pthread_mutex_lock(&delay->filter.lock);
    io->number = delay->now + delay->delay + (delay->jitter ? random % delay->jitter : 0);
    struct pv_blk_io **place = &delay->held;
    while (*place && due(*place) <= io->number)
        place = &(*place)->next;
    io->io.next = *place;
    *place = &io->io;
    pthread_mutex_unlock(&delay->filter.lock);
}

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct delay_filter *delay = (struct delay_filter *)store;
    struct filter *filter = &delay->filter;
    uint64_t random;
    for (unsigned i = 0; i < count; i++) {
        if (!filter_strikes(filter, ios[i]->op, &random)) {
            filter->below->ops->submit(filter->below, &ios[i], 1);
            continue;
        }
        struct filter_io *io = filter_take_io(filter, ios[i], ios[i]->nr_sectors);
        if (!io) {
            filter_fail(ios[i], -ENOMEM);
            continue;
        }
        io->io.complete = filter_pass_back;
        hold(delay, io, random);
    }
}

static struct pv_blk_io *take_due(struct delay_filter *delay, uint64_t now)
{
    pthread_mutex_lock(&delay->filter.lock);
    struct pv_blk_io *io = delay->held;
    if (io && due(io) <= now)
        delay->held = io->next;
    else
        io = NULL;
    pthread_mutex_unlock(&delay->filter.lock);
    return io;
}

static void release(struct delay_filter *delay, uint64_t now)
{
    struct pv_blk_store *below = delay->filter.below;
    struct pv_blk_io *io;
    while ((io = take_due(delay, now)))
        below->ops->submit(below, &io, 1);
}

static uint64_t poll(struct pv_blk_store *store, uint64_t now)
{
    struct delay_filter *delay = (struct delay_filter *)store;
    pthread_mutex_lock(&delay->filter.lock);
    if (now > delay->now)
        delay->now = now;
    pthread_mutex_unlock(&delay->filter.lock);
    release(delay, now);
    uint64_t next = filter_poll(store, now);
    pthread_mutex_lock(&delay->filter.lock);
    if (delay->held && due(delay->held) < next)
        next = due(delay->held);
    pthread_mutex_unlock(&delay->filter.lock);
    return next;
}

static void close_store(struct pv_blk_store *store)
{
    release((struct delay_filter *)store, UINT64_MAX);
    filter_close(store);
}

static const struct pv_blk_store_ops delay_ops = {.name = "delay",
                                                  .submit = submit,
                                                  .poll = poll,
                                                  .fd = filter_fd,
                                                  .refresh = filter_refresh,
                                                  .close = close_store};

struct pv_blk_store *pv_delay_filter_create(struct pv_blk_store *below, uint64_t seed,
                                            uint64_t delay, uint64_t jitter, uint32_t operations)
{
    struct delay_filter *created = filter_create(sizeof *created, below, &delay_ops);
    if (!created)
        return NULL;
    created->filter.fault =
        (struct pv_blk_fault){.seed = seed, .probability = 1, .operations = operations};
    created->delay = delay;
    created->jitter = jitter;
    return &created->filter.store;
}
