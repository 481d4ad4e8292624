/* Pages that are not to be used again: a free one leaves the heap at once, one in use when it is
 * freed. A block that is offlined is in no list and has neither owner nor reference. */
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/machine_pages.h"
#include "pvdrivers/sim/memory/extents.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

static uint32_t owned_by(domid_t domid)
{
    return (uint32_t)domid << PG_OFFLINE_OWNER_SHIFT;
}

/* ---- Blocks that are not to be used -----------------------------------------------------------
 */

void retire_block(struct pv_machine *machine, uint64_t mfn)
{
    const struct memory_extent *extent = extent_of(machine->shared, mfn);
    struct page_state page = page_state(machine, mfn);
    set_page(machine, mfn,
             (struct page_state){.owner = DOMID_INVALID,
                                 .order = page.order,
                                 .flags = PGC_offlined | (page.flags & PGC_broken)});
    heap_of_extent(machine->shared, extent)->offlined_frames += 1ull << page.order;
}

static void return_block(struct pv_machine *machine, uint64_t mfn)
{
    const struct memory_extent *extent = extent_of(machine->shared, mfn);
    unsigned order = page_state(machine, mfn).order;
    heap_of_extent(machine->shared, extent)->offlined_frames -= 1ull << order;
    heap_free(machine, mfn, order);
}

/* ---- Offline --------------------------------------------------------------------------------- */

static uint32_t offline_free(struct pv_machine *machine, uint64_t head, uint64_t mfn, bool broken)
{
    heap_take_frame(machine, head, mfn);
    retire_block(machine, mfn);
    if (broken)
        set_flags(machine, mfn, PGC_broken);
    return PG_OFFLINE_OFFLINED;
}

/* A part of a superpage becomes a page first. Its owner has it until it is freed, under this lock
 * too. */
static uint32_t offline_used(struct pv_machine *machine, domid_t owner, uint64_t mfn, bool broken)
{
    superpage_expand_to(machine, domain_window(machine, owner), mfn);
    uint64_t head = block_of(machine, mfn);
    set_flags(machine, head, broken ? PGC_offlining | PGC_broken : PGC_offlining);
    return PG_OFFLINE_OWNED | PG_OFFLINE_PENDING | owned_by(owner);
}

static uint32_t offline_block(struct pv_machine *machine, uint64_t head, uint64_t mfn, bool broken)
{
    struct page_state page = page_state(machine, head);
    if (page.flags & PGC_free)
        return offline_free(machine, head, mfn, broken);
    if (!(page.flags & PGC_offlined))
        return offline_used(machine, page.owner, mfn, broken);
    if (broken)
        set_flags(machine, head, PGC_broken);
    return PG_OFFLINE_OFFLINED;
}

int pv_page_offline(struct pv_machine *machine, uint64_t mfn, bool broken, uint32_t *status)
{
    if (is_xen_heap(machine->shared, mfn)) {
        *status = PG_OFFLINE_XENPAGE | PG_OFFLINE_FAILED | owned_by(DOMID_XEN);
        return -EPERM;
    }
    if (!extent_of(machine->shared, mfn))
        return -EINVAL;
    machine_lock(machine);
    heap_open_to(machine, mfn);
    uint64_t head = block_of(machine, mfn);
    struct page_state page = page_state(machine, head);
    bool again = page.flags & PGC_broken && page.flags & PGC_offlining;
    *status = again ? PG_OFFLINE_AGAIN
                    : offline_block(machine, head, mfn, broken) | (broken ? PG_OFFLINE_BROKEN : 0);
    machine_unlock(machine);
    if (again)
        pv_domain_shutdown(machine, page.owner, SHUTDOWN_crash);
    return 0;
}

/* ---- Online ---------------------------------------------------------------------------------- */

static int online_block(struct pv_machine *machine, uint64_t head, uint32_t *status)
{
    uint8_t flags = page_state(machine, head).flags;
    if (flags & PGC_broken) {
        *status = PG_ONLINE_FAILED | PG_ONLINE_BROKEN;
        return -EINVAL;
    }
    if (flags & PGC_offlined)
        return_block(machine, head);
    else if (flags & PGC_offlining)
        clear_flags(machine, head, PGC_offlining);
    *status = flags & (PGC_offlined | PGC_offlining) ? PG_ONLINE_ONLINED : 0;
    return 0;
}

int pv_page_online(struct pv_machine *machine, uint64_t mfn, uint32_t *status)
{
    if (!extent_of(machine->shared, mfn))
        return -EINVAL;
    *status = 0;
    machine_lock(machine);
    uint64_t head = block_of(machine, mfn);
    int error = head == NO_FRAME ? 0 : online_block(machine, head, status);
    machine_unlock(machine);
    return error;
}

/* ---- Query ----------------------------------------------------------------------------------- */

int pv_page_query_offline(struct pv_machine *machine, uint64_t mfn, uint32_t *status)
{
    if (!extent_of(machine->shared, mfn))
        return -EINVAL;
    machine_lock(machine);
    uint64_t head = block_of(machine, mfn);
    uint8_t flags = head == NO_FRAME ? 0 : page_state(machine, head).flags;
    machine_unlock(machine);
    *status = (flags & PGC_offlining ? PG_OFFLINE_STATUS_OFFLINE_PENDING : 0) |
              (flags & PGC_offlined ? PG_OFFLINE_STATUS_OFFLINED : 0) |
              (flags & PGC_broken ? PG_OFFLINE_STATUS_BROKEN : 0);
    return 0;
}
