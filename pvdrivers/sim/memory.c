#include "pvdrivers/sim/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#define BLOCK_FRAMES 4 /* a 16 KiB page */

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

/* ---- Frame allocator: never-used memory first to last, then lists of what was freed. --------- */

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
    struct page_info *page = frame_info(machine, mfn);
    return page->count == 0 && !(page->flags & PGC_allocated);
}

/* Frees `frames` consecutive frames, as pages of `step` frames. */
static void free_frames(struct pv_machine *machine, uint64_t mfn, uint64_t frames, unsigned step)
{
    struct machine *shared = machine->shared;
    /* Before anybody can get the frames: a new owner must find zeros. */
    punch_memory(machine, mfn << FRAME_SHIFT, frames << FRAME_SHIFT);
    sim_lock(&shared->lock);
    for (uint64_t i = 0; i < frames; i++) {
        struct page_info *page = frame_info(machine, mfn + i);
        assert(page->count == 0);
        page->owner = DOMID_INVALID;
        page->flags = 0;
        if (i % step == 0)
            push_free(machine, step == 1 ? &shared->free_frame : &shared->free_block, mfn + i);
    }
    shared->free_frames += frames;
    sim_unlock(&shared->lock);
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

uint64_t alloc_page(struct pv_machine *machine, struct domain *d, uint64_t gfn)
{
    struct machine *shared = machine->shared;
    unsigned count = frames_per_page(d);
    sim_lock(&shared->lock);
    uint64_t mfn = count == 1 ? alloc_frame(machine) : alloc_block(machine);
    if (mfn == NO_FRAME && count > 1) {
        merge_free_frames(machine);
        mfn = alloc_block(machine);
    }
    if (mfn != NO_FRAME) {
        shared->free_frames -= count;
        *frame_info(machine, mfn) = (struct page_info){
            .count = 1, .owner = d->domain_id, .flags = PGC_allocated, .next = gfn};
        for (unsigned i = 1; i < count; i++)
            *frame_info(machine, mfn + i) = (struct page_info){
                .count = 0, .owner = d->domain_id, .flags = PGC_allocated, .next = gfn};
    }
    sim_unlock(&shared->lock);
    return mfn;
}

/* ---- References ------------------------------------------------------------------------------ */

int get_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner)
{
    struct page_info *page = frame_info(machine, mfn);
    uint32_t count = __atomic_load_n(&page->count, __ATOMIC_RELAXED);
    do {
        /* 0 is a page on its way back to the allocator: it must not come alive again. */
        if (count == 0 || count == UINT32_MAX || page->owner != owner->domain_id)
            return -EINVAL;
    } while (!__atomic_compare_exchange_n(&page->count, &count, count + 1, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return 0;
}

/* Gives up one reference; true when it was the last. */
static bool drop_reference(struct pv_machine *machine, uint64_t mfn)
{
    return __atomic_sub_fetch(&frame_info(machine, mfn)->count, 1, __ATOMIC_ACQ_REL) == 0;
}

void put_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner)
{
    if (drop_reference(machine, mfn))
        free_frames(machine, mfn, frames_per_page(owner), frames_per_page(owner));
}

/* ---- Physmap --------------------------------------------------------------------------------- */

uint64_t gfn_to_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    if (gfn >= d->max_pages)
        return NO_FRAME;
    /* Stored plus one, so that a fresh (zero) table says "not populated". */
    return __atomic_load_n(&p2m(machine, d)[gfn], __ATOMIC_ACQUIRE) - 1;
}

int physmap_add(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn)
{
    if (gfn >= d->max_pages)
        return -EINVAL;
    if (gfn_to_mfn(machine, d, gfn) != NO_FRAME)
        return -EEXIST;
    frame_info(machine, mfn)->owner = d->domain_id;
    frame_info(machine, mfn)->next = gfn;
    __atomic_store_n(&p2m(machine, d)[gfn], mfn + 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&d->tot_pages, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&d->physmap_changes, 1, __ATOMIC_RELEASE);
    return 0;
}

uint64_t physmap_remove(struct pv_machine *machine, struct domain *d, uint64_t gfn)
{
    uint64_t mfn = gfn_to_mfn(machine, d, gfn);
    if (mfn == NO_FRAME)
        return NO_FRAME;
    __atomic_store_n(&p2m(machine, d)[gfn], 0, __ATOMIC_RELEASE);
    __atomic_fetch_sub(&d->tot_pages, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&d->physmap_changes, 1, __ATOMIC_RELEASE);
    return mfn;
}

void release_domain_memory(struct pv_machine *machine, struct domain *d)
{
    unsigned step = frames_per_page(d);
    uint64_t start = 0, frames = 0; /* a run of consecutive frames is given back in one go */
    for (uint64_t gfn = 0; gfn < d->max_pages; gfn++) {
        uint64_t mfn = physmap_remove(machine, d, gfn);
        if (mfn == NO_FRAME || !drop_reference(machine, mfn))
            continue;
        if (mfn != start + frames) {
            if (frames)
                free_frames(machine, start, frames, step);
            start = mfn;
            frames = 0;
        }
        frames += step;
    }
    if (frames)
        free_frames(machine, start, frames, step);
}
