/* A guest's own pages: the page allocator of its kernel, a process's view of the domain's memory,
 * and memory mapped by frame number. */
#ifndef PVDRIVERS_SIM_MEMORY_GUEST_PAGES_H
#define PVDRIVERS_SIM_MEMORY_GUEST_PAGES_H

#include "pvdrivers/sim/core/hypervisor.h"

extern const struct subsystem guest_pages_subsystem;

/* ---- The seam ---- */
void *sim_pages_alloc(struct pv_hypervisor *hypervisor, unsigned count);
int sim_pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count);
void *sim_foreign_map(struct pv_hypervisor *hypervisor, domid_t domid, const uint64_t *gfns,
                      unsigned count, bool readonly);
int sim_foreign_unmap(struct pv_hypervisor *hypervisor, domid_t domid, void *address,
                      unsigned count);

#endif
