/*
 * Xen's trace of a machine with CPUs (ring/abi_trace.h): what `xentrace` sets up by sysctl, and
 * how a program takes the records without it. Times are those of the machine, as if its TSC ran at
 * 1 GHz; no two records have the same, so one of several of a moment may be some ns late.
 *
 * What the simulated machine's own log has, events and grants in the order in which they
 * happened, is another thing: pv_machine_trace.
 *
 * Calls return 0, or a negative errno: ENODEV the machine has no CPUs.
 */
#ifndef PVDRIVERS_SIM_XENTRACE_H
#define PVDRIVERS_SIM_XENTRACE_H

#include "pvdrivers/ring/abi_trace.h"
#include "pvdrivers/sim/machine.h"

/* cffi: begin */
struct pv_xentrace_info {
    uint32_t event_mask;
    uint32_t pages;       /* of 4 KiB, of each CPU's buffer; 0: there are none yet */
    uint64_t buffer_mfn;  /* the first frame of struct t_info; 0: none */
    uint32_t info_size;   /* bytes of that, whole pages */
    uint32_t buffer_size; /* bytes of records that a buffer has room for */
    uint32_t cpus;
};

/* Once in a machine's life, and from then on it traces. More pages than t_info can tell of are
 * reduced to what it can. -EINVAL none, or another number than there are; -EBUSY as many; -ENOMEM
 * their frame numbers have more than 32 bits, on a machine with addresses beyond 16 TiB. */
PV_API int pv_xentrace_set_size(struct pv_machine *machine, uint32_t pages);
/* Which classes and subclasses of events (TRC_ALL at first), and on which CPUs (all). */
PV_API int pv_xentrace_set_event_mask(struct pv_machine *machine, uint32_t mask);
PV_API int pv_xentrace_set_cpu_mask(struct pv_machine *machine,
                                    const uint64_t *cpus /* PV_SCHED_MAX_CPUS bits */);
/* -EINVAL: there are no buffers. */
PV_API int pv_xentrace_enable(struct pv_machine *machine, bool enabled);
PV_API int pv_xentrace_get_info(struct pv_machine *machine, struct pv_xentrace_info *info);
/* Takes all records of a CPU's buffer: how many bytes, of `size`, which must be `buffer_size` at
 * least (-EINVAL, also for a CPU that is not there). */
PV_API int64_t pv_xentrace_read(struct pv_machine *machine, uint32_t cpu, void *records,
                                uint32_t size);
/* cffi: end */

#endif
