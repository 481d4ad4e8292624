/* Taking a grant into use and letting it go: the one place that reads a guest's entries. */
#include "pvdrivers/sim/grants/internal.h"

#include "pvdrivers/ring/barrier.h"

#define CMPXCHG_TRIES 5 /* against a guest that keeps changing the entry */

/* An entry as it was in the one moment that counts. */
struct seen_entry {
    uint16_t flags;
    uint64_t gfn;
    domid_t trans_domid;
    grant_ref_t trans_gref;
    uint16_t start, length;
};

bool grant_pins_saturated(uint32_t pin, uint32_t add)
{
    for (unsigned shift = 0; shift < 32; shift += 8)
        if ((add >> shift & 0xFF) && (pin >> shift & 0xFF) == 0xFF)
            return true;
    return false;
}

/* Where the hypervisor marks an entry as in use. */
static uint16_t *marks(const struct pv_grant_entries *entries, grant_ref_t ref)
{
    return entries->version == 1 ? &pv_grant_entry_v1(entries, ref)->flags : &entries->status[ref];
}

void grant_clear_marks(const struct locked_table *table, grant_ref_t ref)
{
    const struct pv_grant_entries *entries = &table->entries;
    uint32_t pin = table->active[ref].pin;
    uint16_t clear = pin == 0                      ? GTF_reading | GTF_writing
                     : (pin & GNTPIN_writers) == 0 ? GTF_writing
                                                   : 0;
    uint16_t flags = pv_read_once_16(&pv_grant_entry_header(entries, ref)->flags);
    bool is_transfer = (flags & GTF_type_mask) == GTF_accept_transfer; /* has the same bits */
    /* Full: what was done to the page comes before the guest may take it back. One step: version
     * 1's flags are the guest's to change too. */
    if (clear && !is_transfer)
        pv_fetch_and_16(marks(entries, ref), (uint16_t)~clear);
}

/* Whether a header grants what is asked. An entry in use already was checked when it was first
 * pinned; only the right to write may still be missing. */
static inline bool header_grants(uint32_t version, struct grant_entry_header header, bool pinned,
                                 const struct grant_use *use)
{
    uint16_t type = header.flags & GTF_type_mask;
    if (!use->readonly && (header.flags & GTF_readonly))
        return false;
    if (pinned)
        return true;
    if (header.domid != use->domid || (use->mapping && (header.flags & GTF_sub_page)))
        return false;
    return type == GTF_permit_access || (type == GTF_transitive && version == 2 && !use->mapping);
}

static uint16_t wanted_marks(const struct grant_use *use)
{
    return use->readonly ? GTF_reading : GTF_reading | GTF_writing;
}

/* Version 1: flags and domid are checked and marked in one compare-and-swap of both. */
static int16_t mark_v1(const struct pv_grant_entries *entries, grant_ref_t ref, bool pinned,
                       const struct grant_use *use, uint16_t *flags)
{
    union {
        uint32_t word;
        struct grant_entry_header header;
    } old, new;
    uint32_t *word = (uint32_t *)pv_grant_entry_v1(entries, ref);
    old.word = pv_read_once(word);
    for (unsigned i = 0; i < CMPXCHG_TRIES; i++) {
        if (!header_grants(1, old.header, pinned, use))
            return GNTST_general_error;
        new = old;
        new.header.flags |= wanted_marks(use);
        *flags = new.header.flags;
        /* Full: the guest stored the frame before the flags, and the page is used after it. */
        uint32_t seen = pv_compare_exchange(word, old.word, new.word);
        if (seen == old.word)
            return GNTST_okay;
        old.word = seen;
    }
    return GNTST_general_error;
}

/* Version 2: marks go to the status word; the header is looked at again afterwards, since the
 * guest may have closed the entry in between (pv_grant_end is the other half). */
static int16_t mark_v2(const struct pv_grant_entries *entries, grant_ref_t ref, bool pinned,
                       const struct grant_use *use, uint16_t *flags)
{
    union {
        uint32_t word;
        struct grant_entry_header header;
    } seen;
    const uint32_t *word = (const uint32_t *)pv_grant_entry_v2(entries, ref);
    seen.word = pv_read_once(word);
    if (!header_grants(2, seen.header, pinned, use))
        return GNTST_general_error;
    /* Full: the guest must see the mark, or we its change. */
    pv_fetch_or_16(&entries->status[ref], wanted_marks(use));
    /* Acquire: the guest stored the frame before the flags. */
    seen.word = pv_load_acquire(word);
    *flags = seen.header.flags;
    return header_grants(2, seen.header, pinned, use) ? GNTST_okay : GNTST_general_error;
}

