/* Fails operations that the store below never sees. */
#include "backends/stores/filter.h"

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct filter *filter = (struct filter *)store;
    uint64_t unused;
    for (unsigned i = 0; i < count; i++)
        if (filter_strikes(filter, ios[i]->op, &unused))
            filter_fail(ios[i], -filter->fault.error);
        else
            filter->below->ops->submit(filter->below, &ios[i], 1);
}

static const struct pv_blk_store_ops error_ops = {.name = "error",
                                                  .submit = submit,
                                                  .poll = filter_poll,
                                                  .fd = filter_fd,
                                                  .refresh = filter_refresh,
                                                  .close = filter_close};

struct pv_blk_store *pv_error_filter_create(struct pv_blk_store *below,
                                            const struct pv_blk_fault *fault)
{
    struct filter *filter = filter_create(sizeof *filter, below, &error_ops);
    if (!filter)
        return NULL;
    filter->fault = *fault;
    return &filter->store;
}
