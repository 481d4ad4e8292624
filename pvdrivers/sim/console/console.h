/* The hypervisor's log. */
#ifndef PVDRIVERS_SIM_CONSOLE_CONSOLE_H
#define PVDRIVERS_SIM_CONSOLE_CONSOLE_H

#include "pvdrivers/sim/core/machine.h"

extern const struct subsystem console_subsystem;

/* A line, without its end, cut at 240 characters. Under any lock. */
__attribute__((format(printf, 2, 3))) void console_print(struct machine *shared, const char *format,
                                                         ...);

/* debug_keys.c: a domain, for the key 'q'. */
void console_dump_domain(struct pv_machine *machine, struct domain *d);

#endif
