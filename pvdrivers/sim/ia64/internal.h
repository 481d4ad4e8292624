/* What the files of the ia64 room share. */
#ifndef PVDRIVERS_SIM_IA64_INTERNAL_H
#define PVDRIVERS_SIM_IA64_INTERNAL_H

#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/ia64.h"

#define IA64_PAGE_SHIFT 14
#define IA64_PAGE_SIZE (1ull << IA64_PAGE_SHIFT)
#define FRAMES_PER_PAGE_SHIFT (IA64_PAGE_SHIFT - FRAME_SHIFT)
#define MAX_GFN (1ull << (50 - IA64_PAGE_SHIFT)) /* the architecture's addresses have 50 bits */

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

/* The live domain that an argument names; DOMID_SELF, if `caller` is not NULL. NULL: none. */
static inline struct domain *named_domain(struct pv_machine *machine, const struct domain *caller,
                                          uint64_t domid)
{
    return domid <= UINT16_MAX ? find_live_domain(machine, caller, (domid_t)domid) : NULL;
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

/* Whether the pages lie where a guest has neither memory nor any of these. */
bool is_beyond_memory(const struct domain *d, uint64_t gfn, uint64_t count);

/* ---- assigned.c ---- */
enum assigned_kind { ASSIGNED_PAGE, ASSIGNED_IO, ASSIGNED_P2M };

/* `count` pages from `gfn` on: I/O space, or pages or the P2M table of a domain in that life of it.
 */
struct assigned {
    uint64_t gfn, count;
    uint64_t frame; /* the machine's first one, of 4 KiB */
    uint64_t base;  /* of a table: where it was asked for */
    uint64_t generation;
    domid_t owner;
    uint8_t kind; /* enum assigned_kind */
    bool readonly;
};
/* The first frame of one of its pages. */
static inline uint64_t assigned_frame(const struct assigned *what, uint64_t gfn)
{
    return what->frame + ((gfn - what->gfn) << FRAMES_PER_PAGE_SHIFT);
}
uint64_t assigned_size(const struct machine_layout *layout);
/* All of them or none, which do not overlap. 0; -EBUSY: something is there; -ENOMEM. */
int assign(struct pv_machine *machine, struct domain *d, const struct assigned *what,
           unsigned count);
bool assigned_at(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                 struct assigned *out);
void unassign(struct pv_machine *machine, struct domain *d, uint64_t gfn);
/* Takes another domain's table away: 0; -ENOENT: none was asked for there; -EINVAL: it is not this
 * owner's. */
int unassign_exposed(struct pv_machine *machine, struct domain *d, uint64_t base, uint64_t owner);
/* The first frame of a page or a table's page at `gfn`, or NO_FRAME. */
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

/* ---- dom0vp.c ---- */
struct dom0vp {
    struct pv_machine *machine;
    struct domain *d;
    const uint64_t *args;
};

/* ---- p2m.c ---- */
uint64_t p2m_size(const struct machine_layout *layout);
/* The table says of these pages what is there now, if it is shown to anybody. Under machine.lock.
 */
void p2m_update(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t pages);
void p2m_repair(struct pv_machine *machine);
int64_t expose_p2m(const struct dom0vp *call);
int64_t expose_foreign_p2m(const struct dom0vp *call);
int64_t unexpose_foreign_p2m(const struct dom0vp *call);

/* ---- build_map.c ---- */
void sort_map(struct efi_memory_desc *map, unsigned count);

/* ---- memory_map.c ---- */
/* A map of a guest's, sorted: how many of PV_EFI_MAX_DESCRIPTORS lines, at least one; -EFAULT;
 * -EINVAL: it is none. */
int map_from_guest(struct pv_machine *machine, const struct domain *d, uint64_t buffer,
                   struct efi_memory_desc *lines);
int map_to_guest(struct pv_machine *machine, const struct domain *d, uint64_t buffer,
                 const struct efi_memory_desc *lines, unsigned count);
/* Copies a domain's memory map into a buffer of another's: 0, or a negative errno. */
int copy_memmap(struct pv_machine *machine, const struct domain *d, const struct domain *to,
                uint64_t buffer);

#endif
