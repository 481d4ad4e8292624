/* The frame allocator: never-used memory first to last, then lists of what was freed. All of it is
 * under machine.lock, unless it says otherwise. */
#include "pvdrivers/sim/core/map.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

#define BLOCK_FRAMES 4 /* a 16 KiB page */

void frames_init(struct machine *shared, const struct pv_machine_config *config)
{
    shared->extent_count = config->extent_count;
    shared->frames = (struct frame_allocator){.free_frame = NO_FRAME, .free_block = NO_FRAME};
    for (uint32_t i = 0; i < config->extent_count; i++) {
        shared->extents[i].start = config->extents[i].start >> FRAME_SHIFT;
        shared->extents[i].count = config->extents[i].size >> FRAME_SHIFT;
        shared->frames.free_frames += shared->extents[i].count;
    }
}

/* ---- Lists ----------------------------------------------------------------------------------- */

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
    return mfn != NO_FRAME ? mfn : pop_free(machine, &machine->shared->frames.free_block);
}

static uint64_t alloc_frame(struct pv_machine *machine)
{
    struct machine *shared = machine->shared;
    uint64_t mfn = pop_free(machine, &shared->frames.free_frame);
    if (mfn != NO_FRAME)
        return mfn;
    uint64_t block = alloc_block(machine);
    if (block == NO_FRAME)
        return NO_FRAME;
    for (unsigned i = BLOCK_FRAMES - 1; i > 0; i--)
        push_free(machine, &shared->frames.free_frame, block + i);
    return block;
}

static bool is_free(struct pv_machine *machine, uint64_t mfn)
{
    struct page_info page = page_state(machine, mfn);
    return page.count == 0 && page.flags == 0;
}

unsigned page_frames(struct pv_machine *machine, uint64_t mfn)
{
    bool wide = mfn % BLOCK_FRAMES == 0 && page_state(machine, mfn + 1).flags & PGC_tail;
    return wide ? BLOCK_FRAMES : 1;
}

/* Onto its list. The caller has seen to it that the page is zeros. */
static void free_zeroed(struct pv_machine *machine, uint64_t mfn)
{
    struct machine *shared = machine->shared;
    unsigned frames = page_frames(machine, mfn);
    for (unsigned i = 0; i < frames; i++)
        set_page(machine, mfn + i, (struct page_info){.owner = DOMID_INVALID});
    push_free(machine, frames == 1 ? &shared->frames.free_frame : &shared->frames.free_block, mfn);
    shared->frames.free_frames += frames;
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
    uint64_t mfn = shared->frames.free_frame, rest = NO_FRAME;
    while (mfn != NO_FRAME) {
        uint64_t next = frame_info(machine, mfn)->next;
        uint64_t block = mfn & ~(uint64_t)(BLOCK_FRAMES - 1);
        bool whole = true;
        for (unsigned i = 0; i < BLOCK_FRAMES; i++)
            whole = whole && is_free(machine, block + i);
        if (whole && mfn == block)
            push_free(machine, &shared->frames.free_block, block);
        else if (!whole)
            push_free(machine, &rest, mfn);
        mfn = next;
    }
    shared->frames.free_frame = rest;
}

uint64_t alloc_page(struct pv_machine *machine, const struct domain *d)
{
    if (frames_per_page(d) == 1)
        return alloc_frame(machine);
    uint64_t mfn = alloc_block(machine);
    if (mfn != NO_FRAME)
        return mfn;
    merge_free_frames(machine);
    return alloc_block(machine);
}

void free_run(struct pv_machine *machine, uint64_t mfn, uint64_t frames, unsigned step)
{
    if (frames)
        punch_memory(machine, mfn << FRAME_SHIFT, frames << FRAME_SHIFT);
    for (uint64_t i = 0; i < frames; i += step)
        free_zeroed(machine, mfn + i);
}

/* ---- Facts about the machine's memory: under no lock ----------------------------------------- */

/* In an extent or in the xenheap, not in a hole. */
static bool frame_exists(const struct machine *shared, uint64_t mfn)
{
    for (uint32_t i = 0; i < shared->extent_count; i++)
        if (mfn - shared->extents[i].start < shared->extents[i].count)
            return true;
    uint64_t heap = shared->layout.xenheap >> FRAME_SHIFT;
    return mfn - heap < shared->max_domains * (shared->layout.xenheap_window >> FRAME_SHIFT);
}

int pv_machine_check_frame(struct pv_machine *machine, uint64_t mfn)
{
    return frame_exists(machine->shared, mfn) ? 0 : -EFAULT;
}

uint64_t pv_machine_free_memory(struct pv_machine *machine)
{
    machine_lock(machine);
    uint64_t frames = machine->shared->frames.free_frames;
    machine_unlock(machine);
    return frames << FRAME_SHIFT;
}

uint64_t pv_machine_total_memory(struct pv_machine *machine)
{
    uint64_t frames = 0;
    for (uint32_t i = 0; i < machine->shared->extent_count; i++)
        frames += machine->shared->extents[i].count;
    return frames << FRAME_SHIFT;
}
