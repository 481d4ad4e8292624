/* Free memory: a binary buddy system for each node and zone. Blocks never reach over the end of an
 * extent, so no hole, node or zone begins inside one. All of it is under machine.lock. */
#include "pvdrivers/sim/core/map.h"
#include "pvdrivers/sim/memory/extents.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

struct heap *heap_of(struct machine *shared, unsigned node, unsigned zone)
{
    struct heap *heaps = (struct heap *)((uint8_t *)shared + shared->layout.heaps);
    return &heaps[node * ZONE_COUNT + zone];
}

struct heap *heap_of_extent(struct machine *shared, const struct memory_extent *extent)
{
    return heap_of(shared, extent->node, extent->zone);
}

static unsigned largest_order(uint64_t frames)
{
    return 63u - (unsigned)__builtin_clzll(frames);
}

/* The largest block that begins at `mfn` and has at most that many frames. */
static unsigned order_at(uint64_t mfn, uint64_t frames)
{
    unsigned aligned = mfn ? (unsigned)__builtin_ctzll(mfn) : MAX_ORDER;
    unsigned fitting = largest_order(frames);
    return aligned < fitting ? aligned : fitting;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static void link_block(struct pv_machine *machine, struct heap *heap, uint64_t mfn, unsigned order)
{
    struct page_info *head = frame_info(machine, mfn);
    head->next = heap->first[order];
    head->prev = 0;
    if (head->next)
        frame_info(machine, head->next - 1)->prev = mfn + 1;
    heap->first[order] = mfn + 1;
    heap->orders |= 1ull << order;
    heap->free_frames += 1ull << order;
}

static void unlink_block(struct pv_machine *machine, struct heap *heap, uint64_t mfn,
                         unsigned order)
{
    const struct page_info *head = frame_info(machine, mfn);
    if (head->prev)
        frame_info(machine, head->prev - 1)->next = head->next;
    else
        heap->first[order] = head->next;
    if (head->next)
        frame_info(machine, head->next - 1)->prev = head->prev;
    if (!heap->first[order])
        heap->orders &= ~(1ull << order);
    heap->free_frames -= 1ull << order;
}

static void set_free(struct pv_machine *machine, uint64_t mfn, unsigned order)
{
    set_page(
        machine, mfn,
        (struct page_state){.owner = DOMID_INVALID, .order = (uint8_t)order, .flags = PGC_free});
}

/* ---- Taking a block -------------------------------------------------------------------------- */

/* The halves that `wanted` is not in become blocks of their own, largest first. */
static void split(struct pv_machine *machine, struct heap *heap, uint64_t mfn, unsigned from,
                  unsigned to, uint64_t wanted)
{
    for (unsigned order = from; order-- > to;) {
        uint64_t upper = mfn + (1ull << order);
        set_free(machine, upper, order);
        set_free(machine, mfn, order); /* only now are there two */
        link_block(machine, heap, wanted < upper ? upper : mfn, order);
        mfn = wanted < upper ? mfn : upper;
    }
}

/* Makes a block of what is none yet. A process killed before it counts as opened has changed
 * nothing. */
static void open_block(struct pv_machine *machine, struct memory_extent *extent)
{
    struct heap *heap = heap_of_extent(machine->shared, extent);
    uint64_t mfn = extent->start + extent->opened;
    unsigned order = order_at(mfn, extent->count - extent->opened);
    set_free(machine, mfn, order);
    heap->free_frames -= 1ull << order; /* link_block counts it again */
    link_block(machine, heap, mfn, order);
    __atomic_fetch_add(&extent->opened, 1ull << order, __ATOMIC_RELEASE);
}

/* One in the node and zone; false when there is nothing. */
static bool open_any_block(struct pv_machine *machine, unsigned node, unsigned zone)
{
    struct machine *shared = machine->shared;
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        struct memory_extent *extent = &shared->extents[i];
        if (extent->opened == extent->count || extent->node != node || extent->zone != zone)
            continue;
        open_block(machine, extent);
        return true;
    }
    return false;
}

static uint64_t take_fitting(struct pv_machine *machine, struct heap *heap, unsigned order)
{
    uint64_t fitting = heap->orders >> order;
    if (!fitting)
        return NO_FRAME;
    unsigned found = order + (unsigned)__builtin_ctzll(fitting);
    uint64_t mfn = heap->first[found] - 1;
    unlink_block(machine, heap, mfn, found);
    split(machine, heap, mfn, found, order, mfn);
    return mfn;
}

static uint64_t take(struct pv_machine *machine, unsigned node, unsigned zone, unsigned order)
{
    struct heap *heap = heap_of(machine->shared, node, zone);
    uint64_t mfn;
    do
        mfn = take_fitting(machine, heap, order);
    while (mfn == NO_FRAME && heap->free_frames >> order && open_any_block(machine, node, zone));
    return mfn;
}

uint64_t heap_alloc(struct pv_machine *machine, unsigned order, unsigned node, unsigned nodes,
                    unsigned last_zone)
{
    unsigned all = machine->shared->node_count;
    for (unsigned zone = last_zone + 1; zone-- > 0;)
        for (unsigned i = 0; i < nodes; i++) {
            uint64_t mfn = take(machine, (node + i) % all, zone, order);
            if (mfn != NO_FRAME)
                return mfn;
        }
    return NO_FRAME;
}

