/* Who may write to a page of a domain by its grants. */
#include "pvdrivers/sim/grants/internal.h"

/* Mappings for the host and for devices, copies included: Xen has a type reference for each. */
static uint32_t writers_of(const struct active_grant_entry *act)
{
    return (act->pin / GNTPIN_hstw_inc & 0xff) + (act->pin / GNTPIN_devw_inc & 0xff);
}

uint32_t grant_writers(struct pv_machine *machine, struct domain *d, uint64_t mfn)
{
    uint64_t frames = 1ull << (d->page_shift - FRAME_SHIFT);
    uint32_t writers = 0;
    grant_lock(machine, d);
    const struct locked_table table = locked_table(machine, d);
    for (grant_ref_t ref = 0; d->grant_table.active_entries && ref < table.entries.count; ref++)
        if (table.active[ref].pin && mfn - table.active[ref].mfn < frames)
            writers += writers_of(&table.active[ref]);
    grant_unlock(d);
    return writers;
}
