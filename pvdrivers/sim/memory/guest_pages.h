/* A guest's own pages: the page allocator of its kernel, a process's view of the domain's memory,
 * and memory mapped by frame number. */
#ifndef PVDRIVERS_SIM_MEMORY_GUEST_PAGES_H
#define PVDRIVERS_SIM_MEMORY_GUEST_PAGES_H

#include "pvdrivers/sim/core/hypervisor.h"

extern const struct subsystem guest_pages_subsystem;

/* ---- guest_pages.c, for guest_balloon.c ---- */
guest_page_owner *guest_page_owners(struct pv_machine *machine, const struct domain *d);
void guest_lock(struct pv_machine *machine, struct domain *d);
/* Maps what has come into the domain, and unmaps what has left it: 0 or -ENOMEM. Under that lock.
 */
int guest_physmap_refresh(struct sim_hypervisor *hv, const struct domain *d);

/* ---- The seam ---- */
int64_t sim_balloon(struct pv_hypervisor *hypervisor, uint64_t pages);
void *sim_pages_alloc(struct pv_hypervisor *hypervisor, unsigned count);
int sim_pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count);
void *sim_foreign_map(struct pv_hypervisor *hypervisor, domid_t domid, const uint64_t *gfns,
                      unsigned count, bool readonly);
int sim_foreign_unmap(struct pv_hypervisor *hypervisor, domid_t domid, void *address,
                      unsigned count);

#endif
