/* Memory maps as tables of ranges, such as E820 has: the one that a domain's builder has set for
 * it, and the machine's. */
#include "pvdrivers/sim/machine_memory.h"
#include "pvdrivers/sim/memory/extents.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>
#include <string.h>

/* Behind the physmap in the domain's area, under machine.lock. `count` is written last: a process
 * that is killed while it sets a map leaves none. */
struct memory_map {
    uint32_t count; /* 0: none was set */
    struct pv_memory_range ranges[PV_MEMORY_MAX_RANGES];
};

uint64_t memory_area_size(const struct machine_layout *layout)
{
    return physmap_size(layout) + sizeof(struct memory_map);
}

static struct memory_map *map_of(struct pv_machine *machine, const struct domain *d)
{
    uint8_t *area = domain_area(machine, d, SUBSYSTEM_MEMORY);
    return (struct memory_map *)(area + physmap_size(&machine->shared->layout));
}

int pv_memory_set_memory_map(struct pv_machine *machine, domid_t caller, domid_t domid,
                             const struct pv_memory_range *ranges, uint32_t count)
{
    RCU_SECTION(machine);
    int error;
    if (count > PV_MEMORY_MAX_RANGES)
        return -EINVAL;
    const struct domain *d = memory_target(machine, caller, domid, &error);
    if (!d)
        return error;
    struct memory_map *map = map_of(machine, d);
    machine_lock(machine);
    __atomic_store_n(&map->count, 0, __ATOMIC_RELEASE);
    memcpy(map->ranges, ranges, count * sizeof *ranges);
    __atomic_store_n(&map->count, count, __ATOMIC_RELEASE);
    machine_unlock(machine);
    return 0;
}

int pv_memory_memory_map(struct pv_machine *machine, domid_t caller, struct pv_memory_range *ranges,
                         uint32_t most)
{
    RCU_SECTION(machine);
    int error;
    const struct domain *d = memory_target(machine, caller, caller, &error);
    if (!d)
        return error;
    const struct memory_map *map = map_of(machine, d);
    machine_lock(machine);
    uint32_t all = map->count, count = all < most ? all : most;
    memcpy(ranges, map->ranges, count * sizeof *ranges);
    machine_unlock(machine);
    return all ? (int)count : -ENOSYS;
}

int pv_machine_memory_map(struct pv_machine *machine, struct pv_memory_range *ranges, uint32_t most)
{
    const struct machine *shared = machine->shared;
    uint64_t end = 0;
    uint32_t count = 0;
    machine_lock(machine);
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        uint64_t start = shared->extents[i].start << FRAME_SHIFT;
        uint64_t size = shared->extents[i].count << FRAME_SHIFT;
        if (size && (start != end || !count) && count++ < most)
            ranges[count - 1] = (struct pv_memory_range){.start = start, .type = PV_MEMORY_RAM};
        if (size && count <= most)
            ranges[count - 1].size += size;
        end = size ? start + size : end;
    }
    machine_unlock(machine);
    return (int)count;
}
