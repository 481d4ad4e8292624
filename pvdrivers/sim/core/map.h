/* The machine's two files: how a process maps them, and gives freed parts back to the host. */
#ifndef PVDRIVERS_SIM_CORE_MAP_H
#define PVDRIVERS_SIM_CORE_MAP_H

#include "pvdrivers/sim/core/machine.h"

/* A whole file, or NULL. */
void *map_file(int fd, uint64_t size);
/* Part of the memory file, in the place of what is mapped at `place`: 0 or -ENOMEM. */
int map_memory(const struct pv_machine *machine, void *place, uint64_t address, uint64_t size,
               bool readonly);

/* Parts of the memory file and of the segment: zeros from here on, and no memory of the host's. */
void punch_memory(struct pv_machine *machine, uint64_t address, uint64_t size);
void punch_segment(struct pv_machine *machine, uint64_t offset, uint64_t size);

#endif
