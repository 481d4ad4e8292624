/* A grant table's life: set up, grown, repaired after a killed process, torn down. */
#include "pvdrivers/sim/grants/internal.h"

#include <errno.h>

#define RELEASE_BATCH 1024 /* handles released in one step */

struct pv_grant_entries grant_entries(struct pv_machine *machine, const struct domain *d)
{
    /* Each read once: the guest's processes look without the lock that changes them. */
    uint32_t version = __atomic_load_n(&d->grant_table.gt_version, __ATOMIC_ACQUIRE);
    uint32_t frames = __atomic_load_n(&d->grant_table.nr_grant_frames, __ATOMIC_ACQUIRE);
    size_t entry_size = version == 1 ? sizeof(struct grant_entry_v1) : sizeof(union grant_entry_v2);
    return (struct pv_grant_entries){
        .shared = domain_xenheap(machine, d, XENHEAP_GRANT_FRAMES),
        .status = domain_xenheap(machine, d, XENHEAP_STATUS_FRAMES),
        .version = version,
        .count = frames * (uint32_t)((1u << d->page_shift) / entry_size),
    };
}

/* ---- Setting up ------------------------------------------------------------------------------ */

static int create(struct pv_machine *machine, struct domain *d,
                  const struct pv_domain_config *config)
{
    struct grant_table *gt = &d->grant_table;
    if (config->max_grant_frames > MAX_GRANT_FRAMES ||
        config->max_maptrack_frames > MAX_MAPTRACK_FRAMES || config->max_grant_version > 2)
        return -EINVAL;
    gt->gt_version = 1;
    gt->max_version = config->max_grant_version ? config->max_grant_version : 2;
    gt->max_grant_frames = config->max_grant_frames ? config->max_grant_frames : MAX_GRANT_FRAMES;
    gt->nr_grant_frames = 1;
    pv_gref_list_init(&gt->free_refs, grant_entries(machine, d).count);
    maptrack_init(d,
                  config->max_maptrack_frames ? config->max_maptrack_frames : MAX_MAPTRACK_FRAMES);
    return 0;
}

int16_t grant_grow(struct domain *d, uint32_t frames)
{
    if (frames > d->grant_table.max_grant_frames)
        return GNTST_general_error;
    /* New frames are zeros: all entries invalid (XSA-101). */
    if (frames > d->grant_table.nr_grant_frames)
        __atomic_store_n(&d->grant_table.nr_grant_frames, frames, __ATOMIC_RELEASE);
    return GNTST_okay;
}

/* ---- Repair ---------------------------------------------------------------------------------- */

/* Adds up what every domain's handles and copies pin in the table of `d`. */
static void recount_pins(struct pv_machine *machine, struct domain *d)
{
    struct grant_area *area = domain_grant_area(machine, d);
    for (domid_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *ld = find_domain(machine, domid);
        uint32_t handles = ld ? __atomic_load_n(&ld->maptrack.fresh, __ATOMIC_ACQUIRE) : 0;
        for (uint32_t i = 0; i < handles; i++) {
            struct maptrack_entry *entry = &domain_grant_area(machine, ld)->maptrack[i];
            uint16_t flags = maptrack_flags(entry);
            if (map_pins(flags) && maptrack_domid(entry) == d->domain_id)
                area->active[entry->ref].pin += map_pins(flags);
        }
    }
    for (unsigned i = 0; i < COPY_RUNS; i++) {
        const struct copy_run *run = &area->copy_runs[i];
        for (uint32_t k = 0; run->owner && k < run->count; k++)
            if (!(run->pins[k] & COPY_RUN_page))
                area->active[run->pins[k] & ~COPY_RUN_write].pin +=
                    run->pins[k] & COPY_RUN_write ? GNTPIN_hstw_inc : GNTPIN_hstr_inc;
    }
}

/* The entries and copies that hold a page of the domain's. */
static uint32_t count_holders(struct pv_machine *machine, struct domain *d, uint64_t mfn)
{
    const struct grant_area *area = domain_grant_area(machine, d);
    uint32_t count = 0;
    for (uint32_t ref = 0; ref < MAX_GRANT_ENTRIES; ref++)
        count += area->active[ref].holds_page && area->active[ref].mfn == mfn;
    for (unsigned i = 0; i < COPY_RUNS; i++)
        for (uint32_t k = 0; area->copy_runs[i].owner && k < area->copy_runs[i].count; k++)
            count += area->copy_runs[i].pins[k] == (mfn | COPY_RUN_page);
    return count;
}

/* A holder died between changing a page's count and saying so: count its users again. */
static void recount_page(struct pv_machine *machine, struct domain *d)
{
    uint64_t mfn = d->grant_table.page_pending_repair - 1;
    if (mfn == NO_FRAME)
        return;
    machine_lock(machine);
    page_recount(machine, mfn, d, count_holders(machine, d, mfn));
    grant_page_pending_repair(d, NO_FRAME);
    machine_unlock(machine);
}

static void repair(struct pv_machine *machine, struct domain *d)
{
    struct grant_table *gt = &d->grant_table;
    struct grant_area *area = domain_grant_area(machine, d);
    const struct locked_table table = locked_table(machine, d);
    uint32_t count = table.entries.count;
    for (uint32_t ref = 0; ref < count; ref++)
        area->active[ref].pin = 0;
    recount_pins(machine, d);
    recount_page(machine, d);
    grant_repair_transfers(machine, d);
    uint32_t active = 0;
    for (uint32_t ref = 0; ref < count; ref++) {
        struct active_grant_entry *act = &area->active[ref];
        active += act->pin != 0;
        grant_clear_marks(&table, ref);
        if (act->pin == 0) {
            act->is_transitive = false;
            grant_drop_page(machine, d, act);
        }
    }
    __atomic_store_n(&gt->active_entries, active, __ATOMIC_RELEASE);
    gt->copies = 0;
    for (unsigned i = 0; i < COPY_RUNS; i++)
        gt->copies += area->copy_runs[i].owner != 0;
}

