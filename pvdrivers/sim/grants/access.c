/* The granting side of the seam: a guest's processes share its grant refs. */
#include "pvdrivers/sim/grants/internal.h"

#include <errno.h>

#define DEFERRED UINT32_MAX /* in guest_owner: ended, but the peer still uses it */
#define DEFERRED_TRIES 4    /* of those, how many are looked at again per new grant */

/* ---- Grants that the peer still uses (XSA-396: their pages must not be reused) ------------------
 */

static void defer(struct grant_table *gt, struct grant_area *area, grant_ref_t ref)
{
    area->guest_owner[ref] = DEFERRED;
    area->guest_next[ref] = 0;
    if (gt->deferred_last)
        area->guest_next[gt->deferred_last] = ref;
    else
        gt->deferred_first = ref;
    gt->deferred_last = ref;
}

static void retry_deferred(struct pv_machine *machine, struct domain *d)
{
    struct grant_table *gt = &d->grant_table;
    struct grant_area *area = domain_grant_area(machine, d);
    const struct pv_grant_entries entries = grant_entries(machine, d);
    for (unsigned i = 0; i < DEFERRED_TRIES && gt->deferred_first; i++) {
        grant_ref_t ref = gt->deferred_first;
        gt->deferred_first = area->guest_next[ref];
        if (!gt->deferred_first)
            gt->deferred_last = 0;
        if (ref < entries.count && pv_grant_end(&entries, ref)) {
            defer(gt, area, ref);
        } else {
            area->guest_owner[ref] = 0;
            pv_gref_list_give(&gt->free_refs, area->guest_next, ref);
        }
    }
}

/* ---- Taking and ending ----------------------------------------------------------------------- */

/* Makes the lists of free and deferred refs again after a process died with the lock. */
static void repair_refs(struct pv_machine *machine, struct domain *d)
{
    struct grant_table *gt = &d->grant_table;
    struct grant_area *area = domain_grant_area(machine, d);
    gt->free_refs.first = gt->deferred_first = gt->deferred_last = 0;
    for (grant_ref_t ref = GNTTAB_NR_RESERVED_ENTRIES; ref < gt->free_refs.fresh; ref++)
        if (area->guest_owner[ref] == DEFERRED)
            defer(gt, area, ref);
        else if (area->guest_owner[ref] == 0)
            pv_gref_list_give(&gt->free_refs, area->guest_next, ref);
}

static inline void lock_refs(struct pv_machine *machine, struct domain *d)
{
    if (sim_lock(&d->grant_table.refs_lock))
        repair_refs(machine, d);
}

/* Takes the lock of the view's domain, and says whether that still lives: then it does to the end
 * of the lock, and a section (rcu.h) is not needed. One for each page would cost more than the
 * grant. */
static bool lock_view_refs(const struct sim_hypervisor *hv)
{
    lock_refs(hv->machine, hv->domain);
    return live_view_domain(hv);
}

/* A free ref, or -ENOSPC. The table grows by a frame when they are all taken. */
static int64_t take_ref(struct pv_machine *machine, struct domain *d)
{
    struct grant_table *gt = &d->grant_table;
    uint32_t *next = domain_grant_area(machine, d)->guest_next;
    retry_deferred(machine, d);
    int64_t ref = pv_gref_list_take(&gt->free_refs, next);
    if (ref < 0) {
        grant_lock(machine, d);
        grant_grow(d, gt->nr_grant_frames + 1);
        grant_unlock(d);
        pv_gref_list_grow(&gt->free_refs, grant_entries(machine, d).count);
        ref = pv_gref_list_take(&gt->free_refs, next);
    }
    return ref;
}

int sim_grant_access(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                     bool readonly, grant_ref_t *out)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    int64_t gfn = pv_domain_page_to_gfn(hypervisor, page);
    struct domain *d = hv->domain;
    bool alive = lock_view_refs(hv);
    if (!alive || gfn < 0) {
        sim_unlock(&d->grant_table.refs_lock);
        return alive ? -EINVAL : -ESRCH;
    }
    struct grant_area *area = domain_grant_area(hv->machine, d);
    int64_t ref = take_ref(hv->machine, d);
    const struct pv_grant_entries entries = grant_entries(hv->machine, d);
    if (ref >= entries.count) { /* the table has fewer entries since its version changed */
        pv_gref_list_give(&d->grant_table.free_refs, area->guest_next, (grant_ref_t)ref);
        ref = -ENOSPC;
    }
    if (ref >= 0) {
        area->guest_owner[ref] = view_owner(hv);
        pv_grant_publish(&entries, (grant_ref_t)ref, domid, (uint64_t)gfn, readonly);
        *out = (grant_ref_t)ref;
    }
    sim_unlock(&d->grant_table.refs_lock);
    return ref < 0 ? (int)ref : 0;
}

/* Under refs_lock. */
static int end_ref(struct pv_machine *machine, struct domain *d, grant_ref_t ref)
{
    struct grant_area *area = domain_grant_area(machine, d);
    const struct pv_grant_entries entries = grant_entries(machine, d);
    if (ref < entries.count && pv_grant_end(&entries, ref))
        return -EBUSY;
    area->guest_owner[ref] = 0;
    pv_gref_list_give(&d->grant_table.free_refs, area->guest_next, ref);
    return 0;
}

int sim_grant_end(struct pv_hypervisor *hypervisor, grant_ref_t ref)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    struct domain *d = hv->domain;
    int error = -ESRCH;
    if (lock_view_refs(hv)) {
        uint32_t owner = ref < d->grant_table.free_refs.fresh
                             ? domain_grant_area(hv->machine, d)->guest_owner[ref]
                             : 0;
        error = owner == 0 || owner == DEFERRED ? -EINVAL : end_ref(hv->machine, d, ref);
    }
    sim_unlock(&d->grant_table.refs_lock);
    return error;
}

void grant_refs_wait(struct pv_machine *machine, struct domain *d)
{
    lock_refs(machine, d);
    sim_unlock(&d->grant_table.refs_lock);
}

void grant_access_release(struct pv_machine *machine, struct domain *d, uint32_t owner,
                          uint32_t mask)
{
    const uint32_t *owners = domain_grant_area(machine, d)->guest_owner;
    lock_refs(machine, d);
    for (grant_ref_t ref = GNTTAB_NR_RESERVED_ENTRIES; ref < d->grant_table.free_refs.fresh; ref++)
        if (owners[ref] && owners[ref] != DEFERRED && (owners[ref] & mask) == owner &&
            end_ref(machine, d, ref))
            defer(&d->grant_table, domain_grant_area(machine, d), ref);
    sim_unlock(&d->grant_table.refs_lock);
}