/* Reads the rest of a marked entry, every field once. */
static void read_entry(const struct pv_grant_entries *entries, grant_ref_t ref, uint32_t page_size,
                       struct seen_entry *seen)
{
    seen->start = 0;
    seen->length = (uint16_t)page_size;
    if (entries->version == 1) {
        seen->gfn = pv_read_once(&pv_grant_entry_v1(entries, ref)->frame);
        return;
    }
    const union grant_entry_v2 *entry = pv_grant_entry_v2(entries, ref);
    if ((seen->flags & GTF_type_mask) == GTF_transitive) {
        seen->trans_domid = pv_read_once_16(&entry->transitive.trans_domid);
        seen->trans_gref = pv_read_once(&entry->transitive.gref);
        return;
    }
    seen->gfn = pv_read_once_64(&entry->full_page.frame);
    if (seen->flags & GTF_sub_page) {
        seen->start = pv_read_once_16(&entry->sub_page.page_off);
        seen->length = pv_read_once_16(&entry->sub_page.length);
    }
}

/* First pin: the entry's page is captured, with a reference. */
static int16_t capture(struct pv_machine *machine, struct domain *d, domid_t domid,
                       const struct seen_entry *seen, struct active_grant_entry *act)
{
    uint64_t mfn = gfn_to_mfn(machine, d, seen->gfn);
    if (mfn == NO_FRAME)
        return GNTST_bad_page;
    grant_page_pending_repair(d, mfn);
    if (get_page(machine, mfn, d)) {
        grant_page_pending_repair(d, NO_FRAME);
        return GNTST_bad_page;
    }
    *act = (struct active_grant_entry){.domid = domid,
                                       .is_sub_page = seen->flags & GTF_sub_page,
                                       .start = seen->start,
                                       .length = seen->length,
                                       .mfn = mfn,
                                       .gfn = seen->gfn};
    __atomic_store_n(&act->holds_page, true, __ATOMIC_RELEASE); /* after it is said which */
    grant_page_pending_repair(d, NO_FRAME);
    return GNTST_okay;
}

/* A pinned entry asked for more: what the guest has made of it since must still be what was
 * captured, or the new right would be to another page (XSA-500). */
static bool still_the_same(const struct active_grant_entry *act, const struct seen_entry *seen)
{
    return (seen->flags & GTF_type_mask) == GTF_permit_access && seen->gfn == act->gfn &&
           !(seen->flags & GTF_sub_page) == !act->is_sub_page && seen->start == act->start &&
           seen->length == act->length;
}

static int16_t look_at_entry(const struct locked_table *table, grant_ref_t ref,
                             const struct grant_use *use)
{
    const struct pv_grant_entries *entries = &table->entries;
    struct active_grant_entry *act = &table->active[ref];
    struct seen_entry seen = {0};
    bool pinned = act->pin != 0;
    int16_t status = entries->version == 1 ? mark_v1(entries, ref, pinned, use, &seen.flags)
                                           : mark_v2(entries, ref, pinned, use, &seen.flags);
    if (status == GNTST_okay) {
        read_entry(entries, ref, 1u << table->d->page_shift, &seen);
        if ((seen.flags & GTF_type_mask) == GTF_transitive && entries->version == 2 && !pinned) {
            act->trans_domid = seen.trans_domid;
            act->trans_gref = seen.trans_gref;
            return GRANT_IS_TRANSITIVE;
        }
        if (!pinned)
            status = capture(table->machine, table->d, use->domid, &seen, act);
        else if (!act->is_transitive && !still_the_same(act, &seen))
            status = GNTST_general_error;
    }
    if (status != GNTST_okay)
        grant_clear_marks(table, ref);
    return status;
}

int16_t grant_pin(const struct locked_table *table, grant_ref_t ref, const struct grant_use *use)
{
    if (ref >= table->entries.count)
        return GNTST_bad_gntref;
    struct active_grant_entry *act = &table->active[ref];
    uint32_t pin = act->pin;
    if (pin && (act->domid != use->domid || (use->mapping && act->is_sub_page) ||
                grant_pins_saturated(pin, use->pins)))
        return GNTST_general_error;
    if (pin == 0 || (!use->readonly && !(pin & GNTPIN_writers))) {
        int16_t status = look_at_entry(table, ref, use);
        if (status != GNTST_okay)
            return status;
    }
    if (act->is_transitive)
        return GRANT_IS_TRANSITIVE;
    if (pin == 0)
        grant_count(&table->d->grant_table.active_entries, 1);
    act->pin = pin + use->pins;
    return GNTST_okay;
}

void grant_drop_page(struct pv_machine *machine, struct domain *d, struct active_grant_entry *act)
{
    if (!act->holds_page)
        return;
    grant_page_pending_repair(d, act->mfn);
    __atomic_store_n(&act->holds_page, false, __ATOMIC_RELEASE); /* after the page is pending */
    put_page(machine, act->mfn);
    grant_page_pending_repair(d, NO_FRAME);
}

void grant_unpin(const struct locked_table *table, grant_ref_t ref, uint32_t pins)
{
    struct active_grant_entry *act = &table->active[ref];
    act->pin -= pins;
    grant_clear_marks(table, ref);
    if (act->pin)
        return;
    act->is_transitive = false;
    grant_drop_page(table->machine, table->d, act);
    grant_count(&table->d->grant_table.active_entries, -1);
}
