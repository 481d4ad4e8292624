/* Mapping and unmapping others' grants. */
#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/sim/events/events.h"
#include "pvdrivers/sim/grants/internal.h"
#include "pvdrivers/sim/machine_grants.h"

#include <errno.h>

#define MAPPED (GNTMAP_host_map | GNTMAP_device_map)

/* ---- Map ------------------------------------------------------------------------------------- */

static int16_t map_one(const struct locked_table *table, const struct domain *ld,
                       struct pv_grant_map *map, grant_handle_t handle,
                       struct maptrack_entry *entry)
{
    const struct grant_use use = {.domid = ld->domain_id,
                                  .pins = map_pins(map->flags),
                                  .readonly = map->flags & GNTMAP_readonly,
                                  .mapping = true};
    int16_t status = grant_pin(table, map->ref, &use);
    if (status > 0)
        return GNTST_general_error; /* pinned as a transitive grant: never mappable (XSA-316) */
    if (status < 0)
        return status;
    __atomic_store_n(&entry->ref, map->ref, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->domid, table->d->domain_id, __ATOMIC_RELAXED);
    /* Last, since a recount goes by the flags. */
    __atomic_store_n(&entry->flags, map->flags & (MAPPED | GNTMAP_readonly), __ATOMIC_RELEASE);
    map->handle = handle;
    map->address = frame_address(table->machine, table->active[map->ref].mfn);
    return GNTST_okay;
}

/* One domain's grants, under one hold of its lock. */
static void map_run(struct pv_machine *machine, struct domain *ld, uint32_t owner,
                    struct domain *rd, struct pv_grant_map *maps, unsigned count)
{
    grant_handle_t handles[GRANT_BATCH];
    grant_lock(machine, rd);
    const struct locked_table table = locked_table(machine, rd);
    bool gone = domain_is_dying(rd);
    unsigned reserved = gone ? 0 : maptrack_reserve(machine, ld, owner, handles, count);
    unsigned used = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!(maps[i].flags & MAPPED))
            maps[i].status = GNTST_bad_gntref;
        else if (gone)
            maps[i].status = GNTST_bad_domain;
        else if (used == reserved)
            maps[i].status = GNTST_no_space;
        else
            maps[i].status = map_one(&table, ld, &maps[i], handles[used],
                                     maptrack_entry(machine, ld, handles[used]));
        used += maps[i].status == GNTST_okay;
        trace(machine, PV_TRACE_GNTTAB_MAP, ld->domain_id, maps[i].ref, rd->domain_id,
              (uint64_t)(int64_t)maps[i].status);
    }
    grant_unlock(rd);
    maptrack_free(machine, ld, handles + used, reserved - used);
}

static unsigned same_domid(const struct pv_grant_map *maps, unsigned count)
{
    unsigned n = 1;
    while (n < count && n < GRANT_BATCH && maps[n].domid == maps[0].domid)
        n++;
    return n;
}

static void account_map(struct domain *ld, const struct pv_grant_map *maps, unsigned count)
{
    unsigned mapped = 0;
    for (unsigned i = 0; i < count; i++)
        mapped += maps[i].status == GNTST_okay;
    account(ld, PV_ACCOUNT_GRANTS_MAPPED, mapped);
    if (mapped < count)
        account(ld, PV_ACCOUNT_GRANT_FAILURES, count - mapped);
}

/* ---- Unmap ----------------------------------------------------------------------------------- */

/* Clears the byte that tells the granter of the unmap, while the page is still pinned. */
static void clear_notify_byte(const struct locked_table *table, const struct maptrack_entry *entry)
{
    uint32_t notify = __atomic_load_n(&entry->notify, __ATOMIC_RELAXED);
    uint8_t *page = frame_address(table->machine, table->active[entry->ref].mfn);
    if (notify & MAPTRACK_NOTIFY_CLEAR)
        __atomic_store_n(&page[notify & MAPTRACK_NOTIFY_OFFSET], 0, __ATOMIC_RELAXED);
}

/* Notifies the granters, and frees the handles. When it is killed in between, the process that
 * cleans up notifies them: the handle keeps its notice until it is free. */
static void give_back(struct pv_machine *machine, struct domain *ld, const grant_handle_t *handles,
                      unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct maptrack_entry *entry = maptrack_entry(machine, ld, handles[i]);
        uint32_t notify = __atomic_load_n(&entry->notify, __ATOMIC_RELAXED);
        evtchn_port_t port = (notify & ~MAPTRACK_NOTIFY_CLEAR) >> MAPTRACK_NOTIFY_PORT_SHIFT;
        if (port)
            send_event(machine, ld, port);
    }
    maptrack_free(machine, ld, handles, count);
}

