/* The CPU scheduler. */
#ifndef PVDRIVERS_SIM_SCHED_SCHED_H
#define PVDRIVERS_SIM_SCHED_SCHED_H

#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/cpupool.h"
#include "pvdrivers/sim/sched.h"

extern const struct subsystem sched_subsystem;

#endif
