/* Each domain's physmap, the owners of pages, and a domain's memory from its making to its end. */
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

#define RELEASE_BATCH 4096 /* pages given back under one hold of machine.lock */
#define OWNERS_FLAGS (PGC_allocated | PGC_leaving)

/* ---- Physmap --------------------------------------------------------------------------------- */

static uint64_t *p2m(struct pv_machine *machine, const struct domain *d)
{
    return domain_area(machine, d, SUBSYSTEM_MEMORY);
}

/* Not a part of the fast path. */
__attribute__((noinline, cold)) static uint64_t
special_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn, bool write)
{
    uint64_t mfn = NO_FRAME;
    FOR_EACH_SUBSYSTEM(id, special_page)
    if (mfn == NO_FRAME)
        mfn = subsystems[id]->special_page(machine, d, gfn, write);
    return mfn;
}

uint64_t gfn_to_readable_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    return gfn < d->max_pages ? gfn_to_mfn(machine, d, gfn) : special_page(machine, d, gfn, false);
}

uint64_t gfn_to_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    if (gfn >= d->max_pages)
        return special_page(machine, d, gfn, true);
    /* Stored plus one, so that a fresh (zero) table says "not populated". */
    return __atomic_load_n(&p2m(machine, d)[gfn], __ATOMIC_ACQUIRE) - 1;
}

int64_t pv_domain_gfn_to_mfn(struct pv_machine *machine, domid_t domid, uint64_t gfn)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    uint64_t mfn = gfn_to_readable_mfn(machine, d, gfn);
    return mfn == NO_FRAME ? -EFAULT : (int64_t)mfn;
}

static void physmap_add(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn)
{
    __atomic_store_n(&p2m(machine, d)[gfn], mfn + 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&d->tot_pages, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&d->physmap_changes, 1, __ATOMIC_RELEASE);
}

static void physmap_remove(struct pv_machine *machine, struct domain *d, uint64_t gfn)
{
    __atomic_store_n(&p2m(machine, d)[gfn], 0, __ATOMIC_RELEASE);
    __atomic_fetch_sub(&d->tot_pages, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&d->physmap_changes, 1, __ATOMIC_RELEASE);
}

/* ---- Owners: under machine.lock --------------------------------------------------------------
 * A page's owner is whose physmap has it, and says so with PGC_allocated. Where a process that was
 * killed in here has left the two in disagreement, the physmap counts. */

int page_take(struct pv_machine *machine, struct domain *owner, uint64_t gfn, uint64_t mfn)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_info alone = {.count = 1, .owner = owner->domain_id, .flags = PGC_allocated};
    struct page_info leaving = alone;
    leaving.flags |= PGC_leaving;
    if (!__atomic_compare_exchange_n(&page->word, &alone.word, leaving.word, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return -EBUSY;
    physmap_remove(machine, owner, gfn);
    return 0;
}

void page_give(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_info owned = {.count = 1, .owner = d->domain_id, .flags = PGC_allocated};
    page->next = gfn;
    set_page(machine, mfn, owned);
    physmap_add(machine, d, gfn, mfn);
}

/* Gives a domain a new page of zeros at `gfn`; false when there is no memory. */
static bool populate_page(struct pv_machine *machine, struct domain *d, uint64_t gfn)
{
    machine_lock(machine);
    uint64_t mfn = alloc_page(machine, d);
    if (mfn != NO_FRAME) {
        for (unsigned i = 1; i < frames_per_page(d); i++)
            set_page(machine, mfn + i, (struct page_info){.flags = PGC_tail});
        machine->shared->frames.free_frames -= frames_per_page(d);
        page_give(machine, d, gfn, mfn);
    }
    machine_unlock(machine);
    return mfn != NO_FRAME;
}

static int populate(struct pv_machine *machine, struct domain *d,
                    const struct pv_domain_config *config)
{
    (void)config; /* domain_set_shape has what it says of memory */
    for (uint64_t gfn = 0; gfn < d->max_pages; gfn++)
        if (!populate_page(machine, d, gfn))
            return -ENOMEM;
    return 0;
}

/* Pages that a peer still uses follow with the last put_page. */
static uint64_t release_domain_memory(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    unsigned step = frames_per_page(d);
    uint64_t start = 0, frames = 0; /* a run of consecutive frames is given back in one go */
    uint64_t end = d->max_pages - from > RELEASE_BATCH ? from + RELEASE_BATCH : d->max_pages;
    machine_lock(machine);
    for (uint64_t gfn = from; gfn < end; gfn++) {
        uint64_t mfn = gfn_to_mfn(machine, d, gfn);
        if (mfn == NO_FRAME)
            continue;
        physmap_remove(machine, d, gfn);
        if (!drop_reference(machine, mfn, OWNERS_FLAGS))
            continue;
        if (mfn != start + frames) {
            free_run(machine, start, frames, step);
            start = mfn;
            frames = 0;
        }
        frames += step;
    }
    free_run(machine, start, frames, step);
    machine_unlock(machine);
    return end < d->max_pages ? end : 0;
}

/* ---- After a holder of machine.lock has died ------------------------------------------------- */

static void repair_page(struct pv_machine *machine, uint64_t mfn)
{
    struct page_info *page = frame_info(machine, mfn), seen = page_state(machine, mfn);
    if (seen.flags & PGC_allocated) {
        struct domain *owner = domain_window(machine, seen.owner);
        if (gfn_to_mfn(machine, owner, page->next) == mfn) {
            __atomic_fetch_and(&page->flags, (uint16_t)~PGC_leaving, __ATOMIC_RELEASE);
            __atomic_fetch_add(&owner->tot_pages, 1, __ATOMIC_RELAXED);
        } else {
            drop_reference(machine, mfn, OWNERS_FLAGS);
        }
    }
    if (page_state(machine, mfn).count == 0)
        page_free(machine, mfn);
}

/* Makes the lists of free frames and the counts of pages again: they may be in any state. */
static void repair_memory(struct pv_machine *machine)
{
    struct machine *shared = machine->shared;
    shared->frames = (struct frame_allocator){.free_frame = NO_FRAME, .free_block = NO_FRAME};
    for (uint32_t domid = 0; domid < shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        __atomic_store_n(&d->tot_pages, 0, __ATOMIC_RELAXED);
        __atomic_fetch_add(&d->physmap_changes, 1, __ATOMIC_RELEASE);
    }
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        const struct memory_extent *extent = &shared->extents[i];
        uint64_t mfn = extent->start, end = mfn + extent->next;
        shared->frames.free_frames += extent->count - extent->next;
        for (uint64_t next; mfn < end; mfn = next) {
            next = mfn + page_frames(machine, mfn); /* before it is freed */
            repair_page(machine, mfn);
        }
    }
}

/* ---- The subsystem --------------------------------------------------------------------------- */

static uint64_t p2m_size(const struct machine_layout *layout)
{
    return layout->max_domain_pages * sizeof(uint64_t);
}

static void wipe(struct domain *d)
{
    __atomic_store_n(&d->tot_pages, 0, __ATOMIC_RELAXED);
}

const struct subsystem memory_subsystem = {
    .init = frames_init,
    .repair = repair_memory,
    .area_size = p2m_size,
    .domain_create = populate,
    .domain_destroy = release_domain_memory,
    .domain_wipe = wipe,
};
