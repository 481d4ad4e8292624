/* What the files of the ia64 room share. */
#ifndef PVDRIVERS_SIM_IA64_INTERNAL_H
#define PVDRIVERS_SIM_IA64_INTERNAL_H

#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/ia64.h"

#define IA64_PAGE_SHIFT 14
#define IA64_PAGE_SIZE (1ull << IA64_PAGE_SHIFT)
#define FRAMES_PER_PAGE_SHIFT (IA64_PAGE_SHIFT - FRAME_SHIFT)

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

/* What stands before a map of `count` lines of ours. */
static inline struct xen_ia64_memmap_info memmap_info(uint32_t count)
{
    return (struct xen_ia64_memmap_info){.efi_memmap_size = count * sizeof(struct efi_memory_desc),
                                         .efi_memdesc_size = sizeof(struct efi_memory_desc),
                                         .efi_memdesc_version = EFI_MEMORY_DESCRIPTOR_VERSION};
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

/* ---- assigned.c ---- */
/* `count` pages from `gfn` on: I/O space, or pages of a domain in that life of it. */
struct assigned {
    uint64_t gfn, count;
    uint64_t frame; /* the machine's first one, of 4 KiB */
    uint64_t generation;
    domid_t owner;
    bool is_io, readonly;
};
/* The first frame of one of its pages. */
static inline uint64_t assigned_frame(const struct assigned *what, uint64_t gfn)
{
    return what->frame + ((gfn - what->gfn) << FRAMES_PER_PAGE_SHIFT);
}
uint64_t assigned_size(const struct machine_layout *layout);
/* 0; -EBUSY: something is there; -ENOMEM. */
int assign(struct pv_machine *machine, struct domain *d, const struct assigned *what);
bool assigned_at(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                 struct assigned *out);
void unassign(struct pv_machine *machine, struct domain *d, uint64_t gfn);
/* The first frame of another domain's page at `gfn`, or NO_FRAME. */
uint64_t assigned_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                       bool write);

/* ---- xencomm.c ---- */
/* Copies a part of a page: 0, or -EFAULT when it is not the guest's own memory. */
int copy_in_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn, uint64_t offset,
                 void *buffer, uint64_t size, bool write);
/* Copies `size` bytes behind the first `skip` of a buffer: 0; -EFAULT: it is too short or not in
 * the guest's memory; -EINVAL: no descriptor. */
int xencomm_from_guest(struct pv_machine *machine, const struct domain *d, void *to,
                       uint64_t handle, size_t size, size_t skip);
int xencomm_to_guest(struct pv_machine *machine, const struct domain *d, uint64_t handle,
                     const void *from, size_t size, size_t skip);

/* ---- memory_map.c ---- */
/* Copies a domain's memory map into a buffer of another's: 0, or a negative errno. */
int copy_memmap(struct pv_machine *machine, const struct domain *d, const struct domain *to,
                uint64_t buffer);

#endif
