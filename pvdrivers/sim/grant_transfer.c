/* Giving a page away for good, into an entry the receiver has made for it. */
#include "pvdrivers/sim/grant_internal.h"

#include "pvdrivers/machine_grants.h"

#include <errno.h>

#define CMPXCHG_TRIES 5 /* against a guest that keeps changing the entry */

/* Takes a page from its owner. From here on it has no references, so nobody can pin it. */
static int16_t steal_page(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t *mfn)
{
    *mfn = gfn_to_mfn(machine, d, gfn);
    if (*mfn == NO_FRAME)
        return GNTST_bad_page;
    uint32_t owner_only = 1;
    if (!__atomic_compare_exchange_n(&frame_info(machine, *mfn)->count, &owner_only, 0, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return GNTST_general_error; /* somebody uses it */
    physmap_remove(machine, d, gfn);
    return GNTST_okay;
}

/* Nobody took it: back to the allocator. */
static void free_stolen(struct pv_machine *machine, const struct domain *d, uint64_t mfn)
{
    __atomic_store_n(&frame_info(machine, mfn)->count, 1, __ATOMIC_RELEASE);
    put_page(machine, mfn, d);
}

/* Marks the receiver's entry as committed, if it accepts a page from `from`. */
static bool commit(struct grant_entry_header *entry, domid_t from)
{
    union {
        uint32_t word;
        struct grant_entry_header header;
    } old, new;
    old.word = __atomic_load_n((uint32_t *)entry, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < CMPXCHG_TRIES; i++) {
        if (old.header.flags != GTF_accept_transfer || old.header.domid != from)
            return false;
        new = old;
        new.header.flags |= GTF_transfer_committed;
        if (__atomic_compare_exchange_n((uint32_t *)entry, &old.word, new.word, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return true;
    }
    return false;
}

static bool has_room(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    return __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED) < d->max_pages && gfn < d->max_pages &&
           gfn_to_mfn(machine, d, gfn) == NO_FRAME;
}

/* Under the receiver's grant lock. */
static bool receive(struct pv_machine *machine, struct domain *e, grant_ref_t ref,
                    const struct domain *from, uint64_t mfn)
{
    const struct pv_grant_entries entries = grant_entries(machine, e);
    if (domain_is_dying(e) || e->page_shift != from->page_shift || ref >= entries.count)
        return false;
    uint64_t gfn =
        entries.version == 1
            ? __atomic_load_n(&pv_grant_entry_v1(&entries, ref)->frame, __ATOMIC_RELAXED)
            : __atomic_load_n(&pv_grant_entry_v2(&entries, ref)->full_page.frame, __ATOMIC_RELAXED);
    struct grant_entry_header *header = pv_grant_entry_header(&entries, ref);
    if (!has_room(machine, e, gfn) || !commit(header, from->domain_id))
        return false;
    /* Owned and counted before it can be found through the physmap. */
    frame_info(machine, mfn)->owner = e->domain_id;
    __atomic_store_n(&frame_info(machine, mfn)->count, 1, __ATOMIC_RELEASE);
    physmap_add(machine, e, gfn, mfn);
    /* Release: the page is in place before the guest may look for it. */
    __atomic_fetch_or(&header->flags, GTF_transfer_completed, __ATOMIC_RELEASE);
    return true;
}

static int16_t transfer_one(struct pv_machine *machine, struct domain *d,
                            const struct gnttab_transfer_x86_64 *op)
{
    uint64_t mfn;
    int16_t status = steal_page(machine, d, op->mfn, &mfn);
    if (status != GNTST_okay)
        return status;
    struct domain *e = find_granter(machine, NULL, op->domid);
    status = GNTST_bad_domain;
    if (e) {
        grant_lock(machine, e);
        status = receive(machine, e, op->ref, d, mfn) ? GNTST_okay : GNTST_general_error;
        grant_unlock(e);
    }
    if (status != GNTST_okay)
        free_stolen(machine, d, mfn);
    return status;
}

int pv_gnttab_op_transfer(struct pv_machine *machine, domid_t domid,
                          struct gnttab_transfer_x86_64 *ops, unsigned count)
{
    struct domain *d = find_granter(machine, NULL, domid);
    for (unsigned i = 0; i < count; i++)
        ops[i].status = GNTST_general_error;
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_GNTTAB_OTHER, 1);
    for (unsigned i = 0; i < count; i++)
        ops[i].status = transfer_one(machine, d, &ops[i]);
    return 0;
}
