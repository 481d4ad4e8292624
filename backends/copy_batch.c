#include "backends/copy_batch.h"

void copy_batch_flush(struct copy_batch *batch)
{
    uint32_t count = batch->count;
    if (count == 0)
        return;
    struct copy_batch_staged *staged = batch->staged;
    const struct pv_hypervisor_ops *ops = batch->hypervisor->ops;
    bool failed = ops->gnttab_copy(batch->hypervisor, staged->copies, count) < 0;
    batch->count = 0;
    batch->calls++;
    batch->copies += count;
    for (uint32_t i = 0; i < count; i++) {
        if (failed || staged->copies[i].status != GNTST_okay)
            *staged->failed[i] = true;
        else
            batch->bytes += staged->copies[i].len;
    }
}