/* What is left of a handle when a part of it goes. */
static void unmap_parts(const struct locked_table *table, struct maptrack_entry *entry,
                        uint16_t parts)
{
    uint16_t flags = entry->flags;
    uint16_t gone = parts & flags & MAPPED;
    uint16_t left = flags & MAPPED & ~gone ? flags & ~gone : MAPTRACK_reserved;
    if (left == MAPTRACK_reserved) {
        clear_notify_byte(table, entry);
        /* The call that takes the last part frees the handle, and no clean-up after the process
         * that mapped it does. */
        __atomic_store_n(&entry->owner, grant_owner(table->machine->client, 0), __ATOMIC_RELAXED);
    }
    /* The handle first: killed in between, the recount finds the pin unaccounted for. */
    __atomic_store_n(&entry->flags, left, __ATOMIC_RELEASE);
    if (gone)
        grant_unpin(table, entry->ref, map_pins(gone | (flags & GNTMAP_readonly)));
}

static int16_t unmap_one(const struct locked_table *table, struct maptrack_entry *entry,
                         struct pv_grant_map *map, bool none_is_all)
{
    /* Another process may have unmapped the handle, and even reused it, before the lock (XSA-218).
     */
    if (!(maptrack_flags(entry) & MAPPED) || maptrack_domid(entry) != table->d->domain_id)
        return GNTST_bad_handle;
    map->ref = entry->ref;
    const struct active_grant_entry *act = &table->active[map->ref];
    if (map->address && map->address != frame_address(table->machine, act->mfn))
        return GNTST_bad_virt_addr;
    uint16_t parts = map->flags & MAPPED;
    unmap_parts(table, entry, parts || !none_is_all ? parts : MAPPED);
    return GNTST_okay;
}

/* The domain whose grant a handle maps, or NULL when the handle is not in use. */
static struct domain *handle_granter(struct pv_machine *machine, struct domain *ld,
                                     grant_handle_t handle)
{
    struct maptrack_entry *entry = maptrack_entry(machine, ld, handle);
    if (!entry || !(maptrack_flags(entry) & MAPPED))
        return NULL;
    return find_domain(machine, maptrack_domid(entry));
}

/* The leading handles that map grants of `rd`, under one hold of its lock. */
static unsigned unmap_run(struct pv_machine *machine, struct domain *ld, struct domain *rd,
                          struct pv_grant_map *maps, unsigned count, bool none_is_all)
{
    grant_handle_t freed[GRANT_BATCH];
    unsigned n = 0, i = 0;
    grant_lock(machine, rd);
    const struct locked_table table = locked_table(machine, rd);
    for (; i < count && i < GRANT_BATCH; i++) {
        struct maptrack_entry *entry = maptrack_entry(machine, ld, maps[i].handle);
        if (i > 0 && (!entry || maptrack_domid(entry) != rd->domain_id))
            break;
        maps[i].status = unmap_one(&table, entry, &maps[i], none_is_all);
        trace(machine, PV_TRACE_GNTTAB_UNMAP, ld->domain_id, maps[i].ref, rd->domain_id,
              (uint64_t)(int64_t)maps[i].status);
        if (maps[i].status == GNTST_okay && maptrack_flags(entry) == MAPTRACK_reserved)
            freed[n++] = maps[i].handle;
    }
    if (domain_is_dying(rd) && rd->grant_table.active_entries == 0)
        rcu_want_callbacks(machine);
    grant_unlock(rd);
    give_back(machine, ld, freed, n);
    return i;
}

void grant_unmap_batch(struct pv_machine *machine, struct domain *ld, struct pv_grant_map *maps,
                       unsigned count, bool none_is_all)
{
    for (unsigned i = 0; i < count;) {
        struct domain *rd = handle_granter(machine, ld, maps[i].handle);
        if (rd)
            i += unmap_run(machine, ld, rd, maps + i, count - i, none_is_all);
        else
            maps[i++].status = GNTST_bad_handle;
    }
    unsigned unmapped = 0;
    for (unsigned i = 0; i < count; i++)
        unmapped += maps[i].status == GNTST_okay;
    account(ld, PV_ACCOUNT_GRANTS_UNMAPPED, unmapped);
    if (unmapped < count)
        account(ld, PV_ACCOUNT_GRANT_FAILURES, count - unmapped);
}