void heap_cut(struct pv_machine *machine, uint64_t mfn, uint64_t blocks, unsigned order)
{
    while (blocks-- > 0) /* the head is last: until then it speaks for all */
        set_free(machine, mfn + (blocks << order), order);
}

/* ---- A frame out of its block ------------------------------------------------------------------
 */

void heap_open_to(struct pv_machine *machine, uint64_t mfn)
{
    struct machine *shared = machine->shared;
    struct memory_extent *extent = &shared->extents[extent_of(shared, mfn) - shared->extents];
    while (mfn - extent->start >= extent->opened)
        open_block(machine, extent);
}

void heap_take_frame(struct pv_machine *machine, uint64_t head, uint64_t mfn)
{
    struct heap *heap = heap_of_extent(machine->shared, extent_of(machine->shared, mfn));
    unsigned order = page_state(machine, head).order;
    unlink_block(machine, heap, head, order);
    split(machine, heap, head, order, 0, mfn);
}

/* ---- Giving one back ------------------------------------------------------------------------- */

/* The other half of what the block is a half of, when it is free, whole and in the extent's
 * blocks. */
static bool has_free_buddy(struct pv_machine *machine, const struct memory_extent *extent,
                           uint64_t mfn, unsigned order)
{
    uint64_t buddy = mfn ^ 1ull << order;
    if (order == MAX_ORDER || buddy < extent->start ||
        buddy + (1ull << order) > extent->start + extent->opened)
        return false;
    struct page_state page = page_state(machine, buddy);
    return page.flags & PGC_free && page.order == order;
}

static uint64_t free_in_extent(struct pv_machine *machine, const struct memory_extent *extent,
                               uint64_t mfn, unsigned order)
{
    struct heap *heap = heap_of_extent(machine->shared, extent);
    for (; has_free_buddy(machine, extent, mfn, order); order++) {
        unlink_block(machine, heap, mfn ^ 1ull << order, order);
        mfn &= ~(1ull << order);
        set_free(machine, mfn, order + 1);
    }
    set_free(machine, mfn, order);
    link_block(machine, heap, mfn, order);
    return mfn;
}

uint64_t heap_free(struct pv_machine *machine, uint64_t mfn, unsigned order)
{
    return free_in_extent(machine, extent_of(machine->shared, mfn), mfn, order);
}

void free_run(struct pv_machine *machine, uint64_t mfn, uint64_t frames)
{
    if (frames)
        punch_memory(machine, mfn << FRAME_SHIFT, frames << FRAME_SHIFT);
    while (frames) {
        const struct memory_extent *extent = extent_of(machine->shared, mfn);
        uint64_t left = extent->start + extent->count - mfn;
        unsigned order = order_at(mfn, frames < left ? frames : left);
        free_in_extent(machine, extent, mfn, order);
        mfn += 1ull << order;
        frames -= 1ull << order;
    }
}

/* ---- All of it ------------------------------------------------------------------------------- */

void heap_count_unopened(struct machine *shared, const struct memory_extent *extent)
{
    heap_of_extent(shared, extent)->free_frames += extent->count - extent->opened;
}

void heap_init(struct machine *shared)
{
    for (uint32_t i = 0; i < shared->extent_count; i++)
        heap_count_unopened(shared, &shared->extents[i]);
}

static void forget_lists(struct machine *shared)
{
    for (unsigned node = 0; node < shared->node_count; node++)
        for (unsigned zone = 0; zone < ZONE_COUNT; zone++)
            *heap_of(shared, node, zone) = (struct heap){0};
}

/* And counts those that are not to be used. */
static void link_free_blocks(struct pv_machine *machine, const struct memory_extent *extent)
{
    struct heap *heap = heap_of_extent(machine->shared, extent);
    uint64_t end = extent->start + extent->opened;
    heap_count_unopened(machine->shared, extent);
    for (uint64_t mfn = extent->start; mfn < end;) {
        struct page_state page = page_state(machine, mfn);
        if (page.flags & PGC_free)
            link_block(machine, heap, mfn, page.order);
        if (page.flags & PGC_offlined)
            heap->offlined_frames += 1ull << page.order;
        mfn += 1ull << page.order;
    }
}

/* The process may have died before it joined two halves. */
static uint64_t join_again(struct pv_machine *machine, const struct memory_extent *extent,
                           uint64_t mfn)
{
    unsigned order = page_state(machine, mfn).order;
    unlink_block(machine, heap_of_extent(machine->shared, extent), mfn, order);
    return free_in_extent(machine, extent, mfn, order);
}

void heap_repair(struct pv_machine *machine,
                 uint64_t (*repair_block)(struct pv_machine *machine, uint64_t mfn))
{
    struct machine *shared = machine->shared;
    forget_lists(shared);
    for (uint32_t i = 0; i < shared->extent_count; i++)
        link_free_blocks(machine, &shared->extents[i]);
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        const struct memory_extent *extent = &shared->extents[i];
        uint64_t end = extent->start + extent->opened;
        for (uint64_t mfn = extent->start; mfn < end;) {
            bool is_free = page_state(machine, mfn).flags & PGC_free;
            mfn = is_free ? join_again(machine, extent, mfn) : repair_block(machine, mfn);
            mfn += 1ull << page_state(machine, mfn).order;
        }
    }
}
