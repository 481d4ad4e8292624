/* Giving a page away for good, into an entry the receiver has made for it. */
#include "pvdrivers/sim/grants/internal.h"

#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/sim/machine_grants.h"

#include <errno.h>

#define CMPXCHG_TRIES 5 /* against a guest that keeps changing the entry */

static int16_t steal_page(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t *mfn)
{
    *mfn = gfn_to_mfn(machine, d, gfn);
    if (*mfn == NO_FRAME)
        return GNTST_bad_page;
    return page_take(machine, d, gfn, *mfn) ? GNTST_general_error : GNTST_okay;
}

/* Marks the receiver's entry as committed, if it accepts a page from `from`. */
static bool commit(struct grant_entry_header *entry, domid_t from)
{
    union {
        uint32_t word;
        struct grant_entry_header header;
    } old, new;
    uint32_t *word = (uint32_t *)entry;
    old.word = pv_read_once(word);
    for (unsigned i = 0; i < CMPXCHG_TRIES; i++) {
        if (old.header.flags != GTF_accept_transfer || old.header.domid != from)
            return false;
        new = old;
        new.header.flags |= GTF_transfer_committed;
        /* Full: the guest stored the frame before the flags. One step: until then the guest may
         * take the entry back. */
        uint32_t seen = pv_compare_exchange(word, old.word, new.word);
        if (seen == old.word)
            return true;
        old.word = seen;
    }
    return false;
}

static uint64_t wanted_gfn(const struct pv_grant_entries *entries, grant_ref_t ref)
{
    return entries->version == 1
               ? pv_read_once(&pv_grant_entry_v1(entries, ref)->frame)
               : pv_read_once_64(&pv_grant_entry_v2(entries, ref)->full_page.frame);
}

static bool has_room(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    return pv_read_once_64(&d->tot_pages) < pv_read_once_64(&d->max_pages) &&
           gfn < d->physmap_end && gfn_to_mfn(machine, d, gfn) == NO_FRAME;
}

/* The page is in place (`completed`), or nothing comes and the entry is as it was before. Full: the
 * page comes before the flag that the guest waits for. */
static void finish(struct grant_entry_header *header, bool completed)
{
    if (completed)
        pv_fetch_or_16(&header->flags, GTF_transfer_completed);
    else
        pv_fetch_and_16(&header->flags, (uint16_t)~GTF_transfer_committed);
}

/* Under the receiver's grant lock, and machine.lock. */
static bool receive(struct pv_machine *machine, struct domain *e, grant_ref_t ref,
                    const struct domain *from, uint64_t mfn)
{
    const struct pv_grant_entries entries = grant_entries(machine, e);
    if (domain_is_dying(e) || e->page_shift != from->page_shift || ref >= entries.count)
        return false;
    struct grant_entry_header *header = pv_grant_entry_header(&entries, ref);
    if (!commit(header, from->domain_id))
        return false;
    /* Read now that the guest cannot take the entry back and name another frame in it. */
    uint64_t gfn = wanted_gfn(&entries, ref);
    bool room = has_room(machine, e, gfn);
    if (room)
        page_give(machine, e, gfn, mfn);
    finish(header, room);
    return room;
}

void grant_repair_transfers(struct pv_machine *machine, struct domain *d)
{
    const struct pv_grant_entries entries = grant_entries(machine, d);
    machine_lock(machine); /* repairs the page itself */
    for (grant_ref_t ref = 0; ref < entries.count; ref++) {
        struct grant_entry_header *header = pv_grant_entry_header(&entries, ref);
        if (pv_load_acquire_16(&header->flags) == (GTF_accept_transfer | GTF_transfer_committed))
            finish(header, gfn_to_mfn(machine, d, wanted_gfn(&entries, ref)) != NO_FRAME);
    }
    machine_unlock(machine);
}

/* `e` is the receiver, or NULL when there is none; under its grant lock, and machine.lock. A
 * page that is not accepted goes back to the allocator. */
static int16_t hand_over(struct pv_machine *machine, struct domain *d, struct domain *e,
                         const struct gnttab_transfer_x86_64 *op)
{
    uint64_t mfn;
    int16_t status = steal_page(machine, d, op->mfn, &mfn);
    if (status != GNTST_okay || (e && receive(machine, e, op->ref, d, mfn)))
        return status;
    page_free(machine, mfn);
    return e ? GNTST_general_error : GNTST_bad_domain;
}

static int16_t transfer_one(struct pv_machine *machine, struct domain *d,
                            const struct gnttab_transfer_x86_64 *op)
{
    struct domain *e = find_live_domain(machine, NULL, op->domid);
    if (e)
        grant_lock(machine, e);
    machine_lock(machine);
    int16_t status = hand_over(machine, d, e, op);
    machine_unlock(machine);
    if (e)
        grant_unlock(e);
    return status;
}

int pv_gnttab_op_transfer(struct pv_machine *machine, domid_t domid,
                          struct gnttab_transfer_x86_64 *ops, unsigned count)
{
    RCU_SECTION(machine);
    struct domain *d = find_live_domain(machine, NULL, domid);
    for (unsigned i = 0; i < count; i++)
        ops[i].status = GNTST_general_error;
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_GNTTAB_OTHER, 1);
    for (unsigned i = 0; i < count; i++)
        ops[i].status = transfer_one(machine, d, &ops[i]);
    return 0;
}
