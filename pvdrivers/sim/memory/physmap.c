/* Each domain's physmap, gfn to mfn: three levels of flat arrays in the domain's window, which is
 * sparse. */
#include "pvdrivers/sim/machine_pages.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

#define BELOW UINT64_MAX /* an entry whose pages are in the level below */

static uint64_t level_entries(const struct machine_layout *layout, unsigned level)
{
    unsigned shift = level * P2M_LEVEL_SHIFT;
    return (layout->max_domain_pages + (1ull << shift) - 1) >> shift;
}

uint64_t physmap_size(const struct machine_layout *layout)
{
    uint64_t entries = 0;
    for (unsigned level = 0; level < P2M_LEVELS; level++)
        entries += level_entries(layout, level);
    return entries * sizeof(uint64_t);
}

static uint64_t *entry_of(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                          unsigned level)
{
    uint64_t *entries = domain_area(machine, d, SUBSYSTEM_MEMORY);
    for (unsigned below = 0; below < level; below++)
        entries += level_entries(&machine->shared->layout, below);
    return &entries[gfn >> level * P2M_LEVEL_SHIFT];
}

static uint64_t pages_of_level(unsigned level)
{
    return 1ull << level * P2M_LEVEL_SHIFT;
}

/* ---- Looking up: under no lock --------------------------------------------------------------- */

/* From the top, since reading an entry that was never written costs a page of the host's memory.
 * Acquire: when an entry says BELOW, what is there has been written. */
struct physmap_run physmap_run(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    uint64_t entry = BELOW, left = d->physmap_end - gfn;
    unsigned level = P2M_LEVELS;
    while (entry == BELOW && level-- > 0)
        entry = __atomic_load_n(entry_of(machine, d, gfn, level), __ATOMIC_ACQUIRE);
    uint64_t offset = gfn & (pages_of_level(level) - 1), pages = pages_of_level(level) - offset;
    return (struct physmap_run){
        .mfn = entry == PHYSMAP_NOTHING ? NO_FRAME : entry - 1 + (offset << page_order(d)),
        .pages = pages < left ? pages : left,
        .level = level};
}

static uint64_t special_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                             bool write)
{
    uint64_t mfn = NO_FRAME;
    FOR_EACH_SUBSYSTEM(id, special_page)
    if (mfn == NO_FRAME)
        mfn = subsystems[id]->special_page(machine, d, gfn, write);
    return mfn;
}

uint64_t gfn_to_readable_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    return gfn < d->physmap_end ? gfn_to_mfn(machine, d, gfn)
                                : special_page(machine, d, gfn, false);
}

uint64_t gfn_to_other_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    return gfn < d->physmap_end ? physmap_run(machine, d, gfn).mfn
                                : special_page(machine, d, gfn, true);
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

/* ---- Changing: under machine.lock ------------------------------------------------------------ */

static void store(struct pv_machine *machine, const struct domain *d, uint64_t gfn, unsigned level,
                  uint64_t entry)
{
    __atomic_store_n(entry_of(machine, d, gfn, level), entry, __ATOMIC_RELEASE);
}

void physmap_store(struct pv_machine *machine, const struct domain *d, uint64_t gfn, unsigned level,
                   uint64_t mfn)
{
    store(machine, d, gfn, level, mfn + 1);
}

bool physmap_takes(struct pv_machine *machine, const struct domain *d, uint64_t gfn, unsigned level)
{
    return gfn % pages_of_level(level) == 0 && gfn + pages_of_level(level) <= d->physmap_end &&
           physmap_run(machine, d, gfn).level >= level;
}

void physmap_open_level(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned level)
{
    store(machine, d, gfn, level, BELOW);
}

static void changed(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned level,
                    uint64_t more)
{
    count_pages(machine, d, more);
    __atomic_fetch_add(&d->physmap_changes, 1, __ATOMIC_RELEASE);
    FOR_EACH_SUBSYSTEM(id, physmap_changed)
    subsystems[id]->physmap_changed(machine, d, gfn, pages_of_level(level));
}

void physmap_set(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned level,
                 uint64_t mfn)
{
    /* From the top: gfn_to_mfn and physmap_run agree at every moment. */
    for (unsigned above = P2M_LEVELS - 1; above > level; above--)
        store(machine, d, gfn, above, BELOW);
    physmap_store(machine, d, gfn, level, mfn);
    m2p_set(machine, mfn, pages_of_level(level) << page_order(d), gfn, page_order(d));
    changed(machine, d, gfn, level, pages_of_level(level));
}

void physmap_clear(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned level,
                   uint64_t mfn)
{
    store(machine, d, gfn, level, PHYSMAP_NOTHING);
    m2p_set(machine, mfn, pages_of_level(level) << page_order(d), INVALID_M2P_ENTRY, page_order(d));
    changed(machine, d, gfn, level, -pages_of_level(level));
}
