/* Superpages: one entry for many pages of a domain, in the physmap and in the frame table, until
 * somebody refers to one of the pages. */
#include "pvdrivers/sim/memory/internal.h"

#define CHILDREN (1u << P2M_LEVEL_SHIFT)

static unsigned level_of(const struct domain *d, struct page_state head)
{
    return (head.order - page_order(d)) / P2M_LEVEL_SHIFT;
}

/* What the entry of a page, or of a smaller superpage, begins with. */
static struct page_state child_page(const struct domain *d, unsigned level)
{
    return (struct page_state){.count = level == 0,
                               .owner = d->domain_id,
                               .order = (uint8_t)superpage_order(d, level),
                               .flags = PGC_allocated};
}

/* One that was written before, and then used by another process, keeps its references. */
static void write_child(struct pv_machine *machine, struct page_state child, uint64_t mfn,
                        uint64_t gfn)
{
    if (page_state(machine, mfn).count)
        return;
    frame_info(machine, mfn)->next = gfn;
    set_page(machine, mfn, child);
}

/* The head's own entry is last: until then all the others are part of the superpage. */
void superpage_expand(struct pv_machine *machine, uint64_t head)
{
    struct page_state expanding = page_state(machine, head);
    struct domain *d = domain_window(machine, expanding.owner);
    unsigned level = level_of(d, expanding) - 1;
    uint64_t gfn = frame_info(machine, head)->next, pages = 1ull << level * P2M_LEVEL_SHIFT;
    struct page_state child = child_page(d, level);
    expanding.flags |= PGC_expanding;
    set_page(machine, head, expanding);
    for (unsigned i = 1; i < CHILDREN; i++)
        write_child(machine, child, head + ((uint64_t)i << child.order), gfn + i * pages);
    for (unsigned i = 0; i < CHILDREN; i++)
        physmap_store(machine, d, gfn + i * pages, level, head + ((uint64_t)i << child.order));
    physmap_open_level(machine, d, gfn, level + 1);
    set_page(machine, head, child);
}

static bool is_superpage(struct pv_machine *machine, const struct domain *d, uint64_t head,
                         unsigned level)
{
    struct page_state page = page_state(machine, head);
    return page.count == 0 && page.flags & PGC_allocated && page.owner == d->domain_id &&
           page.order == superpage_order(d, level);
}

void superpage_expand_to(struct pv_machine *machine, const struct domain *d, uint64_t mfn)
{
    for (unsigned level = P2M_LEVELS - 1; level > 0; level--) {
        uint64_t head = mfn & ~((1ull << superpage_order(d, level)) - 1);
        if (is_superpage(machine, d, head, level))
            superpage_expand(machine, head);
    }
}

bool is_page_of(struct pv_machine *machine, const struct domain *d, uint64_t mfn)
{
    machine_lock(machine);
    superpage_expand_to(machine, d, mfn);
    struct page_state page = page_state(machine, mfn);
    machine_unlock(machine);
    return page.count && page.owner == d->domain_id;
}
