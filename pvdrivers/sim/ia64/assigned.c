/* What is put into a guest's physical addresses beside its memory: I/O space, and beyond its
 * physmap pages of other domains and P2M tables. A page that its owner gives up or dies with is
 * gone here as well: the entry says whose page it was and in which life. */
#include "pvdrivers/sim/ia64/internal.h"

#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>

#define MAX_ASSIGNED 4096

/* In the domain's area, under ia64.lock. A slot is free when its count is 0, which is written last
 * when it is taken: a holder that dies leaves nothing to repair. */
struct assigned_table {
    uint32_t end; /* no slot from here on was ever in use */
    struct assigned slots[MAX_ASSIGNED];
};

static struct assigned_table *table_of(struct pv_machine *machine, const struct domain *d)
{
    return domain_area(machine, d, SUBSYSTEM_IA64);
}

uint64_t assigned_size(const struct machine_layout *layout)
{
    (void)layout;
    return sizeof(struct assigned_table);
}

static void lock_assigned(struct domain *d)
{
    sim_lock(&d->ia64.lock);
}

static struct assigned *find(struct assigned_table *table, uint64_t gfn, uint64_t count)
{
    for (uint32_t i = 0; i < table->end; i++) {
        struct assigned *slot = &table->slots[i];
        if (slot->count && slot->gfn < gfn + count && gfn < slot->gfn + slot->count)
            return slot;
    }
    return NULL;
}

static struct assigned *free_slot(struct assigned_table *table)
{
    for (uint32_t i = 0; i < table->end; i++)
        if (table->slots[i].count == 0)
            return &table->slots[i];
    return table->end < MAX_ASSIGNED ? &table->slots[table->end++] : NULL;
}

static int add(struct assigned_table *table, const struct assigned *what)
{
    struct assigned *slot = free_slot(table);
    if (!slot)
        return -ENOMEM;
    *slot = *what;
    slot->count = 0;
    __atomic_store_n(&slot->count, what->count, __ATOMIC_RELEASE);
    return 0;
}

static int add_all(struct assigned_table *table, const struct assigned *what, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (find(table, what[i].gfn, what[i].count))
            return -EBUSY;
    for (unsigned i = 0; i < count; i++)
        if (add(table, &what[i])) {
            while (i-- > 0)
                find(table, what[i].gfn, 1)->count = 0;
            return -ENOMEM;
        }
    return 0;
}

int assign(struct pv_machine *machine, struct domain *d, const struct assigned *what,
           unsigned count)
{
    lock_assigned(d);
    int error = add_all(table_of(machine, d), what, count);
    sim_unlock(&d->ia64.lock);
    return error;
}

bool assigned_at(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                 struct assigned *out)
{
    struct domain *locked = domain_window(machine, d->domain_id);
    lock_assigned(locked);
    const struct assigned *slot = find(table_of(machine, d), gfn, 1);
    if (slot)
        *out = *slot;
    sim_unlock(&locked->ia64.lock);
    return slot != NULL;
}

void unassign(struct pv_machine *machine, struct domain *d, uint64_t gfn)
{
    struct assigned_table *table = table_of(machine, d);
    lock_assigned(d);
    struct assigned *slot = find(table, gfn, 1);
    if (slot) {
        struct assigned behind = *slot;
        uint64_t before = gfn - slot->gfn;
        behind.gfn = gfn + 1;
        behind.frame = assigned_frame(slot, gfn + 1);
        behind.count -= before + 1;
        __atomic_store_n(&slot->count, before, __ATOMIC_RELEASE);
        if (behind.count)
            add(table, &behind); /* without a free slot the rest goes too */
    }
    sim_unlock(&d->ia64.lock);
}

int unassign_exposed(struct pv_machine *machine, struct domain *d, uint64_t base, uint64_t owner)
{
    struct assigned_table *table = table_of(machine, d);
    int error = -ENOENT;
    lock_assigned(d);
    for (uint32_t i = 0; i < table->end; i++) {
        struct assigned *slot = &table->slots[i];
        if (!slot->count || slot->kind != ASSIGNED_P2M || slot->base != base ||
            slot->owner == d->domain_id)
            continue;
        error = slot->owner == owner ? 0 : -EINVAL;
        if (!error)
            __atomic_store_n(&slot->count, 0, __ATOMIC_RELEASE);
    }
    sim_unlock(&d->ia64.lock);
    return error;
}

uint64_t assigned_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn, bool write)
{
    struct assigned page;
    if (!assigned_at(machine, d, gfn, &page) || page.kind == ASSIGNED_IO ||
        (write && page.readonly))
        return NO_FRAME;
    uint64_t frame = assigned_frame(&page, gfn);
    if (!domain_is_life(domain_window(machine, page.owner), page.generation))
        return NO_FRAME;
    struct page_state now = page_state(machine, frame);
    bool is_owners = page.kind == ASSIGNED_P2M || (now.count && now.owner == page.owner);
    return is_owners ? frame : NO_FRAME;
}
