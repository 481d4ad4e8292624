#include "backends/copy_batch.h"
#include "pvdrivers/ring/barrier.h"

void copy_batch_flush(struct copy_batch *batch)
{
    uint32_t count = batch->count;
    if (count == 0)
        return;
    struct copy_batch_staged *staged = batch->staged;
    const struct pv_hypervisor_ops *ops = batch->hypervisor->ops;
    bool failed = ops->gnttab_copy(batch->hypervisor, staged->copies, count) < 0;
    uint64_t bytes = 0;
    batch->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (failed || staged->copies[i].status != GNTST_okay)
            *staged->failed[i] = true;
        else
            bytes += staged->copies[i].len;
    }
    pv_add_counter(&batch->calls, 1);
    pv_add_counter(&batch->copies, count);
    pv_add_counter(&batch->bytes, bytes);
}
