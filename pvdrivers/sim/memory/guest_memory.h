/* A guest's own pages: a page allocator, and the process's view of the domain's memory. */
#ifndef PVDRIVERS_SIM_MEMORY_GUEST_MEMORY_H
#define PVDRIVERS_SIM_MEMORY_GUEST_MEMORY_H

#include "pvdrivers/sim/core/hypervisor.h"

int physmap_open(struct sim_hypervisor *hv, const struct domain *d);
void physmap_close(struct sim_hypervisor *hv);
/* Catches up with pages that came into the domain or left it (transfer). Under the guest's lock. */
int physmap_refresh(struct sim_hypervisor *hv, const struct domain *d);

void *sim_pages_alloc(struct pv_hypervisor *hypervisor, unsigned count);
int sim_pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count);

#endif
