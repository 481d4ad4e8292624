/* The simulated side of the seam: one process's view of the machine as one domain. */
#ifndef PVDRIVERS_SIM_HYPERVISOR_H
#define PVDRIVERS_SIM_HYPERVISOR_H

#include "pvdrivers/sim/machine.h"

struct sim_hypervisor {
    struct pv_hypervisor base; /* first, so that the two convert */
    struct pv_machine *machine;
    uint32_t view; /* tells this process's open views apart */
    /* The domain's guest-physical memory, mapped side by side: gfn n is at n * page_size. */
    uint8_t *physmap;
    uint64_t physmap_size;
    uint64_t physmap_seen; /* domain.physmap_changes the view agrees with */
};

static inline struct sim_hypervisor *to_sim(struct pv_hypervisor *hypervisor)
{
    return (struct sim_hypervisor *)hypervisor;
}

#endif
