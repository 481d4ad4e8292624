/* IA-64: the machine's EFI map, and what guests of that ABI see of Xen. */
#ifndef PVDRIVERS_SIM_IA64_IA64_H
#define PVDRIVERS_SIM_IA64_IA64_H

#include "pvdrivers/sim/core/subsystem.h"

extern const struct subsystem ia64_subsystem;

#endif
