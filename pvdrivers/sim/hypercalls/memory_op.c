/* memory_op: reservations and memory maps, on lists of frame numbers in the caller's memory. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_memory.h"

#define CHUNK 64 /* extents copied at a time */

/* ---- Lists of extents ------------------------------------------------------------------------ */

typedef int64_t change_reservation(struct pv_machine *machine, domid_t caller, domid_t domid,
                                   const struct pv_memory_extents *extents);

/* How many of them were done; their frames, if the call says which, are in place of the gfns. */
static int64_t change_chunk(const struct hypercall *call, const struct xen_memory_reservation *op,
                            uint64_t from, uint64_t count, change_reservation *change)
{
    uint64_t gfns[CHUNK], mfns[CHUNK], address = op->extent_start + from * sizeof *gfns;
    bool populates = change == pv_memory_populate_physmap;
    if (copy_from_guest(gfns, address, count * sizeof *gfns))
        return 0;
    struct pv_memory_extents extents = {.gfns = gfns,
                                        .mfns = mfns,
                                        .count = count,
                                        .order = op->extent_order,
                                        .mem_flags = op->mem_flags};
    int64_t done = change(call->machine, call->caller, op->domid, &extents);
    if (done > 0 && populates && copy_to_guest(address, mfns, (size_t)done * sizeof *mfns))
        return 0;
    return done;
}

/* As Xen has it: the number done, and 0 for a domain that is not there. */
static long change_extents(const struct hypercall *call, const struct xen_memory_reservation *op,
                           change_reservation *change)
{
    uint64_t done = 0;
    while (done < op->nr_extents) {
        uint64_t left = op->nr_extents - done, count = left < CHUNK ? left : CHUNK;
        int64_t more = change_chunk(call, op, done, count, change);
        if (more < 0)
            return more == -ESRCH ? 0 : more;
        done += (uint64_t)more;
        if ((uint64_t)more < count)
            break;
    }
    return (long)done;
}

static long populate_physmap(const struct hypercall *call, void *argument)
{
    return change_extents(call, argument, pv_memory_populate_physmap);
}

static long decrease_reservation(const struct hypercall *call, void *argument)
{
    return change_extents(call, argument, pv_memory_decrease_reservation);
}

/* ---- Facts ----------------------------------------------------------------------------------- */

static long maximum_ram_page(const struct hypercall *call, void *argument)
{
    (void)argument;
    return (long)pv_memory_maximum_ram_page(call->machine);
}

static long current_reservation(const struct hypercall *call, void *argument)
{
    return (long)pv_memory_current_reservation(call->machine, call->caller, *(domid_t *)argument);
}

static long maximum_reservation(const struct hypercall *call, void *argument)
{
    return (long)pv_memory_maximum_reservation(call->machine, call->caller, *(domid_t *)argument);
}

static long maximum_gpfn(const struct hypercall *call, void *argument)
{
    return (long)pv_memory_maximum_gpfn(call->machine, call->caller, *(domid_t *)argument);
}

static const struct operation memory_ops[] = {
    [XENMEM_decrease_reservation] = {sizeof(struct xen_memory_reservation), IN,
                                     decrease_reservation},
    [XENMEM_maximum_ram_page] = {0, 0, maximum_ram_page},
    [XENMEM_current_reservation] = {sizeof(struct xen_memory_domain), IN, current_reservation},
    [XENMEM_maximum_reservation] = {sizeof(struct xen_memory_domain), IN, maximum_reservation},
    [XENMEM_populate_physmap] = {sizeof(struct xen_memory_reservation), IN, populate_physmap},
    [XENMEM_maximum_gpfn] = {sizeof(struct xen_memory_domain), IN, maximum_gpfn},
};

long do_memory_op(const struct hypercall *call)
{
    return RUN_OPERATION(call, memory_ops, (uint32_t)call->args[0], call->args[1]);
}
