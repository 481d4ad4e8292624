/* Writes as a power cut leaves them: only their first sectors reached the disk. */
#include "backends/stores/filter.h"

static void submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    filter_submit_prefixes((struct filter *)store, ios, count);
}

static const struct pv_blk_store_ops torn_ops = {.name = "torn",
                                                 .submit = submit,
                                                 .poll = filter_poll,
                                                 .fd = filter_fd,
                                                 .refresh = filter_refresh,
                                                 .close = filter_close};

struct pv_blk_store *pv_torn_filter_create(struct pv_blk_store *below,
                                           const struct pv_blk_fault *fault)
{
    struct filter *filter = filter_create(sizeof *filter, below, &torn_ops);
    if (!filter)
        return NULL;
    filter->fault = *fault;
    filter->fault.operations = 1u << PV_BLK_WRITE;
    filter->fault.error = EIO;
    return &filter->store;
}
