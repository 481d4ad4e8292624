/* The owners of pages, and how a domain loses them. */
#include "pvdrivers/sim/core/map.h"
#include "pvdrivers/sim/memory/extents.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

#define RELEASE_BATCH 4096  /* pages given back under one hold of machine.lock */
#define SUPERPAGES_SHARE 64 /* as many pages of a superpage are one page's work */
#define OWNERS_FLAGS (PGC_allocated | PGC_leaving)
#define PAGES_FLAGS (PGC_offlining | PGC_broken) /* whoever has it */

/* ---- Owners: under machine.lock --------------------------------------------------------------
 * A page's owner is whose physmap has it, and says so with PGC_allocated. Where a process that was
 * killed in here has left the two in disagreement, the physmap counts; of loose pages, the page. */

bool page_leave(struct pv_machine *machine, const struct domain *owner, uint64_t mfn)
{
    superpage_expand_to(machine, owner, mfn);
    struct page_info *page = frame_info(machine, mfn);
    struct page_state alone = owned_page(owner), leaving;
    alone.flags |= page_state(machine, mfn).flags & PAGES_FLAGS;
    leaving = alone;
    leaving.flags |= PGC_leaving;
    return __atomic_compare_exchange_n(&page->state.word, &alone.word, leaving.word, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

int page_take(struct pv_machine *machine, struct domain *owner, uint64_t gfn, uint64_t mfn)
{
    if (!page_leave(machine, owner, mfn))
        return -EBUSY;
    physmap_clear(machine, owner, gfn, 0, mfn);
    return 0;
}

void page_give(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn)
{
    struct page_state page = owned_page(d);
    page.flags |= page_state(machine, mfn).flags & PAGES_FLAGS;
    frame_info(machine, mfn)->next = gfn;
    set_page(machine, mfn, page);
    physmap_set(machine, d, gfn, 0, mfn);
}

static bool is_offlining(struct pv_machine *machine, uint64_t mfn)
{
    return page_state(machine, mfn).flags & PGC_offlining;
}

void page_free(struct pv_machine *machine, uint64_t mfn)
{
    uint64_t frames = 1ull << page_state(machine, mfn).order;
    if (!is_offlining(machine, mfn)) {
        free_run(machine, mfn, frames);
        return;
    }
    punch_memory(machine, mfn << FRAME_SHIFT, frames << FRAME_SHIFT);
    retire_block(machine, mfn);
}

/* ---- A domain's memory is released ----------------------------------------------------------- */

static void release_superpage(struct pv_machine *machine, struct domain *d, uint64_t gfn,
                              const struct physmap_run *run)
{
    physmap_clear(machine, d, gfn, run->level, run->mfn);
    drop_owner(machine, run->mfn);
    free_run(machine, run->mfn, 1ull << superpage_order(d, run->level));
}

/* The page or the superpage that begins at `gfn`, of which `left` pages are to go. What is larger
 * is made smaller first: 0 pages then. Under machine.lock. */
static uint64_t release_one(struct pv_machine *machine, struct domain *d, uint64_t gfn,
                            const struct physmap_run *run, uint64_t left)
{
    uint64_t block = 1ull << superpage_order(d, run->level);
    if (run->level && (run->mfn % block || left < block >> page_order(d))) {
        superpage_expand(machine, run->mfn & ~(block - 1));
        return 0;
    }
    if (run->level) {
        release_superpage(machine, d, gfn, run);
    } else {
        physmap_clear(machine, d, gfn, 0, run->mfn);
        if (drop_reference(machine, run->mfn, OWNERS_FLAGS))
            page_free(machine, run->mfn);
    }
    return run->pages;
}

bool release_pages(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t pages)
{
    bool is_there = gfn < d->physmap_end && pages <= d->physmap_end - gfn;
    for (uint64_t end = gfn + pages; is_there && gfn < end;) {
        machine_lock(machine);
        struct physmap_run run = physmap_run(machine, d, gfn);
        is_there = run.mfn != NO_FRAME;
        gfn += is_there ? release_one(machine, d, gfn, &run, end - gfn) : 0;
        machine_unlock(machine);
    }
    return is_there;
}

void release_page(struct pv_machine *machine, const struct domain *d, uint64_t mfn,
                  struct frame_run *run)
{
    if (!drop_reference(machine, mfn, OWNERS_FLAGS))
        return;
    if (is_offlining(machine, mfn)) {
        page_free(machine, mfn);
        return;
    }
    if (mfn != run->start + run->frames) {
        free_run(machine, run->start, run->frames);
        *run = (struct frame_run){.start = mfn};
    }
    run->frames += 1ull << page_order(d);
}

static uint64_t release_domain_memory(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    struct frame_run freed = {0};
    uint64_t gfn = from, work = 0;
    machine_lock(machine);
    claim_drop(machine, d);
    for (; gfn < d->physmap_end && work < RELEASE_BATCH; work++) {
        struct physmap_run run = physmap_run(machine, d, gfn);
        if (run.mfn != NO_FRAME && run.level) {
            release_superpage(machine, d, gfn, &run);
            work += run.pages / SUPERPAGES_SHARE;
        } else if (run.mfn != NO_FRAME) {
            physmap_clear(machine, d, gfn, 0, run.mfn);
            release_page(machine, d, run.mfn, &freed);
        }
        gfn += run.pages;
    }
    for (; d->loose_page && work < RELEASE_BATCH; work++)
        release_page(machine, d, loose_take(machine, d), &freed);
    free_run(machine, freed.start, freed.frames);
    machine_unlock(machine);
    return gfn < d->physmap_end || d->loose_page ? gfn : 0;
}

/* ---- After a holder of machine.lock has died ------------------------------------------------- */

static bool is_still_owned(struct pv_machine *machine, struct domain *owner, uint64_t mfn)
{
    if (!is_loose(machine, mfn))
        return gfn_to_own_mfn(machine, owner, frame_info(machine, mfn)->next) == mfn;
    loose_link(machine, owner, mfn);
    return true;
}

static void repair_owned(struct pv_machine *machine, uint64_t mfn)
{
    struct page_info *page = frame_info(machine, mfn);
    if (page->state.flags & PGC_expanding)
        superpage_expand(machine, mfn);
    struct page_state seen = page_state(machine, mfn);
    struct domain *owner = domain_window(machine, seen.owner);
    if (is_still_owned(machine, owner, mfn)) {
        clear_flags(machine, mfn, PGC_leaving);
        __atomic_fetch_add(&owner->tot_pages, 1ull << (seen.order - page_order(owner)),
                           __ATOMIC_RELAXED);
    } else if (seen.count) {
        drop_reference(machine, mfn, OWNERS_FLAGS);
    } else {
        drop_owner(machine, mfn);
    }
}

static uint64_t repair_block(struct pv_machine *machine, uint64_t mfn)
{
    if (page_state(machine, mfn).flags & PGC_allocated)
        repair_owned(machine, mfn);
    struct page_state page = page_state(machine, mfn);
    if (page.count || page.flags & (PGC_allocated | PGC_offlined))
        return mfn;
    punch_memory(machine, mfn << FRAME_SHIFT, FRAME_SIZE << page.order);
    if (!(page.flags & PGC_offlining))
        return heap_free(machine, mfn, page.order);
    retire_block(machine, mfn);
    return mfn;
}

/* Makes free memory and the counts of pages again: they may be in any state. */
static void repair_memory(struct pv_machine *machine)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        __atomic_store_n(&d->tot_pages, 0, __ATOMIC_RELAXED);
        d->loose_page = 0;
        __atomic_fetch_add(&d->physmap_changes, 1, __ATOMIC_RELEASE);
    }
    extents_count_nodes(machine->shared);
    heap_repair(machine, repair_block);
    m2p_repair(machine);
    claims_recount(machine);
}

/* ---- The subsystem --------------------------------------------------------------------------- */

static void init(struct machine *shared, const struct pv_machine_config *config)
{
    extents_init(shared, config);
    heap_init(shared);
}

static void wipe(struct domain *d)
{
    __atomic_store_n(&d->tot_pages, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&d->claimed_pages, 0, __ATOMIC_RELAXED);
    d->loose_page = 0;
}

const struct subsystem memory_subsystem = {
    .init = init,
    .repair = repair_memory,
    .area_size = memory_area_size,
    .domain_create = populate_domain,
    .domain_destroy = release_domain_memory,
    .domain_wipe = wipe,
    .debug_key = {'m', "memory info", .dump = memory_dump},
};
