/* What the files of the ia64 room share. */
#ifndef PVDRIVERS_SIM_IA64_INTERNAL_H
#define PVDRIVERS_SIM_IA64_INTERNAL_H

#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/ia64.h"

#define IA64_PAGE_SHIFT 14
#define IA64_PAGE_SIZE (1ull << IA64_PAGE_SHIFT)

static inline uint64_t md_end(const struct efi_memory_desc *md)
{
    return md->phys_addr + (md->num_pages << EFI_PAGE_SHIFT);
}

static inline uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value & ~(unit - 1);
}

static inline uint64_t round_up(uint64_t value, uint64_t unit)
{
    return round_down(value + unit - 1, unit);
}

static inline uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Cached memory that nobody needs once the system runs. */
bool md_is_usable(const struct efi_memory_desc *md);
/* The usable memory from `*next` on, neighbours taken together: false when there is no more. */
bool next_usable(const struct efi_memory_desc *map, unsigned count, unsigned *next,
                 struct pv_memory_extent *extent);

/* ---- layout.c ---- */
/* A vcpu's page of privileged registers. */
struct mapped_regs *mapped_regs(struct pv_machine *machine, const struct domain *d, unsigned vcpu);
/* The first frame of the page that Xen shares with an ia64 guest at `gfn`, or NO_FRAME. */
uint64_t xen_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn);

#endif
