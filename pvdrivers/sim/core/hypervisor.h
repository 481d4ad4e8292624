/* The simulated side of the seam: one process's view of the machine as one domain. */
#ifndef PVDRIVERS_SIM_CORE_HYPERVISOR_H
#define PVDRIVERS_SIM_CORE_HYPERVISOR_H

#include "pvdrivers/sim/core/machine.h"

struct sim_hypervisor {
    struct pv_hypervisor base; /* first, so that the two convert */
    struct pv_machine *machine;
    struct domain *domain; /* its domid's window */
    uint64_t generation; /* of the domain: the view ends with it, even if its domid is used again */
    uint32_t view;       /* tells this process's open views apart */
    /* The domain's guest-physical memory, mapped side by side: gfn n is at n * page_size. */
    uint8_t *physmap;
    uint64_t physmap_size;
    uint64_t physmap_seen; /* domain.physmap_changes the view agrees with */
};

/* The view's domain, dying or not, or NULL. In a read-side section. */
static inline struct domain *view_domain(const struct sim_hypervisor *hv)
{
    bool found = domain_is_found(hv->domain) && domain_generation(hv->domain) == hv->generation;
    return found ? hv->domain : NULL;
}

/* The same while it is not dying: in a section, or under a lock of the domain's that its teardown
 * takes, to the end of which that holds. */
static inline struct domain *live_view_domain(const struct sim_hypervisor *hv)
{
    return domain_is_life(hv->domain, hv->generation) ? hv->domain : NULL;
}

static inline struct sim_hypervisor *to_sim(struct pv_hypervisor *hypervisor)
{
    return (struct sim_hypervisor *)hypervisor;
}

#endif