void grant_lock(struct pv_machine *machine, struct domain *d)
{
    if (sim_lock(&d->grant_table.lock) && d->grant_table.gt_version)
        repair(machine, d);
}

void grant_unlock(struct domain *d)
{
    sim_unlock(&d->grant_table.lock);
}

/* ---- Releasing ------------------------------------------------------------------------------- */

/* Unmaps those of RELEASE_BATCH handles of `d` whose owner matches under `mask`; mask 0: all of
 * them. Where the next step begins, or 0 at the end. */
static grant_handle_t release_handles(struct pv_machine *machine, struct domain *d,
                                      grant_handle_t from, uint32_t owner, uint32_t mask)
{
    if (from == 0)
        maptrack_repair(machine, d);
    uint32_t handles = __atomic_load_n(&d->maptrack.fresh, __ATOMIC_ACQUIRE);
    uint32_t end = handles - from > RELEASE_BATCH ? from + RELEASE_BATCH : handles;
    for (grant_handle_t handle = from; handle < end; handle++) {
        const struct maptrack_entry *entry = maptrack_entry(machine, d, handle);
        uint16_t flags = maptrack_flags(entry);
        uint32_t held_by = __atomic_load_n(&entry->owner, __ATOMIC_RELAXED);
        if ((held_by & mask) != owner)
            continue;
        if (map_pins(flags))
            grant_force_unmap(machine, d, handle);
        else if (flags && mask) /* with no owner asked for, it belongs to a call under way */
            grant_free_reserved(machine, d, handle, held_by);
    }
    return end < handles ? end : 0;
}

/* Releases what dead processes were copying from or to the grants of `d`. */
static void release_copies(struct pv_machine *machine, struct domain *d, uint32_t owner,
                           uint32_t mask)
{
    struct grant_area *area = domain_grant_area(machine, d);
    grant_lock(machine, d);
    for (unsigned i = 0; d->grant_table.copies && i < COPY_RUNS; i++)
        if (area->copy_runs[i].owner && (area->copy_runs[i].owner & mask) == owner)
            copy_run_release(machine, d, &area->copy_runs[i]);
    grant_unlock(d);
}

static void release_all_handles(struct pv_machine *machine, struct domain *d, uint32_t owner,
                                uint32_t mask)
{
    for (grant_handle_t next = release_handles(machine, d, 0, owner, mask); next;)
        next = release_handles(machine, d, next, owner, mask);
}

/* A process ended: releases the handles and copies it held in any domain, and ends its grants. */
static void release_client(struct pv_machine *machine, uint32_t client)
{
    uint32_t owner = grant_owner(client, 0), mask = (1u << GRANT_OWNER_CLIENT_BITS) - 1;
    for (domid_t domid = 0; domid < machine->shared->max_domains; domid++) {
        RCU_SECTION(machine);
        struct domain *d = find_domain(machine, domid);
        if (!d)
            continue;
        release_all_handles(machine, d, owner, mask);
        release_copies(machine, d, owner, mask);
        grant_access_release(machine, d, owner, mask);
    }
}

/* What a view holds is on record in its own domain; it has no copy under way when it is closed. */
static void close_view(struct sim_hypervisor *hv)
{
    RCU_SECTION(hv->machine);
    struct domain *d = view_domain(hv);
    grant_windows_forget(hv);
    if (!d)
        return;
    release_all_handles(hv->machine, d, view_owner(hv), UINT32_MAX);
    grant_access_release(hv->machine, d, view_owner(hv), UINT32_MAX);
}

/* Releases every handle the domain holds. */
static uint64_t destroy(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    grant_handle_t next = release_handles(machine, d, (grant_handle_t)from, 0, 0);
    if (next)
        return next;
    /* A call that saw the domain alive is over once its locks have been ours. */
    grant_lock(machine, d);
    grant_unlock(d);
    grant_refs_wait(machine, d);
    return 0;
}

/* Its grants are still in use, or handles of its own are still being released. */
static bool in_use(struct domain *d)
{
    return __atomic_load_n(&d->grant_table.active_entries, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&d->grant_table.copies, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&d->maptrack.in_use, __ATOMIC_ACQUIRE);
}

/* ---- The subsystem --------------------------------------------------------------------------- */

static uint64_t area_size(const struct machine_layout *layout)
{
    (void)layout;
    return sizeof(struct grant_area);
}

static void init_domain(struct domain *d)
{
    sim_lock_init(&d->grant_table.lock);
    sim_lock_init(&d->grant_table.refs_lock);
    sim_lock_init(&d->maptrack.lock);
}

static void wipe(struct domain *d)
{
    WIPE_AFTER(d->grant_table, refs_lock);
    WIPE_AFTER(d->maptrack, lock);
}

const struct subsystem grants_subsystem = {
    .client_left = release_client,
    .area_size = area_size,
    .domain_init = init_domain,
    .domain_create = create,
    .domain_destroy = destroy,
    .domain_in_use = in_use,
    .domain_wipe = wipe,
    .view_close = close_view,
    .debug_key = {'g', "print grant table usage", .dump_domain = grants_dump},
};
