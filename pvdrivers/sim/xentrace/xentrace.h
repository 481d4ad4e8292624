/* Xen's trace buffers, as the other rooms see them. */
#ifndef PVDRIVERS_SIM_XENTRACE_XENTRACE_H
#define PVDRIVERS_SIM_XENTRACE_XENTRACE_H

#include "pvdrivers/ring/abi_trace.h"
#include "pvdrivers/sim/core/machine.h"

extern const struct subsystem xentrace_subsystem;

static inline bool xentrace_is_on(const struct pv_machine *machine)
{
    return __builtin_expect(__atomic_load_n(&machine->shared->xentrace.enabled, __ATOMIC_RELAXED),
                            false);
}

/* A record of so many extra words in the buffer of a CPU, if it is wanted. Under any lock but the
 * console's; while it is on. */
__attribute__((noinline, cold)) void xentrace_record(struct pv_machine *machine, uint32_t cpu,
                                                     uint32_t event, const uint32_t *extra,
                                                     uint32_t count);
#define XENTRACE(machine, cpu, event, ...)                                                         \
    do {                                                                                           \
        if (xentrace_is_on(machine)) {                                                             \
            const uint32_t extra_[] = {__VA_ARGS__};                                               \
            xentrace_record(machine, cpu, event, extra_, sizeof extra_ / sizeof *extra_);          \
        }                                                                                          \
    } while (0)

/* Whether privileged domains may map the frame: to write, only that of a buffer. */
bool xentrace_shares(const struct pv_machine *machine, uint64_t mfn, bool readonly);
#endif
