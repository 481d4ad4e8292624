/* The CPU scheduler. */
#ifndef PVDRIVERS_SIM_SCHED_SCHED_H
#define PVDRIVERS_SIM_SCHED_SCHED_H

#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/cpupool.h"
#include "pvdrivers/sim/sched.h"

extern const struct subsystem sched_subsystem;

/* The vcpu, if it runs, goes behind those that are as urgent. In a read-side section. */
void vcpu_yield(struct pv_machine *machine, struct domain *d, uint32_t vcpu);

#endif
