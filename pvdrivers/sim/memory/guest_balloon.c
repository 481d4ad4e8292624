/* The balloon of a guest's kernel: free pages go back to Xen, and come from there. */
#include "pvdrivers/sim/memory/guest_pages.h"
#include "pvdrivers/sim/memory/internal.h"
#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>

static bool are_unused(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++)
        if (guest_page_owners(machine, d)[gfn + i])
            return false;
    return true;
}

/* What is given back next from `gfn` on, in one piece: a superpage, or a page. */
static uint64_t piece(struct pv_machine *machine, struct domain *d, uint64_t gfn,
                      const struct physmap_run *run, uint64_t left)
{
    uint64_t whole = 1ull << P2M_LEVEL_SHIFT;
    bool is_whole = run->level == 1 && run->pages == whole && left >= whole;
    return is_whole && are_unused(machine, d, gfn, whole) ? whole : 1;
}

/* Returns how many. */
static uint64_t give_back(struct pv_machine *machine, struct domain *d, uint64_t count)
{
    uint64_t done = 0;
    for (uint64_t gfn = GUEST_RESERVED_PAGES, pages; gfn < d->physmap_end && done < count;
         gfn += pages) {
        struct physmap_run run = physmap_run(machine, d, gfn);
        pages = run.mfn == NO_FRAME ? run.pages : piece(machine, d, gfn, &run, count - done);
        if (run.mfn != NO_FRAME && are_unused(machine, d, gfn, pages) &&
            release_pages(machine, d, gfn, pages))
            done += pages;
    }
    return done;
}

static uint64_t take_back(struct pv_machine *machine, struct domain *d, uint64_t count)
{
    uint64_t done = 0;
    for (uint64_t gfn = 0, pages; gfn < d->physmap_end && done < count; gfn += pages) {
        struct physmap_run run = physmap_run(machine, d, gfn);
        pages = run.pages;
        if (run.mfn != NO_FRAME)
            continue;
        uint64_t end = gfn + (pages < count - done ? pages : count - done);
        uint64_t reached = populate_range(machine, d, gfn, end);
        done += reached - gfn;
        if (reached < end)
            break; /* the machine has no more */
    }
    return done;
}

/* To `pages` of memory: fewer than are free leave, and more than the quota or the machine has do
 * not come. Under the guest's lock. */
static int64_t set_reservation(struct sim_hypervisor *hv, struct domain *d, uint64_t pages)
{
    uint64_t now = __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED);
    uint64_t most = __atomic_load_n(&d->max_pages, __ATOMIC_RELAXED);
    uint64_t wanted = pages < most ? pages : most;
    if (wanted < now)
        give_back(hv->machine, d, now - wanted);
    else
        take_back(hv->machine, d, wanted - now);
    int error = guest_physmap_refresh(hv, d);
    return error ? error : (int64_t)__atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED);
}

int64_t sim_balloon(struct pv_hypervisor *hypervisor, uint64_t pages)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    RCU_SECTION(hv->machine);
    struct domain *d = view_domain(hv);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_MEMORY_OP, 1);
    guest_lock(hv->machine, d);
    int64_t result = domain_is_dying(d) ? -ESRCH : set_reservation(hv, d, pages);
    sim_unlock(&d->guest.lock);
    return result;
}
