/* Pages that a domain owns, but that no gfn of it names, as XENMEM_increase_reservation gives them.
 * They stay until the domain ends, on a list of its own. */
#include "pvdrivers/sim/memory/internal.h"

void loose_link(struct pv_machine *machine, struct domain *d, uint64_t mfn)
{
    frame_info(machine, mfn)->next = PAGE_LOOSE | d->loose_page;
    d->loose_page = mfn + 1;
}

void loose_give(struct pv_machine *machine, struct domain *d, uint64_t mfn)
{
    frame_info(machine, mfn)->next = PAGE_LOOSE; /* first: the repair finds it by its owner */
    set_page(machine, mfn, owned_page(d));
    loose_link(machine, d, mfn);
    count_pages(machine, d, 1);
}

uint64_t loose_take(struct pv_machine *machine, struct domain *d)
{
    uint64_t mfn = d->loose_page - 1;
    if (mfn == NO_FRAME)
        return NO_FRAME;
    d->loose_page = frame_info(machine, mfn)->next & ~PAGE_LOOSE;
    count_pages(machine, d, UINT64_MAX);
    return mfn;
}
