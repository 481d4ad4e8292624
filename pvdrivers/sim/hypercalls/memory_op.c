/* memory_op: reservations and memory maps, on lists of frame numbers in the caller's memory. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_memory.h"
#include "pvdrivers/sim/memory/memory.h"

#define CHUNK 64 /* extents copied at a time */
#define EXTENT_SHIFT                                                                               \
    6 /* of the number of the first extent that is to be done, beside the command */

/* ---- Lists of extents ------------------------------------------------------------------------ */

typedef int64_t change_reservation(struct pv_machine *machine, domid_t caller, domid_t domid,
                                   const struct pv_memory_extents *extents);

/* How many of them were done; their frames, if the call says which, are in place of the gfns. */
static int64_t change_chunk(const struct hypercall *call, const struct xen_memory_reservation *op,
                            uint64_t from, uint64_t count, change_reservation *change)
{
    uint64_t gfns[CHUNK], mfns[CHUNK], address = op->extent_start + from * sizeof *gfns;
    bool has_gfns = change != pv_memory_increase_reservation;
    bool has_mfns = change != pv_memory_decrease_reservation && (has_gfns || op->extent_start);
    if (has_gfns && copy_from_guest(gfns, address, count * sizeof *gfns))
        return 0;
    struct pv_memory_extents extents = {.gfns = gfns,
                                        .mfns = mfns,
                                        .count = count,
                                        .order = op->extent_order,
                                        .mem_flags = op->mem_flags};
    int64_t done = change(call->machine, call->caller, op->domid, &extents);
    if (done > 0 && has_mfns && copy_to_guest(address, mfns, (size_t)done * sizeof *mfns))
        return 0;
    return done;
}

/* As Xen has it: the number done, those before the first included, whatever may be wrong. Between
 * two chunks nothing is held, and what is done is done, even for a caller that is killed. */
static long change_extents(const struct hypercall *call, const struct xen_memory_reservation *op,
                           change_reservation *change)
{
    uint64_t done = call->args[0] >> EXTENT_SHIFT;
    while (done < op->nr_extents && op->nr_extents <= UINT32_MAX >> EXTENT_SHIFT) {
        uint64_t left = op->nr_extents - done, count = left < CHUNK ? left : CHUNK;
        int64_t more = change_chunk(call, op, done, count, change);
        done += more < 0 ? 0 : (uint64_t)more;
        if (more < (int64_t)count)
            break;
    }
    return (long)done;
}

static long increase_reservation(const struct hypercall *call, void *argument)
{
    return change_extents(call, argument, pv_memory_increase_reservation);
}

static long populate_physmap(const struct hypercall *call, void *argument)
{
    return change_extents(call, argument, pv_memory_populate_physmap);
}

static long decrease_reservation(const struct hypercall *call, void *argument)
{
    return change_extents(call, argument, pv_memory_decrease_reservation);
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static long claim_pages(const struct hypercall *call, void *argument)
{
    const struct xen_memory_reservation *op = argument;
    if (op->extent_start || op->extent_order || op->mem_flags)
        return -EINVAL;
    return pv_memory_claim_pages(call->machine, call->caller, op->domid, op->nr_extents);
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

/* Of the machine-to-physical table, which a privileged domain maps as DOMID_XEN's memory. */
static long machphys_mfn_list(const struct hypercall *call, void *argument)
{
    struct xen_machphys_mfn_list *op = argument;
    uint64_t mfn;
    for (op->nr_extents = 0; op->nr_extents < op->max_extents; op->nr_extents++) {
        mfn = m2p_chunk(call->machine, op->nr_extents);
        if (mfn == NO_FRAME)
            break;
        if (copy_to_guest(op->extent_start + op->nr_extents * sizeof mfn, &mfn, sizeof mfn))
            return -EFAULT;
    }
    return 0;
}

/* Nothing here shares pages. */
static long no_pages(const struct hypercall *call, void *argument)
{
    (void)call, (void)argument;
    return 0;
}

static const struct operation memory_ops[] = {
    [XENMEM_increase_reservation] = {sizeof(struct xen_memory_reservation), IN,
                                     increase_reservation},
    [XENMEM_decrease_reservation] = {sizeof(struct xen_memory_reservation), IN,
                                     decrease_reservation},
    [XENMEM_maximum_ram_page] = {0, 0, maximum_ram_page},
    [XENMEM_current_reservation] = {sizeof(struct xen_memory_domain), IN, current_reservation},
    [XENMEM_maximum_reservation] = {sizeof(struct xen_memory_domain), IN, maximum_reservation},
    [XENMEM_machphys_mfn_list] = {sizeof(struct xen_machphys_mfn_list), BOTH, machphys_mfn_list},
    [XENMEM_populate_physmap] = {sizeof(struct xen_memory_reservation), IN, populate_physmap},
    [XENMEM_memory_map] = {sizeof(struct xen_memory_map), BOTH, memory_map},
    [XENMEM_machine_memory_map] = {sizeof(struct xen_memory_map), BOTH, machine_memory_map},
    [XENMEM_set_memory_map] = {sizeof(struct xen_foreign_memory_map), IN, set_memory_map},
    [XENMEM_exchange] = {sizeof(struct xen_memory_exchange), IN, memory_exchange},
    [XENMEM_maximum_gpfn] = {sizeof(struct xen_memory_domain), IN, maximum_gpfn},
    [XENMEM_get_sharing_freed_pages] = {0, 0, no_pages},
    [XENMEM_get_sharing_shared_pages] = {0, 0, no_pages},
    [XENMEM_claim_pages] = {sizeof(struct xen_memory_reservation), IN, claim_pages},
};

/* A call that was preempted is made again with what it had done. */
static bool may_begin_later(uint32_t op)
{
    return op == XENMEM_increase_reservation || op == XENMEM_decrease_reservation ||
           op == XENMEM_populate_physmap;
}

long do_memory_op(const struct hypercall *call)
{
    uint32_t op = call->args[0] & ((1u << EXTENT_SHIFT) - 1);
    if (call->args[0] >> EXTENT_SHIFT && !may_begin_later(op))
        return -EINVAL;
    return RUN_OPERATION(call, memory_ops, op, call->args[1]);
}
