/*
 * The hypervisor's own log, a ring of which the oldest bytes are overwritten, and the debug keys,
 * whose answers go there (`xl dmesg`, `xl debug-keys`). A new line raises VIRQ_CON_RING.
 */
#ifndef PVDRIVERS_SIM_CONSOLE_H
#define PVDRIVERS_SIM_CONSOLE_H

#include "pvdrivers/sim/machine.h"

/* cffi: begin */
/* xen_sysctl_readconsole */
struct pv_console_read {
    bool clear;       /* what is read now is not read again, but incrementally */
    bool incremental; /* from `index` on, when that is still there */
    uint32_t index;   /* in: a position; out: behind what was read. Counts bytes, and wraps */
    uint32_t count;   /* in: the buffer's size; out: bytes read */
};

PV_API void pv_console_read(struct pv_machine *machine, struct pv_console_read *read, char *buffer);
/* Each key in turn; 'h' lists them. */
PV_API void pv_console_debug_keys(struct pv_machine *machine, const char *keys, uint32_t count);
/* cffi: end */

#endif
