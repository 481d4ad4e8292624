#include "backends/stores/filter.h"

#include "backends/random.h"

#include <string.h>

void *filter_create(size_t size, struct pv_blk_store *below, const struct pv_blk_store_ops *ops)
{
    struct filter *filter = calloc(1, size);
    if (!filter)
        return NULL;
    filter->store.ops = ops;
    filter->store.geometry = below->geometry;
    filter->store.io_outlives_process = below->io_outlives_process;
    filter->below = below;
    pthread_mutex_init(&filter->lock, NULL);
    return filter;
}

void filter_destroy(struct filter *filter)
{
    filter->below->ops->close(filter->below); /* waits for what our operations stand for */
    while (filter->free) {
        struct filter_io *io = filter->free;
        filter->free = io->next_free;
        free(io->iov);
        free(io);
    }
    pthread_mutex_destroy(&filter->lock);
    free(filter);
}

void filter_close(struct pv_blk_store *store)
{
    filter_destroy((struct filter *)store);
}

uint64_t filter_poll(struct pv_blk_store *store, uint64_t now)
{
    struct pv_blk_store *below = ((struct filter *)store)->below;
    return below->ops->poll ? below->ops->poll(below, now) : UINT64_MAX;
}

int filter_fd(struct pv_blk_store *store)
{
    struct pv_blk_store *below = ((struct filter *)store)->below;
    return below->ops->fd ? below->ops->fd(below) : -1;
}

int filter_refresh(struct pv_blk_store *store)
{
    struct pv_blk_store *below = ((struct filter *)store)->below;
    int status = pv_blk_store_refresh(below);
    store->geometry = below->geometry;
    return status;
}

bool filter_strikes(struct filter *filter, enum pv_blk_op op, uint64_t *random)
{
    const struct pv_blk_fault *fault = &filter->fault;
    if (!(fault->operations & 1u << op))
        return false;
    pthread_mutex_lock(&filter->lock);
    uint64_t index = filter->seen++;
    pthread_mutex_unlock(&filter->lock);
    *random = seeded_random(~fault->seed, index);
    return index >= fault->after && seeded_chance(fault->seed, index) < fault->probability;
}

static struct filter_io *unused_io(struct filter *filter)
{
    pthread_mutex_lock(&filter->lock);
    struct filter_io *io = filter->free;
    if (io)
        filter->free = io->next_free;
    pthread_mutex_unlock(&filter->lock);
    return io ? io : calloc(1, sizeof *io);
}

/* The parent's vector, cut after `bytes`. */
static int cut_vector(struct filter_io *io, const struct pv_blk_io *parent, uint64_t bytes)
{
    if (parent->iov_count > io->iov_room) {
        struct iovec *iov = realloc(io->iov, (size_t)parent->iov_count * sizeof *iov);
        if (!iov)
            return -ENOMEM;
        io->iov = iov;
        io->iov_room = parent->iov_count;
    }
    io->io.iov_count = 0;
    for (int i = 0; i < parent->iov_count && bytes > 0; i++) {
        struct iovec *element = &io->iov[io->io.iov_count++];
        *element = parent->iov[i];
        if (element->iov_len > bytes)
            element->iov_len = bytes;
        bytes -= element->iov_len;
    }
    io->io.iov = io->iov;
    return 0;
}

struct filter_io *filter_take_io(struct filter *filter, struct pv_blk_io *parent, uint64_t sectors)
{
    struct filter_io *io = unused_io(filter);
    if (!io)
        return NULL;
    io->filter = filter;
    io->parent = parent;
    io->io.op = parent->op;
    io->io.secure = parent->secure;
    io->io.sector = parent->sector;
    io->io.nr_sectors = sectors;
    if (cut_vector(io, parent, sectors * PV_SECTOR_SIZE) < 0) {
        filter_give_back(io);
        return NULL;
    }
    return io;
}

void filter_give_back(struct filter_io *io)
{
    struct filter *filter = io->filter;
    pthread_mutex_lock(&filter->lock);
    io->next_free = filter->free;
    filter->free = io;
    pthread_mutex_unlock(&filter->lock);
}

void filter_pass_back(struct pv_blk_io *io)
{
    struct filter_io *stand_in = (struct filter_io *)io;
    struct pv_blk_io *parent = stand_in->parent;
    int status = io->status;
    filter_give_back(stand_in);
    parent->status = status;
    parent->complete(parent);
}

void filter_fail(struct pv_blk_io *io, int status)
{
    io->status = status;
    io->complete(io);
}

static void prefix_done(struct pv_blk_io *io)
{
    struct filter_io *prefix = (struct filter_io *)io;
    struct pv_blk_io *parent = prefix->parent;
    int error = -prefix->filter->fault.error;
    filter_give_back(prefix);
    filter_fail(parent, error);
}

static void submit_prefix(struct filter *filter, struct pv_blk_io *parent, uint64_t random)
{
    uint64_t unit = filter->store.geometry.sector_size / PV_SECTOR_SIZE;
    uint64_t sectors = random % (parent->nr_sectors / unit) * unit; /* never all of them */
    struct filter_io *prefix = sectors ? filter_take_io(filter, parent, sectors) : NULL;
    if (!prefix) {
        filter_fail(parent, -filter->fault.error);
        return;
    }
    prefix->io.complete = prefix_done;
    struct pv_blk_io *io = &prefix->io;
    filter->below->ops->submit(filter->below, &io, 1);
}

void filter_submit_prefixes(struct filter *filter, struct pv_blk_io **ios, unsigned count)
{
    uint64_t random;
    for (unsigned i = 0; i < count; i++)
        if (filter_strikes(filter, ios[i]->op, &random))
            submit_prefix(filter, ios[i], random);
        else
            filter->below->ops->submit(filter->below, &ios[i], 1);
}
