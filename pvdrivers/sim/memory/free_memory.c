/* How much memory is free, where, and what of it is claimed: one domain will be given that, and no
 * other may have it. */
#include "pvdrivers/sim/machine_memory.h"
#include "pvdrivers/sim/memory/extents.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

/* ---- Free frames: under machine.lock --------------------------------------------------------- */

static uint64_t free_of_node(struct pv_machine *machine, unsigned node)
{
    return heap_of(machine->shared, node, ZONE_DMA32)->free_frames +
           heap_of(machine->shared, node, ZONE_NORMAL)->free_frames;
}

static uint64_t free_frames(struct pv_machine *machine)
{
    uint64_t frames = 0;
    for (unsigned node = 0; node < machine->shared->node_count; node++)
        frames += free_of_node(machine, node);
    return frames;
}

unsigned heap_roomiest_node(struct pv_machine *machine)
{
    unsigned best = 0;
    for (unsigned node = 1; node < machine->shared->node_count; node++)
        if (free_of_node(machine, node) > free_of_node(machine, best))
            best = node;
    return best;
}

uint64_t pv_machine_free_memory(struct pv_machine *machine)
{
    machine_lock(machine);
    uint64_t frames = free_frames(machine);
    machine_unlock(machine);
    return frames << FRAME_SHIFT;
}

int pv_machine_node_memory(struct pv_machine *machine, uint32_t node, struct pv_node_memory *out)
{
    if (node >= pv_machine_node_count(machine))
        return -EINVAL;
    machine_lock(machine);
    const struct heap *low = heap_of(machine->shared, node, ZONE_DMA32), *high = low + 1;
    uint64_t offlined = low->offlined_frames + high->offlined_frames;
    *out = (struct pv_node_memory){.total = extents_of_node(machine->shared, node) << FRAME_SHIFT,
                                   .free = free_of_node(machine, node) << FRAME_SHIFT,
                                   .free_below_4g = low->free_frames << FRAME_SHIFT,
                                   .offlined = offlined << FRAME_SHIFT};
    machine_unlock(machine);
    return 0;
}

/* ---- Of addresses ---------------------------------------------------------------------------- */

struct range {
    uint64_t start, end; /* frames */
};

static uint64_t overlap(const struct range *range, uint64_t start, uint64_t end)
{
    uint64_t from = start > range->start ? start : range->start;
    uint64_t to = end < range->end ? end : range->end;
    return from < to ? to - from : 0;
}

static uint64_t free_blocks_in(struct pv_machine *machine, const struct heap *heap,
                               const struct range *range)
{
    uint64_t frames = 0;
    for (unsigned order = 0; order <= MAX_ORDER; order++)
        for (uint64_t next = heap->first[order]; next; next = frame_info(machine, next - 1)->next)
            frames += overlap(range, next - 1, next - 1 + (1ull << order));
    return frames;
}

static uint64_t unopened_in(const struct machine *shared, unsigned node, unsigned zone,
                            const struct range *range)
{
    uint64_t frames = 0;
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        const struct memory_extent *extent = &shared->extents[i];
        if (extent->node == node && extent->zone == zone)
            frames += overlap(range, extent->start + extent->opened, extent->start + extent->count);
    }
    return frames;
}

/* Only of a zone that the range has a part of, each block must be looked at. */
static uint64_t free_in(struct pv_machine *machine, unsigned node, unsigned zone,
                        const struct range *range)
{
    static const struct range zones[] = {
        [ZONE_DMA32] = {0, DMA32_FRAMES}, [ZONE_NORMAL] = {DMA32_FRAMES, 1ull << MAX_ORDER}};
    const struct heap *heap = heap_of(machine->shared, node, zone);
    uint64_t part = overlap(range, zones[zone].start, zones[zone].end);
    if (part == 0 || part == zones[zone].end - zones[zone].start)
        return part ? heap->free_frames : 0;
    return free_blocks_in(machine, heap, range) + unopened_in(machine->shared, node, zone, range);
}

