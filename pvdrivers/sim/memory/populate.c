/* Giving a domain new memory: when it is made, and by hypercall. */
#include "pvdrivers/sim/machine_memory.h"
#include "pvdrivers/sim/memory/extents.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

/* ---- A block, under machine.lock ------------------------------------------------------------- */

static_assert(MAX_EXTENT_ORDER == PV_MEMORY_MAX_ORDER, "one superpage");

static void give_superpage(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn,
                           unsigned level)
{
    frame_info(machine, mfn)->next = gfn;
    set_page(machine, mfn,
             (struct page_state){.owner = d->domain_id,
                                 .order = (uint8_t)superpage_order(d, level),
                                 .flags = PGC_allocated});
    physmap_set(machine, d, gfn, level, mfn);
}

static void give_pages(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn,
                       uint64_t pages)
{
    heap_cut(machine, mfn, pages, page_order(d));
    for (uint64_t i = 0; i < pages; i++)
        page_give(machine, d, gfn + i, mfn + (i << page_order(d)));
}

void give_block(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn,
                unsigned order)
{
    unsigned level = order / P2M_LEVEL_SHIFT;
    if (level && order % P2M_LEVEL_SHIFT == 0 && physmap_takes(machine, d, gfn, level))
        give_superpage(machine, d, gfn, mfn, level);
    else
        give_pages(machine, d, gfn, mfn, 1ull << order);
}

/* ---- As many pages as can be had ------------------------------------------------------------- */

/* The most pages, as an order, that one block can have from `gfn` on. */
static unsigned block_order(uint64_t gfn, uint64_t end)
{
    unsigned order = MAX_EXTENT_ORDER;
    while (gfn & ((1ull << order) - 1) || gfn + (1ull << order) > end)
        order--;
    return order < P2M_LEVEL_SHIFT ? order : order - order % P2M_LEVEL_SHIFT;
}

static bool may_have(struct pv_machine *machine, const struct domain *d, uint64_t pages)
{
    uint64_t most = __atomic_load_n(&d->max_pages, __ATOMIC_RELAXED);
    uint64_t now = __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED);
    return now <= most && pages <= most - now && claims_leave(machine, d, pages << page_order(d));
}

/* One block at `gfn`, of that order or, where memory is in pieces, of a smaller one: its pages, or
 * 0 when there is no memory. */
static uint64_t populate_block(struct pv_machine *machine, struct domain *d, uint64_t gfn,
                               unsigned order)
{
    uint64_t mfn = NO_FRAME;
    machine_lock(machine);
    while (order && !may_have(machine, d, 1ull << order))
        order--;
    if (may_have(machine, d, 1ull << order))
        do
            mfn = heap_alloc(machine, order + page_order(d), d->node, machine->shared->node_count,
                             ZONE_NORMAL);
        while (mfn == NO_FRAME && order-- > 0);
    if (mfn != NO_FRAME)
        give_block(machine, d, gfn, mfn, order);
    machine_unlock(machine);
    return mfn == NO_FRAME ? 0 : 1ull << order;
}

uint64_t populate_range(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t end)
{
    for (uint64_t pages; gfn < end; gfn += pages) {
        pages = populate_block(machine, d, gfn, block_order(gfn, end));
        if (!pages)
            break;
    }
    return gfn;
}

int populate_domain(struct pv_machine *machine, struct domain *d,
                    const struct pv_domain_config *config)
{
    uint64_t pages = config->memory >> d->page_shift;
    machine_lock(machine);
    d->node = heap_roomiest_node(machine);
    machine_unlock(machine);
    return populate_range(machine, d, 0, pages) == pages ? 0 : -ENOMEM;
}

/* ---- Extents, by hypercall ------------------------------------------------------------------- */

bool is_vacant(struct pv_machine *machine, const struct domain *d, uint64_t gfn, uint64_t pages)
{
    if (gfn >= d->physmap_end || pages > d->physmap_end - gfn)
        return false;
    for (uint64_t end = gfn + pages; gfn < end;) {
        struct physmap_run run = physmap_run(machine, d, gfn);
        if (run.mfn != NO_FRAME &&
            (run.level || !(page_state(machine, run.mfn).flags & PGC_leaving)))
            return false;
        gfn += run.pages;
    }
    return true;
}

static bool is_below(uint64_t mfn, unsigned order, unsigned address_bits)
{
    uint64_t end = (mfn + (1ull << order)) << FRAME_SHIFT;
    return address_bits == 0 || address_bits >= 64 || end <= 1ull << address_bits;
}

uint64_t alloc_extent(struct pv_machine *machine, const struct domain *d, unsigned order,
                      uint32_t flags)
{
    unsigned bits = XENMEMF_get_address_bits(flags), nodes = machine->shared->node_count;
    bool has_node = flags >> 8 & 0xff;
    unsigned node = has_node ? XENMEMF_get_node(flags) : d->node;
    bool exact = has_node && flags & XENMEMF_exact_node_request;
    if (node >= nodes)
        return NO_FRAME;
    for (unsigned zone = bits && bits <= 32 ? ZONE_NORMAL : ZONE_COUNT; zone-- > 0;) {
        uint64_t mfn = heap_alloc(machine, order, node, exact ? 1 : nodes, zone);
        if (mfn == NO_FRAME || is_below(mfn, order, bits))
            return mfn;
        heap_free(machine, mfn, order);
    }
    return NO_FRAME;
}

static void give_loose(struct pv_machine *machine, struct domain *d, uint64_t mfn, uint64_t pages)
{
    heap_cut(machine, mfn, pages, page_order(d));
    for (uint64_t i = 0; i < pages; i++)
        loose_give(machine, d, mfn + (i << page_order(d)));
}

static bool new_extent(struct pv_machine *machine, struct domain *d, const uint64_t *gfn,
                       const struct pv_memory_extents *extents, uint64_t *mfn)
{
    uint64_t pages = 1ull << extents->order;
    if (domain_is_dying(d) || !may_have(machine, d, pages) ||
        (gfn && !is_vacant(machine, d, *gfn, pages)))
        return false;
    *mfn = alloc_extent(machine, d, extents->order + page_order(d), extents->mem_flags);
    if (*mfn != NO_FRAME && gfn)
        give_block(machine, d, *gfn, *mfn, extents->order);
    else if (*mfn != NO_FRAME)
        give_loose(machine, d, *mfn, pages);
    return *mfn != NO_FRAME;
}

uint64_t populate_extents(struct pv_machine *machine, struct domain *d,
                          const struct pv_memory_extents *extents)
{
    uint64_t done = 0, mfn;
    for (bool more = true; done < extents->count; done++) {
        machine_lock(machine);
        const uint64_t *gfn = extents->gfns ? &extents->gfns[done] : NULL;
        more = new_extent(machine, d, gfn, extents, &mfn);
        machine_unlock(machine);
        if (!more)
            break;
        if (extents->mfns)
            extents->mfns[done] = mfn;
    }
    return done;
}
