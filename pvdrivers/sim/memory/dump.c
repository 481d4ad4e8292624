/* Free memory by node, for the debug key 'm'. */
#include "pvdrivers/sim/console/console.h"
#include "pvdrivers/sim/memory/internal.h"

#include <inttypes.h>

void memory_dump(struct pv_machine *machine)
{
    struct pv_node_memory memory;
    console_print(machine->shared, "Physical memory information:");
    for (uint32_t node = 0; pv_machine_node_memory(machine, node, &memory) == 0; node++)
        console_print(machine->shared,
                      "    node %" PRIu32 ": %" PRIu64 "kB, %" PRIu64 "kB free, %" PRIu64
                      "kB of them below 4GB",
                      node, memory.total >> 10, memory.free >> 10, memory.free_below_4g >> 10);
    console_print(machine->shared, "    all: %" PRIu64 "kB, %" PRIu64 "kB free",
                  pv_machine_total_memory(machine) >> 10, pv_machine_free_memory(machine) >> 10);
}
