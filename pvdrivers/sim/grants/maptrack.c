/* Maptrack: the handles a domain holds on what others granted it. */
#include "pvdrivers/sim/grants/internal.h"

#include "pvdrivers/ring/barrier.h"

#include <stdlib.h>

static struct maptrack_entry *table(struct pv_machine *machine, struct domain *d)
{
    return domain_grant_area(machine, d)->maptrack;
}

void maptrack_init(struct domain *d, uint32_t frames)
{
    d->maptrack.limit = frames << (d->page_shift - 4); /* 16 bytes each */
}

/* Rebuilds the free list from the entries themselves. */
static void repair(struct pv_machine *machine, struct domain *d)
{
    d->maptrack.first_free = 0;
    d->maptrack.in_use = 0;
    for (uint32_t handle = 0; handle < d->maptrack.fresh; handle++) {
        struct maptrack_entry *entry = &table(machine, d)[handle];
        /* Without an owner it was on its way back to the free list. */
        if (entry->flags && entry->owner) {
            d->maptrack.in_use++;
            continue;
        }
        entry->flags = 0;
        entry->ref = d->maptrack.first_free;
        d->maptrack.first_free = handle + 1;
    }
}

static void lock_maptrack(struct pv_machine *machine, struct domain *d)
{
    if (sim_lock(&d->maptrack.lock))
        repair(machine, d);
}

void maptrack_repair(struct pv_machine *machine, struct domain *d)
{
    lock_maptrack(machine, d);
    sim_unlock(&d->maptrack.lock);
}

static bool take(struct maptrack *maptrack, struct maptrack_entry *entries, grant_handle_t *handle)
{
    if (maptrack->first_free) {
        *handle = maptrack->first_free - 1;
        maptrack->first_free = entries[*handle].ref;
        return true;
    }
    *handle = maptrack->fresh;
    if (maptrack->fresh == maptrack->limit)
        return false;
    __atomic_store_n(&maptrack->fresh, maptrack->fresh + 1, __ATOMIC_RELEASE);
    return true;
}

unsigned maptrack_reserve(struct pv_machine *machine, struct domain *d, uint32_t owner,
                          grant_handle_t *handles, unsigned count)
{
    struct maptrack *maptrack = &d->maptrack;
    unsigned taken = 0;
    lock_maptrack(machine, d);
    for (; taken < count && take(maptrack, table(machine, d), &handles[taken]); taken++) {
        struct maptrack_entry *entry = &table(machine, d)[handles[taken]];
        __atomic_store_n(&entry->notify, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&entry->owner, owner, __ATOMIC_RELAXED);
        __atomic_store_n(&entry->flags, MAPTRACK_reserved, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&maptrack->in_use, maptrack->in_use + taken, __ATOMIC_RELAXED);
    sim_unlock(&maptrack->lock);
    return taken;
}

void maptrack_free(struct pv_machine *machine, struct domain *d, const grant_handle_t *handles,
                   unsigned count)
{
    struct maptrack *maptrack = &d->maptrack;
    if (count == 0)
        return;
    lock_maptrack(machine, d);
    for (unsigned i = 0; i < count; i++) {
        struct maptrack_entry *entry = &table(machine, d)[handles[i]];
        __atomic_store_n(&entry->owner, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&entry->ref, maptrack->first_free, __ATOMIC_RELAXED);
        __atomic_store_n(&entry->flags, 0, __ATOMIC_RELEASE);
        maptrack->first_free = handles[i] + 1;
    }
    bool last = maptrack->in_use == count;
    __atomic_store_n(&maptrack->in_use, maptrack->in_use - count, __ATOMIC_RELEASE);
    sim_unlock(&maptrack->lock);
    pv_mb(); /* before the state is read: the call that marks the domain dead looks at in_use
                afterwards */
    if (last && domain_is_dying(d))
        rcu_want_callbacks(machine);
}

struct maptrack_entry *maptrack_entry(struct pv_machine *machine, struct domain *d,
                                      grant_handle_t handle)
{
    if (handle >= __atomic_load_n(&d->maptrack.fresh, __ATOMIC_ACQUIRE))
        return NULL;
    return &table(machine, d)[handle];
}

uint32_t map_pins(uint16_t flags)
{
    bool readonly = flags & GNTMAP_readonly;
    uint32_t pins = 0;
    if (flags & GNTMAP_host_map)
        pins += readonly ? GNTPIN_hstr_inc : GNTPIN_hstw_inc;
    if (flags & GNTMAP_device_map)
        pins += readonly ? GNTPIN_devr_inc : GNTPIN_devw_inc;
    return pins;
}
