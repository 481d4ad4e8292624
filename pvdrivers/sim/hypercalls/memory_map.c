/* memory_op's memory maps, which are E820 tables in the caller's memory. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_memory.h"

#include <stdlib.h>

/* 20 bytes each, without a gap between two. */
struct e820entry {
    uint64_t addr, size;
    uint32_t type;
} __attribute__((packed));

static int ranges_from_guest(struct pv_memory_range *ranges, uint64_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct e820entry entry;
        if (copy_from_guest(&entry, from + i * sizeof entry, sizeof entry))
            return -EFAULT;
        ranges[i] = (struct pv_memory_range){entry.addr, entry.size, entry.type};
    }
    return 0;
}

static int ranges_to_guest(uint64_t to, const struct pv_memory_range *ranges, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct e820entry entry = {ranges[i].start, ranges[i].size, ranges[i].type};
        if (copy_to_guest(to + i * sizeof entry, &entry, sizeof entry))
            return -EFAULT;
    }
    return 0;
}

static struct pv_memory_range *allocate(uint32_t count)
{
    return calloc(count ? count : 1, sizeof(struct pv_memory_range));
}

long set_memory_map(const struct hypercall *call, void *argument)
{
    const struct xen_foreign_memory_map *op = argument;
    uint32_t count = op->map.nr_entries;
    if (count > PV_MEMORY_MAX_RANGES)
        return -EINVAL;
    struct pv_memory_range *ranges = allocate(count);
    long error = ranges ? ranges_from_guest(ranges, op->map.buffer, count) : -ENOMEM;
    if (!error)
        error = pv_memory_set_memory_map(call->machine, call->caller, op->domid, ranges, count);
    free(ranges);
    return error;
}

/* As much of it as there is room for. */
long memory_map(const struct hypercall *call, void *argument)
{
    struct xen_memory_map *op = argument;
    struct pv_memory_range *ranges = allocate(PV_MEMORY_MAX_RANGES);
    long count =
        ranges ? pv_memory_memory_map(call->machine, call->caller, ranges,
                                      op->nr_entries < PV_MEMORY_MAX_RANGES ? op->nr_entries
                                                                            : PV_MEMORY_MAX_RANGES)
               : -ENOMEM;
    long error = count < 0 ? count : ranges_to_guest(op->buffer, ranges, (uint32_t)count);
    free(ranges);
    op->nr_entries = (uint32_t)count;
    return error;
}

/* All of it, or, without a buffer, how large that is. As Xen's, it wants room for one more. */
long machine_memory_map(const struct hypercall *call, void *argument)
{
    struct xen_memory_map *op = argument;
    int error = check_privilege(call);
    if (error)
        return error;
    struct pv_memory_range *ranges = allocate(PV_MEMORY_MAX_RANGES + 1);
    if (!ranges)
        return -ENOMEM;
    uint32_t count =
        (uint32_t)pv_machine_memory_map(call->machine, ranges, PV_MEMORY_MAX_RANGES + 1);
    if (op->buffer)
        error = op->nr_entries <= count ? -EINVAL : ranges_to_guest(op->buffer, ranges, count);
    free(ranges);
    op->nr_entries = count;
    return error;
}
