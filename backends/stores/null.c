/* No disk: it measures what everything else costs. */
#include "pvdrivers/backends/stores/stores.h"

#include <stdlib.h>
#include <string.h>

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct pv_blk_io *io = ios[i];
        if (io->op == PV_BLK_READ && !store->geometry.no_data)
            for (int j = 0; j < io->iov_count; j++)
                memset(io->iov[j].iov_base, 0, io->iov[j].iov_len);
        io->status = 0;
        io->complete(io);
    }
}

static void close_store(struct pv_blk_store *store)
{
    free(store);
}

static const struct pv_blk_store_ops null_ops = {
    .name = "null", .submit = submit, .close = close_store};

struct pv_blk_store *pv_null_store_create(uint64_t sectors, uint32_t sector_size, bool no_data)
{
    struct pv_blk_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    store->ops = &null_ops;
    store->geometry = (struct pv_blk_geometry){.sectors = sectors,
                                               .sector_size = sector_size,
                                               .physical_sector_size = sector_size,
                                               .discard_granularity = sector_size,
                                               .can_flush = true,
                                               .can_discard = true,
                                               .can_secure_discard = true,
                                               .no_data = no_data};
    return store;
}
