/* What the frame table says of a frame. */
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/machine_pages.h"
#include "pvdrivers/sim/memory/extents.h"
#include "pvdrivers/sim/memory/internal.h"

/* From the top: a head so aligned is that of a block which has the frame or ends before it, down to
 * the frame's own. What is below that has no meaning. */
uint64_t block_of(struct pv_machine *machine, uint64_t mfn)
{
    const struct memory_extent *extent = extent_of(machine->shared, mfn);
    if (!extent || mfn - extent->start >= extent->opened)
        return NO_FRAME;
    uint64_t head = NO_FRAME;
    for (unsigned order = MAX_ORDER + 1; head == NO_FRAME && order-- > 0;) {
        uint64_t aligned = mfn & ~((1ull << order) - 1);
        if (aligned >= extent->start && mfn - aligned < 1ull << page_state(machine, aligned).order)
            head = aligned;
    }
    return head;
}

static const struct pv_page_info free_page = {
    .use = PV_PAGE_FREE, .owner = DOMID_INVALID, .gfn = INVALID_M2P_ENTRY};

/* Xen's own pages of a domain are its as long as it is there. */
static struct pv_page_info xen_page(struct pv_machine *machine, uint64_t mfn)
{
    const struct machine_layout *layout = &machine->shared->layout;
    uint64_t window = ((mfn << FRAME_SHIFT) - layout->xenheap) / layout->xenheap_window;
    struct pv_page_info info = free_page;
    info.xen_heap = true;
    RCU_SECTION(machine);
    if (find_domain(machine, (domid_t)window)) {
        info.use = PV_PAGE_INUSE;
        info.owner = (domid_t)window;
        info.allocated = true;
        info.count = 1;
    }
    return info;
}

/* A superpage has no references counted: each of its pages has its owner's. */
static struct pv_page_info used_page(struct pv_machine *machine, uint64_t head, uint64_t mfn)
{
    struct page_state page = page_state(machine, head);
    const struct domain *owner = domain_window(machine, page.owner);
    struct pv_page_info info = {.use =
                                    page.flags & PGC_offlining ? PV_PAGE_OFFLINING : PV_PAGE_INUSE,
                                .owner = page.owner,
                                .allocated = page.flags & PGC_allocated,
                                .broken = page.flags & PGC_broken,
                                .count = page.count ? page.count : 1,
                                .type_count = page.flags & PGC_events ? 1 : 0,
                                .gfn = INVALID_M2P_ENTRY};
    if (info.allocated && !is_loose(machine, head))
        info.gfn = frame_info(machine, head)->next + ((mfn - head) >> page_order(owner));
    return info;
}

static struct pv_page_info memory_page(struct pv_machine *machine, uint64_t mfn)
{
    uint64_t head = block_of(machine, mfn);
    struct pv_page_info info = free_page;
    if (head == NO_FRAME)
        return info;
    uint8_t flags = page_state(machine, head).flags;
    if (!(flags & (PGC_free | PGC_offlined)))
        return used_page(machine, head, mfn);
    info.use = flags & PGC_free ? PV_PAGE_FREE : PV_PAGE_OFFLINED;
    info.broken = flags & PGC_broken;
    return info;
}

void page_facts(struct pv_machine *machine, uint64_t mfn, struct pv_page_info *info)
{
    if (is_xen_heap(machine->shared, mfn)) {
        *info = xen_page(machine, mfn);
        return;
    }
    machine_lock(machine);
    *info = memory_page(machine, mfn);
    machine_unlock(machine);
}

uint64_t pv_page_gfn(struct pv_machine *machine, uint64_t mfn)
{
    struct pv_page_info info = free_page;
    if (extent_of(machine->shared, mfn))
        page_facts(machine, mfn, &info);
    return info.gfn;
}
