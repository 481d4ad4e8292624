/* Machine memory: frames, their owners, and each domain's physmap. */
#ifndef PVDRIVERS_SIM_MEMORY_H
#define PVDRIVERS_SIM_MEMORY_H

#include "pvdrivers/sim/machine.h"

/* Whether `mfn` is memory (in an extent or in the xenheap), not a hole. */
bool frame_exists(const struct machine *shared, uint64_t mfn);
/* Frees all of a domain's pages; those a peer still uses follow with the last put_page. */
void release_domain_memory(struct pv_machine *machine, struct domain *d);
/* Gives a freed part of the memory file or the segment back to the host. */
void punch_memory(struct pv_machine *machine, uint64_t address, uint64_t size);
void punch_segment(struct pv_machine *machine, uint64_t offset, uint64_t size);

#endif
