/* Transfers that stop in the middle. */
#include "backends/stores/filter.h"

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    filter_submit_prefixes((struct filter *)store, ios, count);
}

static const struct pv_blk_store_ops short_ops = {.name = "short",
                                                  .submit = submit,
                                                  .poll = filter_poll,
                                                  .fd = filter_fd,
                                                  .refresh = filter_refresh,
                                                  .close = filter_close};

struct pv_blk_store *pv_short_filter_create(struct pv_blk_store *below,
                                            const struct pv_blk_fault *fault)
{
    struct filter *filter = filter_create(sizeof *filter, below, &short_ops);
    if (!filter)
        return NULL;
    filter->fault = *fault;
    filter->fault.operations &= 1u << PV_BLK_READ | 1u << PV_BLK_WRITE;
    return &filter->store;
}
