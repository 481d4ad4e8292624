/* Grant tables, as the other rooms see them. */
#ifndef PVDRIVERS_SIM_GRANTS_GRANTS_H
#define PVDRIVERS_SIM_GRANTS_GRANTS_H

#include "pvdrivers/sim/core/machine.h"

extern const struct subsystem grants_subsystem;

/* Mappings and copies that may write to the page by the domain's grants. */
uint32_t grant_writers(struct pv_machine *machine, struct domain *d, uint64_t mfn);

/* ---- The seam ---- */
int sim_gnttab_map(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps, unsigned count);
int sim_gnttab_unmap(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps, unsigned count);
int sim_gnttab_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies, unsigned count);
void *sim_gnttab_map_contiguous(struct pv_hypervisor *hypervisor, domid_t domid,
                                const grant_ref_t *refs, unsigned count, bool readonly);
int sim_gnttab_unmap_contiguous(struct pv_hypervisor *hypervisor, void *address, unsigned count);
uint32_t sim_gnttab_page_size(struct pv_hypervisor *hypervisor, domid_t domid);
int sim_grant_access(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                     bool readonly, grant_ref_t *ref);
int sim_grant_end(struct pv_hypervisor *hypervisor, grant_ref_t ref);

#endif