void grant_force_unmap(struct pv_machine *machine, struct domain *ld, grant_handle_t handle)
{
    struct domain *rd = handle_granter(machine, ld, handle);
    struct pv_grant_map map = {.handle = handle};
    if (rd)
        unmap_run(machine, ld, rd, &map, 1, true);
}

void grant_free_reserved(struct pv_machine *machine, struct domain *ld, grant_handle_t handle,
                         uint32_t owner)
{
    struct maptrack_entry *entry = maptrack_entry(machine, ld, handle);
    if (__atomic_compare_exchange_n(&entry->owner, &owner, grant_owner(machine->client, 0), false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        give_back(machine, ld, &handle, 1);
}

/* ---- Batches --------------------------------------------------------------------------------- */

/* A domain that began to die while it was mapping may have let its handles go before. */
static void unmap_if_dying(struct pv_machine *machine, struct domain *ld, struct pv_grant_map *maps,
                           unsigned count)
{
    pv_mb(); /* the handles are on record before the state is read: see domain_teardown_begin */
    if (!domain_is_dying(ld))
        return;
    for (unsigned i = 0; i < count; i++)
        if (maps[i].status == GNTST_okay) {
            grant_force_unmap(machine, ld, maps[i].handle);
            maps[i].status = GNTST_bad_domain;
        }
}

void grant_map_batch(struct pv_machine *machine, struct domain *ld, uint32_t owner,
                     struct pv_grant_map *maps, unsigned count)
{
    for (unsigned i = 0, n; i < count; i += n) {
        n = same_domid(maps + i, count - i);
        struct domain *rd = find_live_domain(machine, ld, maps[i].domid);
        if (rd)
            map_run(machine, ld, owner, rd, maps + i, n);
        else
            for (unsigned k = i; k < i + n; k++)
                maps[k].status = maps[k].flags & MAPPED ? GNTST_bad_domain : GNTST_bad_gntref;
    }
    unmap_if_dying(machine, ld, maps, count);
    account_map(ld, maps, count);
}

int pv_gnttab_set_unmap_notify(struct pv_machine *machine, domid_t domid, grant_handle_t handle,
                               bool clear, uint32_t offset, evtchn_port_t port)
{
    RCU_SECTION(machine);
    struct domain *ld = find_domain(machine, domid);
    struct domain *rd = ld ? handle_granter(machine, ld, handle) : NULL;
    if (!ld)
        return -ESRCH;
    if (!rd || offset >= 1u << rd->page_shift ||
        port > UINT32_MAX >> (MAPTRACK_NOTIFY_PORT_SHIFT + 1))
        return -EINVAL;
    struct maptrack_entry *entry = maptrack_entry(machine, ld, handle);
    uint32_t notify =
        port << MAPTRACK_NOTIFY_PORT_SHIFT | (clear ? MAPTRACK_NOTIFY_CLEAR | offset : 0);
    int error = -EINVAL;
    grant_lock(machine, rd);
    bool mapped = maptrack_flags(entry) & MAPPED && maptrack_domid(entry) == rd->domain_id;
    if (mapped && !(clear && maptrack_flags(entry) & GNTMAP_readonly)) {
        __atomic_store_n(&entry->notify, notify, __ATOMIC_RELAXED);
        error = 0;
    }
    grant_unlock(rd);
    return error;
}

/* ---- The seam -------------------------------------------------------------------------------- */

int sim_gnttab_map(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps, unsigned count)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    RCU_SECTION(hv->machine);
    struct domain *ld = live_view_domain(hv);
    for (unsigned i = 0; i < count; i++)
        maps[i].status = GNTST_general_error;
    if (!ld)
        return -ESRCH;
    account(ld, PV_ACCOUNT_GNTTAB_MAP_CALL, 1);
    grant_map_batch(hv->machine, ld, view_owner(hv), maps, count);
    return 0;
}

int sim_gnttab_unmap(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps, unsigned count)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    RCU_SECTION(hv->machine);
    struct domain *ld = view_domain(hv);
    for (unsigned i = 0; i < count; i++)
        maps[i].status = GNTST_general_error;
    if (!ld)
        return -ESRCH;
    account(ld, PV_ACCOUNT_GNTTAB_UNMAP_CALL, 1);
    grant_unmap_batch(hv->machine, ld, maps, count, true);
    return 0;
}
