/* Operations on their way to stores and units, and back. */
#include "backends/scsi/scsiback_private.h"

void scsiback_io_complete(struct pv_blk_io *io)
{
    completions_add(&((struct scsiback_request *)io)->queue->completions, io, false);
}

void scsiback_command_complete(struct pv_scsi_command *command, bool more)
{
    struct scsiback_request *request =
        (struct scsiback_request *)((uint8_t *)command -
                                    offsetof(struct scsiback_request, command));
    completions_add(&request->queue->completions, &request->io, more);
}

static struct pv_blk_store *store_of(const struct pv_blk_io *io)
{
    return ((const struct scsiback_request *)io)->nexus->store;
}

/* Those of one store, as far as they follow each other, together. */
void scsiback_submit_staged(struct pv_scsiback_queue *queue)
{
    uint32_t count = queue->submission_count, first = 0;
    if (count == 0)
        return;
    queue->submission_count = 0;
    queue->submitted = true;
    completions_enter(&queue->completions);
    while (first < count) {
        struct pv_blk_store *store = store_of(queue->submissions[first]);
        uint32_t end = first + 1;
        while (end < count && store_of(queue->submissions[end]) == store)
            end++;
        store->ops->submit(store, queue->submissions + first, end - first);
        first = end;
    }
    completions_leave();
}

static void poll_table(struct pv_scsiback_queue *queue, const struct lun_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct pv_scsi_nexus *nexus = table->places[i].nexus;
        struct pv_blk_store *store = nexus->store;
        if (!store || !store->ops->poll || nexus->under_way == 0)
            continue;
        uint64_t deadline = store->ops->poll(store, queue->now);
        if (deadline < queue->deadline)
            queue->deadline = deadline;
    }
}

/* Of the units that have something to do for this queue. */
void scsiback_poll_stores(struct pv_scsiback_queue *queue)
{
    queue->deadline = UINT64_MAX;
    completions_enter(&queue->completions);
    if (queue->luns)
        poll_table(queue, queue->luns);
    for (const struct lun_table *table = queue->retired; table; table = table->next)
        poll_table(queue, table);
    completions_leave();
}

bool pv_scsiback_arm(struct pv_scsiback_queue *queue)
{
    if (!queue->broken && !queue->stopped && pv_back_final_check(&queue->ring))
        return true;
    return completions_arm(&queue->completions);
}

uint64_t pv_scsiback_deadline(const struct pv_scsiback_queue *queue)
{
    return queue->deadline;
}

/* ---- The same for a poll group ------------------------------------------------------------- */

static int pump(struct pv_pollable *pollable, uint32_t budget, uint64_t now)
{
    return pv_scsiback_pump((struct pv_scsiback_queue *)pollable, budget, now);
}

static bool arm(struct pv_pollable *pollable)
{
    return pv_scsiback_arm((struct pv_scsiback_queue *)pollable);
}

static uint64_t deadline(struct pv_pollable *pollable)
{
    return ((struct pv_scsiback_queue *)pollable)->deadline;
}

const struct pv_pollable_ops scsiback_pollable_ops = {
    .pump = pump, .arm = arm, .deadline = deadline};
