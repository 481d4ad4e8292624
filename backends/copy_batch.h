/* Grant copies from and to one other domain that are carried out together. Each has a flag of its
 * own that is set when it fails. */
#ifndef BACKENDS_COPY_BATCH_H
#define BACKENDS_COPY_BATCH_H

#include "pvdrivers/hypervisor.h"

#define COPY_BATCH_SIZE 128 /* copies in one hypercall */
/* What the hypervisor does not get to is a failure (XSA-318). */
#define COPY_NOT_DONE GNTST_general_error

struct copy_batch_staged {
    struct pv_grant_copy copies[COPY_BATCH_SIZE];
    bool *failed[COPY_BATCH_SIZE];
};

struct copy_batch {
    struct pv_hypervisor *hypervisor;
    domid_t domid;
    struct copy_batch_staged *staged; /* the owner's memory */
    uint32_t count;                   /* of the staged ones */
    uint64_t calls, copies, bytes;    /* carried out; bytes without what failed; for any thread */
};

/* Carries out what is staged. */
void copy_batch_flush(struct copy_batch *batch);

/* The next copy to be staged. `*failed` becomes true when it fails, which may be before the next
 * flush: a full batch is carried out at once. The local memory and the flag stay until then. */
static inline struct pv_grant_copy *copy_batch_next(struct copy_batch *batch, bool *failed)
{
    if (batch->count == COPY_BATCH_SIZE)
        copy_batch_flush(batch);
    batch->staged->failed[batch->count] = failed;
    return &batch->staged->copies[batch->count++];
}

/* Stages a copy from `offset` in a granted page to local memory. */
static inline void copy_batch_from_grant(struct copy_batch *batch, grant_ref_t ref, uint16_t offset,
                                         void *local, uint16_t len, bool *failed)
{
    *copy_batch_next(batch, failed) =
        (struct pv_grant_copy){.source = {.ref = ref, .domid = batch->domid, .offset = offset},
                               .dest = {.address = local, .domid = DOMID_SELF},
                               .len = len,
                               .flags = GNTCOPY_source_gref,
                               .status = COPY_NOT_DONE};
}

/* Stages a copy from local memory to `offset` in a granted page. */
static inline void copy_batch_to_grant(struct copy_batch *batch, grant_ref_t ref, uint16_t offset,
                                       void *local, uint16_t len, bool *failed)
{
    *copy_batch_next(batch, failed) =
        (struct pv_grant_copy){.source = {.address = local, .domid = DOMID_SELF},
                               .dest = {.ref = ref, .domid = batch->domid, .offset = offset},
                               .len = len,
                               .flags = GNTCOPY_dest_gref,
                               .status = COPY_NOT_DONE};
}

#endif
