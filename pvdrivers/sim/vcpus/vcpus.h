/* What a guest's kernel asks for its vcpus. */
#ifndef PVDRIVERS_SIM_VCPUS_VCPUS_H
#define PVDRIVERS_SIM_VCPUS_VCPUS_H

#include "pvdrivers/sim/core/machine.h"

extern const struct subsystem vcpus_subsystem;

#endif