/* The first frame whose address has more bits, within what machines have. */
static uint64_t frames_below(uint32_t bits)
{
    uint32_t most = MAX_ORDER + FRAME_SHIFT, used = bits < most ? bits : most;
    return used < FRAME_SHIFT ? 0 : 1ull << (used - FRAME_SHIFT);
}

uint64_t pv_machine_available_memory(struct pv_machine *machine, int32_t node, uint32_t min_width,
                                     uint32_t max_width)
{
    const struct range range = {min_width ? frames_below(min_width - 1) : 0,
                                frames_below(max_width ? max_width : UINT32_MAX)};
    uint64_t frames = 0;
    machine_lock(machine);
    for (uint32_t i = 0; i < machine->shared->node_count; i++)
        for (unsigned zone = 0; zone < ZONE_COUNT && (node == -1 || (uint32_t)node == i); zone++)
            frames += free_in(machine, i, zone, &range);
    machine_unlock(machine);
    return frames << FRAME_SHIFT;
}

/* ---- Claims: under machine.lock -------------------------------------------------------------- */

uint64_t pv_machine_outstanding_claims(struct pv_machine *machine)
{
    return __atomic_load_n(&machine->shared->outstanding_claims, __ATOMIC_RELAXED) << FRAME_SHIFT;
}

bool claims_leave(struct pv_machine *machine, const struct domain *d, uint64_t frames)
{
    uint64_t claimed = machine->shared->outstanding_claims;
    return !claimed || frames + claimed <= free_frames(machine) ||
           frames <= domain_outstanding_pages(d) << page_order(d);
}

/* What is left of its claim was `before`. A claim that is used up is none. */
static void settle(struct pv_machine *machine, struct domain *d, uint64_t before)
{
    uint64_t left = domain_outstanding_pages(d);
    if (!left)
        __atomic_store_n(&d->claimed_pages, 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&machine->shared->outstanding_claims, (left - before) << page_order(d),
                       __ATOMIC_RELAXED);
}

static void set_claim(struct pv_machine *machine, struct domain *d, uint64_t pages)
{
    uint64_t before = domain_outstanding_pages(d);
    __atomic_store_n(&d->claimed_pages, pages, __ATOMIC_RELAXED);
    settle(machine, d, before);
}

void count_pages(struct pv_machine *machine, struct domain *d, uint64_t pages)
{
    uint64_t before = domain_outstanding_pages(d);
    __atomic_fetch_add(&d->tot_pages, pages, __ATOMIC_RELAXED);
    if (before)
        settle(machine, d, before);
}

void claim_drop(struct pv_machine *machine, struct domain *d)
{
    set_claim(machine, d, 0);
}

void claims_recount(struct pv_machine *machine)
{
    __atomic_store_n(&machine->shared->outstanding_claims, 0, __ATOMIC_RELAXED);
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        if (d->claimed_pages)
            settle(machine, d, 0);
    }
}

static int claim(struct pv_machine *machine, struct domain *d, uint64_t pages)
{
    uint64_t has = __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED);
    if (domain_is_dying(d) || domain_outstanding_pages(d) || pages <= has ||
        pages > __atomic_load_n(&d->max_pages, __ATOMIC_RELAXED))
        return -EINVAL;
    uint64_t free = free_frames(machine), claimed = machine->shared->outstanding_claims;
    if (free < claimed || (pages - has) << page_order(d) > free - claimed)
        return -ENOMEM;
    set_claim(machine, d, pages);
    return 0;
}

int pv_memory_claim_pages(struct pv_machine *machine, domid_t caller, domid_t domid, uint64_t pages)
{
    RCU_SECTION(machine);
    struct domain *by = find_live_domain(machine, NULL, caller);
    struct domain *d = find_live_domain(machine, NULL, domid);
    if (!by || !d)
        return by ? -EINVAL : -ESRCH;
    if (!by->privileged)
        return -EPERM;
    int error = 0;
    machine_lock(machine);
    if (pages)
        error = claim(machine, d, pages);
    else
        claim_drop(machine, d);
    machine_unlock(machine);
    account(by, PV_ACCOUNT_MEMORY_OP, 1);
    return error;
}
