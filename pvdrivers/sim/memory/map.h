/* How a process maps the machine's two files. */
#ifndef PVDRIVERS_SIM_MEMORY_MAP_H
#define PVDRIVERS_SIM_MEMORY_MAP_H

#include "pvdrivers/sim/core/machine.h"

/* A whole file, or NULL. */
void *map_file(int fd, uint64_t size);
/* Part of the memory file, in the place of what is mapped at `place`: 0 or -ENOMEM. */
int map_memory(const struct pv_machine *machine, void *place, uint64_t address, uint64_t size,
               bool readonly);

#endif
