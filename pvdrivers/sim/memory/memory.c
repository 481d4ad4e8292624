#include "pvdrivers/sim/memory/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#define BLOCK_FRAMES 4     /* a 16 KiB page */
#define RELEASE_BATCH 4096 /* pages given back under one hold of machine.lock */

static uint64_t *p2m(struct pv_machine *machine, const struct domain *d)
{
    return (uint64_t *)((uint8_t *)d + machine->shared->layout.window_p2m);
}

static unsigned frames_per_page(const struct domain *d)
{
    return 1u << (d->page_shift - FRAME_SHIFT);
}

bool frame_exists(const struct machine *shared, uint64_t mfn)
{
    for (uint32_t i = 0; i < shared->extent_count; i++)
        if (mfn - shared->extents[i].start < shared->extents[i].count)
            return true;
    uint64_t heap = shared->layout.xenheap >> FRAME_SHIFT;
    return mfn - heap < (uint64_t)shared->max_domains * (XENHEAP_WINDOW >> FRAME_SHIFT);
}

void punch_memory(struct pv_machine *machine, uint64_t address, uint64_t size)
{
    fallocate(machine->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)address,
              (off_t)size);
}

void punch_segment(struct pv_machine *machine, uint64_t offset, uint64_t size)
{
    fallocate(machine->segment_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
              (off_t)size);
}

/* ---- Frame allocator: never-used memory first to last, then lists of what was freed. ---------
 * All of it under machine.lock. */

static uint64_t pop_free(struct pv_machine *machine, uint64_t *head)
{
    uint64_t mfn = *head;
    if (mfn != NO_FRAME)
        *head = frame_info(machine, mfn)->next;
    return mfn;
}

static void push_free(struct pv_machine *machine, uint64_t *head, uint64_t mfn)
{
    frame_info(machine, mfn)->next = *head;
    *head = mfn;
}

static uint64_t fresh_block(struct machine *shared)
{
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        struct memory_extent *extent = &shared->extents[i];
        if (extent->next < extent->count) {
            extent->next += BLOCK_FRAMES;
            return extent->start + extent->next - BLOCK_FRAMES;
        }
    }
    return NO_FRAME;
}

static uint64_t alloc_block(struct pv_machine *machine)
{
    /* Fresh memory first: consecutive pages of a domain then lie side by side. */
    uint64_t mfn = fresh_block(machine->shared);
    return mfn != NO_FRAME ? mfn : pop_free(machine, &machine->shared->free_block);
}

static uint64_t alloc_frame(struct pv_machine *machine)
{
    struct machine *shared = machine->shared;
    uint64_t mfn = pop_free(machine, &shared->free_frame);
    if (mfn != NO_FRAME)
        return mfn;
    uint64_t block = alloc_block(machine);
    if (block == NO_FRAME)
        return NO_FRAME;
    for (unsigned i = BLOCK_FRAMES - 1; i > 0; i--)
        push_free(machine, &shared->free_frame, block + i);
    return block;
}

static bool is_free(struct pv_machine *machine, uint64_t mfn)
{
    struct page_info page = page_state(machine, mfn);
    return page.count == 0 && page.flags == 0;
}

/* How many frames the page that begins at `mfn` has. */
static unsigned page_frames(struct pv_machine *machine, uint64_t mfn)
{
    bool wide = mfn % BLOCK_FRAMES == 0 && page_state(machine, mfn + 1).flags & PGC_tail;
    return wide ? BLOCK_FRAMES : 1;
}

/* Others look at the word without the lock. Release: what was done to the page is done by then. */
static void set_page(struct pv_machine *machine, uint64_t mfn, struct page_info page)
{
    __atomic_store_n(&frame_info(machine, mfn)->word, page.word, __ATOMIC_RELEASE);
}

/* Onto its list; whoever gets it must find zeros, which the caller has seen to. */
static void free_zeroed(struct pv_machine *machine, uint64_t mfn)
{
    struct machine *shared = machine->shared;
    unsigned frames = page_frames(machine, mfn);
    for (unsigned i = 0; i < frames; i++)
        set_page(machine, mfn + i, (struct page_info){.owner = DOMID_INVALID});
    push_free(machine, frames == 1 ? &shared->free_frame : &shared->free_block, mfn);
    shared->free_frames += frames;
}

void page_free(struct pv_machine *machine, uint64_t mfn)
{
    punch_memory(machine, mfn << FRAME_SHIFT, page_frames(machine, mfn) << FRAME_SHIFT);
    free_zeroed(machine, mfn);
}

/* Single free frames whose whole block is free become blocks again, so that a domain with 16 KiB
 * pages finds memory where domains with 4 KiB pages have been. */
static void merge_free_frames(struct pv_machine *machine)
{
    struct machine *shared = machine->shared;
    uint64_t mfn = shared->free_frame, rest = NO_FRAME;
    while (mfn != NO_FRAME) {
        uint64_t next = frame_info(machine, mfn)->next;
        uint64_t block = mfn & ~(uint64_t)(BLOCK_FRAMES - 1);
        bool whole = true;
        for (unsigned i = 0; i < BLOCK_FRAMES; i++)
            whole = whole && is_free(machine, block + i);
        if (whole && mfn == block)
            push_free(machine, &shared->free_block, block);
        else if (!whole)
            push_free(machine, &rest, mfn);
        mfn = next;
    }
    shared->free_frame = rest;
}

static uint64_t alloc_page(struct pv_machine *machine, const struct domain *d)
{
    if (frames_per_page(d) == 1)
        return alloc_frame(machine);
    uint64_t mfn = alloc_block(machine);
    if (mfn != NO_FRAME)
        return mfn;
    merge_free_frames(machine);
    return alloc_block(machine);
}

