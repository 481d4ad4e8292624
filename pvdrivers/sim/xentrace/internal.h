/* What the files of the xentrace room share:
 *   xentrace.c  the subsystem, and what toolstacks ask    record.c  records go in
 */
#ifndef PVDRIVERS_SIM_XENTRACE_INTERNAL_H
#define PVDRIVERS_SIM_XENTRACE_INTERNAL_H

#include "pvdrivers/sim/xentrace.h"
#include "pvdrivers/sim/xentrace/xentrace.h"

static inline struct xentrace *xentrace(const struct pv_machine *machine)
{
    return &machine->shared->xentrace;
}

static inline uint8_t *info_page(const struct pv_machine *machine)
{
    return machine->memory + machine->shared->layout.xentrace;
}

/* The pages of a buffer lie side by side, in the order of the CPUs. */
static inline struct t_buf *buffer_of(const struct pv_machine *machine, uint32_t cpu)
{
    uint64_t offset =
        XENTRACE_INFO_SIZE + ((uint64_t)cpu * xentrace(machine)->pages << FRAME_SHIFT);
    return (struct t_buf *)(info_page(machine) + offset);
}

static inline uint32_t data_size(const struct xentrace *trace)
{
    return (uint32_t)((trace->pages << FRAME_SHIFT) - sizeof(struct t_buf));
}

/* Bytes of a CPU's that nobody has taken yet; UINT32_MAX when `cons` is none that can be. Under
 * the lock. */
uint32_t unconsumed(const struct pv_machine *machine, uint32_t cpu);

#endif
