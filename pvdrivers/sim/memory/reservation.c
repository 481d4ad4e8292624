/* What a domain has and may have of memory, and how that changes: the memory hypercall. */
#include "pvdrivers/sim/memory/internal.h"

#include "pvdrivers/sim/machine_memory.h"
#include "pvdrivers/sim/memory/extents.h"

#include <errno.h>

#define GUEST_ORDER P2M_LEVEL_SHIFT /* of an unprivileged domain's extents, at most */

struct domain *memory_target(struct pv_machine *machine, domid_t caller, domid_t domid, int *error)
{
    struct domain *by = find_live_domain(machine, NULL, caller);
    struct domain *d = by ? find_live_domain(machine, by, domid) : NULL;
    *error = !d ? -ESRCH : d != by && !by->privileged ? -EPERM : 0;
    return *error ? NULL : d;
}

static bool may_have_order(struct pv_machine *machine, domid_t caller, unsigned order)
{
    return order <=
           (domain_window(machine, caller)->privileged ? PV_MEMORY_MAX_ORDER : GUEST_ORDER);
}

/* ---- Extents --------------------------------------------------------------------------------- */

/* `change` returns how many extents it has done. */
static int64_t change_extents(struct pv_machine *machine, domid_t caller, domid_t domid,
                              const struct pv_memory_extents *extents,
                              uint64_t (*change)(struct pv_machine *machine, struct domain *d,
                                                 const struct pv_memory_extents *extents))
{
    RCU_SECTION(machine);
    int error;
    struct domain *d = memory_target(machine, caller, domid, &error);
    if (!d)
        return error;
    account(d, PV_ACCOUNT_MEMORY_OP, 1);
    return may_have_order(machine, caller, extents->order) ? (int64_t)change(machine, d, extents)
                                                           : 0;
}

int64_t pv_memory_populate_physmap(struct pv_machine *machine, domid_t caller, domid_t domid,
                                   const struct pv_memory_extents *extents)
{
    return change_extents(machine, caller, domid, extents, populate_extents);
}

int64_t pv_memory_increase_reservation(struct pv_machine *machine, domid_t caller, domid_t domid,
                                       const struct pv_memory_extents *extents)
{
    struct pv_memory_extents loose = *extents;
    loose.gfns = NULL;
    return change_extents(machine, caller, domid, &loose, populate_extents);
}

static uint64_t release_extents(struct pv_machine *machine, struct domain *d,
                                const struct pv_memory_extents *extents)
{
    uint64_t done = 0;
    while (done < extents->count &&
           release_pages(machine, d, extents->gfns[done], 1ull << extents->order))
        done++;
    return done;
}

int64_t pv_memory_decrease_reservation(struct pv_machine *machine, domid_t caller, domid_t domid,
                                       const struct pv_memory_extents *extents)
{
    return change_extents(machine, caller, domid, extents, release_extents);
}

int pv_memory_exchange(struct pv_machine *machine, domid_t caller, domid_t domid,
                       const struct pv_memory_exchange *exchange)
{
    RCU_SECTION(machine);
    int error;
    struct domain *d = memory_target(machine, caller, domid, &error);
    if (!d)
        return error;
    account(d, PV_ACCOUNT_MEMORY_OP, 1);
    if (!may_have_order(machine, caller, exchange->in_order) ||
        !may_have_order(machine, caller, exchange->out_order))
        return -EPERM;
    machine_lock(machine);
    error = exchange_pages(machine, d, exchange);
    machine_unlock(machine);
    return error;
}

/* ---- Facts ----------------------------------------------------------------------------------- */

static int64_t tell(struct pv_machine *machine, domid_t caller, domid_t domid,
                    uint64_t (*fact)(struct pv_machine *machine, const struct domain *d))
{
    RCU_SECTION(machine);
    int error;
    const struct domain *d = memory_target(machine, caller, domid, &error);
    return d ? (int64_t)fact(machine, d) : error;
}

static uint64_t current_pages(struct pv_machine *machine, const struct domain *d)
{
    (void)machine;
    return __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED);
}

static uint64_t maximum_pages(struct pv_machine *machine, const struct domain *d)
{
    (void)machine;
    return __atomic_load_n(&d->max_pages, __ATOMIC_RELAXED);
}

static uint64_t highest_gfn(struct pv_machine *machine, const struct domain *d)
{
    uint64_t last = 0;
    for (uint64_t gfn = 0; gfn < d->physmap_end;) {
        struct physmap_run run = physmap_run(machine, d, gfn);
        gfn += run.pages;
        if (run.mfn != NO_FRAME)
            last = gfn - 1;
    }
    return last;
}

int64_t pv_memory_current_reservation(struct pv_machine *machine, domid_t caller, domid_t domid)
{
    return tell(machine, caller, domid, current_pages);
}

int64_t pv_memory_maximum_reservation(struct pv_machine *machine, domid_t caller, domid_t domid)
{
    return tell(machine, caller, domid, maximum_pages);
}

int64_t pv_memory_maximum_gpfn(struct pv_machine *machine, domid_t caller, domid_t domid)
{
    return tell(machine, caller, domid, highest_gfn);
}

int64_t pv_memory_maximum_ram_page(struct pv_machine *machine)
{
    return (int64_t)extents_end(machine->shared) - 1;
}

/* ---- Quota ----------------------------------------------------------------------------------- */

int pv_domain_set_max_memory(struct pv_machine *machine, domid_t caller, domid_t domid,
                             uint64_t bytes)
{
    RCU_SECTION(machine);
    struct domain *by = find_live_domain(machine, NULL, caller);
    if (!by || !by->privileged)
        return by ? -EPERM : -ESRCH;
    struct domain *d = find_live_domain(machine, by, domid);
    uint64_t pages = d ? bytes >> d->page_shift : 0;
    if (!d || pages > d->physmap_end)
        return d ? -EINVAL : -ESRCH;
    __atomic_store_n(&d->max_pages, pages, __ATOMIC_RELAXED);
    account(by, PV_ACCOUNT_DOMCTL, 1);
    return 0;
}