/* ---- References ------------------------------------------------------------------------------ */

#define OWNERS_FLAGS (PGC_allocated | PGC_leaving)

/* One more, which `flag`, if not 0, tells of. */
static int add_reference(struct pv_machine *machine, uint64_t mfn, const struct domain *owner,
                         uint16_t flag)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_info seen = page_state(machine, mfn), more;
    do {
        /* 0 is a free page: it must not come alive again. */
        if (seen.count == 0 || seen.count == UINT32_MAX || seen.owner != owner->domain_id ||
            seen.flags & PGC_leaving)
            return -EINVAL;
        if (seen.flags & flag)
            return 0;
        more = seen;
        more.count++;
        more.flags |= flag;
    } while (!__atomic_compare_exchange_n(&page->word, &seen.word, more.word, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return 0;
}

int get_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner)
{
    return add_reference(machine, mfn, owner, 0);
}

int get_event_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner)
{
    return add_reference(machine, mfn, owner, PGC_events);
}

/* Gives up a reference, and the flags that tell of it; true when it was the last. A last one goes
 * only under machine.lock. */
static bool drop_reference(struct pv_machine *machine, uint64_t mfn, uint16_t flags)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_info seen = page_state(machine, mfn), less;
    do {
        less = seen;
        less.count--;
        less.flags &= (uint16_t)~flags;
    } while (!__atomic_compare_exchange_n(&page->word, &seen.word, less.word, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return less.count == 0;
}

static bool put_unless_last(struct pv_machine *machine, uint64_t mfn)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_info seen = page_state(machine, mfn), less;
    do {
        if (seen.count <= 1)
            return false;
        less = seen;
        less.count--;
    } while (!__atomic_compare_exchange_n(&page->word, &seen.word, less.word, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

void put_page(struct pv_machine *machine, uint64_t mfn)
{
    if (put_unless_last(machine, mfn))
        return;
    machine_lock(machine);
    if (drop_reference(machine, mfn, 0))
        page_free(machine, mfn);
    machine_unlock(machine);
}

void put_event_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner)
{
    machine_lock(machine);
    struct page_info page = page_state(machine, mfn);
    if (page.owner == owner->domain_id && page.flags & PGC_events &&
        drop_reference(machine, mfn, PGC_events))
        page_free(machine, mfn);
    machine_unlock(machine);
}

void page_recount(struct pv_machine *machine, uint64_t mfn, const struct domain *owner,
                  uint32_t others)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_info seen = page_state(machine, mfn), counted;
    do {
        if (seen.count == 0 || seen.owner != owner->domain_id)
            return; /* it has been freed */
        counted = seen;
        counted.count =
            others + (seen.flags & PGC_allocated ? 1 : 0) + (seen.flags & PGC_events ? 1 : 0);
    } while (!__atomic_compare_exchange_n(&page->word, &seen.word, counted.word, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    if (counted.count == 0)
        page_free(machine, mfn);
}

/* ---- Physmap --------------------------------------------------------------------------------- */

uint64_t gfn_to_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    if (gfn >= d->max_pages)
        return NO_FRAME;
    /* Stored plus one, so that a fresh (zero) table says "not populated". */
    return __atomic_load_n(&p2m(machine, d)[gfn], __ATOMIC_ACQUIRE) - 1;
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

bool populate_page(struct pv_machine *machine, struct domain *d, uint64_t gfn)
{
    machine_lock(machine);
    uint64_t mfn = alloc_page(machine, d);
    if (mfn != NO_FRAME) {
        for (unsigned i = 1; i < frames_per_page(d); i++)
            set_page(machine, mfn + i, (struct page_info){.flags = PGC_tail});
        machine->shared->free_frames -= frames_per_page(d);
        page_give(machine, d, gfn, mfn);
    }
    machine_unlock(machine);
    return mfn != NO_FRAME;
}

/* `frames` consecutive frames, in pages of `step`. */
static void free_run(struct pv_machine *machine, uint64_t mfn, uint64_t frames, unsigned step)
{
    if (frames)
        punch_memory(machine, mfn << FRAME_SHIFT, frames << FRAME_SHIFT);
    for (uint64_t i = 0; i < frames; i += step)
        free_zeroed(machine, mfn + i);
}

uint64_t release_domain_memory(struct pv_machine *machine, struct domain *d, uint64_t from)
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

static void settle_page(struct pv_machine *machine, uint64_t mfn)
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

/* Makes the lists of free frames and the counts of pages anew: they may be in any state. */
static void settle_frames(struct pv_machine *machine)
{
    struct machine *shared = machine->shared;
    shared->free_frame = shared->free_block = NO_FRAME;
    shared->free_frames = 0;
    for (uint32_t domid = 0; domid < shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        __atomic_store_n(&d->tot_pages, 0, __ATOMIC_RELAXED);
        __atomic_fetch_add(&d->physmap_changes, 1, __ATOMIC_RELEASE);
    }
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        const struct memory_extent *extent = &shared->extents[i];
        uint64_t mfn = extent->start, end = mfn + extent->next;
        shared->free_frames += extent->count - extent->next;
        for (uint64_t next; mfn < end; mfn = next) {
            next = mfn + page_frames(machine, mfn); /* before it is freed */
            settle_page(machine, mfn);
        }
    }
}

void machine_lock(struct pv_machine *machine)
{
    if (sim_lock(&machine->shared->lock))
        settle_frames(machine);
}

void machine_unlock(struct pv_machine *machine)
{
    sim_unlock(&machine->shared->lock);
}
