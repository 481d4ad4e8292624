/* Copies that are carried out together: what reaches the hypervisor, and who learns of a failure.
 */
#include "backends/copy_batch.h"

#include <errno.h>
#include <string.h>

#define GUEST 7
#define BAD_REF 9u

static uint8_t page[4096];   /* the guest's, whatever the reference */
static unsigned calls, most; /* of the hypervisor; the longest batch */
static bool refuse;          /* the whole call */

static int fake_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies, unsigned count)
{
    (void)hypervisor;
    calls++;
    most = count > most ? count : most;
    for (unsigned i = 0; i < count && !refuse; i++) {
        struct pv_grant_copy *copy = &copies[i];
        bool from_guest = copy->flags == GNTCOPY_source_gref;
        struct pv_grant_copy_end *guest = from_guest ? &copy->source : &copy->dest;
        struct pv_grant_copy_end *local = from_guest ? &copy->dest : &copy->source;
        assert(guest->domid == GUEST && local->domid == DOMID_SELF);
        assert(copy->status != GNTST_okay);
        copy->status = guest->ref == BAD_REF ? GNTST_bad_gntref : GNTST_okay;
        if (copy->status == GNTST_okay)
            memcpy(from_guest ? local->address : page + guest->offset,
                   from_guest ? page + guest->offset : local->address, copy->len);
    }
    return refuse ? -ENOMEM : 0;
}

static struct copy_batch new_batch(void)
{
    static const struct pv_hypervisor_ops ops = {.gnttab_copy = fake_copy};
    static struct pv_hypervisor hypervisor = {.ops = &ops};
    static struct copy_batch_staged staged;
    calls = most = 0;
    refuse = false;
    memset(page, 0, sizeof page);
    return (struct copy_batch){.hypervisor = &hypervisor, .domid = GUEST, .staged = &staged};
}

/* Nothing moves before the flush, and then in the order of staging. */
static void test_both_directions(void)
{
    struct copy_batch batch = new_batch();
    uint8_t out[4] = "abcd", in[4] = {0};
    bool failed = false;
    copy_batch_to_grant(&batch, 1, 100, out, 4, &failed);
    copy_batch_from_grant(&batch, 1, 102, in, 2, &failed);
    assert(calls == 0 && page[100] == 0);
    copy_batch_flush(&batch);
    assert(memcmp(page + 100, "abcd", 4) == 0 && memcmp(in, "cd\0\0", 4) == 0 && !failed);
    assert(calls == 1 && batch.calls == 1 && batch.copies == 2 && batch.bytes == 6);
    copy_batch_flush(&batch); /* nothing is left */
    assert(calls == 1);
}

/* A failure is told to the copy's own owner, and no byte of it is counted. */
static void test_failure(void)
{
    struct copy_batch batch = new_batch();
    uint8_t data[8];
    bool first = false, second = false;
    copy_batch_from_grant(&batch, 1, 0, data, 8, &first);
    copy_batch_from_grant(&batch, BAD_REF, 0, data, 8, &second);
    copy_batch_from_grant(&batch, 1, 0, data, 8,
                          &second); /* and a later success does not undo it */
    copy_batch_flush(&batch);
    assert(!first && second && batch.copies == 3 && batch.bytes == 16);
}

/* A call that fails as a whole fails each copy in it. */
static void test_refused_call(void)
{
    struct copy_batch batch = new_batch();
    uint8_t data[8];
    bool first = false, second = false;
    refuse = true;
    copy_batch_to_grant(&batch, 1, 0, data, 8, &first);
    copy_batch_to_grant(&batch, 2, 0, data, 8, &second);
    copy_batch_flush(&batch);
    assert(first && second && batch.bytes == 0);
}

/* A full batch is carried out when the next copy comes; the failure of one in it is not lost. */
static void test_full_batch(void)
{
    struct copy_batch batch = new_batch();
    uint8_t data[1];
    bool failed[2 * COPY_BATCH_SIZE + 1] = {false};
    for (unsigned i = 0; i < 2 * COPY_BATCH_SIZE + 1; i++)
        copy_batch_from_grant(&batch, i == 5 ? BAD_REF : 1, 0, data, 1, &failed[i]);
    assert(calls == 2 && failed[5]);
    copy_batch_flush(&batch);
    assert(calls == 3 && most == COPY_BATCH_SIZE && batch.copies == 2 * COPY_BATCH_SIZE + 1);
    for (unsigned i = 0; i < 2 * COPY_BATCH_SIZE + 1; i++)
        assert(failed[i] == (i == 5));
}

int main(void)
{
    test_both_directions();
    test_failure();
    test_refused_call();
    test_full_batch();
    return 0;
}
