/*
 * IA-64 in the simulated machine: the EFI memory map of its firmware, and the maps that Xen makes
 * of it for guests. Addresses and sizes are bytes.
 *
 * Calls return 0 or a count, or a negative errno.
 */
#ifndef PVDRIVERS_SIM_IA64_H
#define PVDRIVERS_SIM_IA64_H

#include "pvdrivers/ring/abi_efi.h"
#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/machine.h"

/* cffi: begin */

/* ---- Guest-physical addresses, as frames of 16 KiB: Xen's own pages from 2^40 on ---- */

#define PV_IA64_SHARED_INFO_GFN 0x4000000
#define PV_IA64_MAPPED_REGS_GFN 0x4000001 /* of vcpu 0; the others' follow */
#define PV_IA64_MAX_VCPUS 64              /* that have such a page */
#define PV_IA64_GRANT_TABLE_GFN 0x4000041
#define PV_IA64_MAX_GRANT_FRAMES 64

/* ---- EFI memory maps ---- */

#define PV_EFI_MAX_DESCRIPTORS 256
/* Below it in every guest: hypercall stubs, ACPI and EFI tables. */
#define PV_IA64_FIRMWARE_END 0x8000
#define PV_IA64_EFI_SYSTEM_TABLE 0x2000 /* from which a kernel finds all the others */
/* Then the guest's magic pages, in the order of Xen's domain builder: frames of 16 KiB. */
#define PV_IA64_MEMMAP_INFO_PFN 12
#define PV_IA64_START_INFO_PFN 13
#define PV_IA64_XENSTORE_PFN 14
#define PV_IA64_CONSOLE_PFN 15

/* 0 when the map is ascending, without overlap or wrap, and of known types; else -EINVAL. */
PV_API int pv_efi_check(const struct efi_memory_desc *map, unsigned count);
/* The memory that an operating system takes from a map: of conventional, loader and boot services
 * memory that is WB, what lies in granules that are WB from end to end, in pages of 16 KiB.
 * -EINVAL: the map, or a granule that is no power of two of at least a page; -ENOSPC: more than
 * `max` extents. */
PV_API int pv_efi_usable_memory(const struct efi_memory_desc *map, unsigned count, uint64_t granule,
                                struct pv_memory_extent *extents, unsigned max);
/* dom0's map on a machine with this one, as Xen builds it: `memory` bytes at most, none of them at
 * `end` or above. -EINVAL: the map; -ENOSPC: more than `max` descriptors. */
PV_API int pv_efi_dom0_map(const struct efi_memory_desc *map, unsigned count, uint64_t memory,
                           uint64_t end, struct efi_memory_desc *out, unsigned max);
/* Another domain's, whose memory is one piece from 0. */
PV_API int pv_efi_domu_map(uint64_t memory, struct efi_memory_desc *out, unsigned max);

/* What the machine's firmware says, from which dom0's map is made and XENMEM_machine_memory_map
 * answered. -EINVAL: the map, or it does not have all of the machine's memory as usable; -E2BIG:
 * more than PV_EFI_MAX_DESCRIPTORS; -EBUSY: a domain has been made already. */
PV_API int pv_machine_set_efi_map(struct pv_machine *machine, const struct efi_memory_desc *map,
                                  unsigned count);

/* ---- Hypercalls. Buffers are xencomm handles: in the caller's guest-physical memory ---- */

/* The operations on the physmap, by Xen's numbers. Pages are of 16 KiB, also the machine's.
 *   ioremap (address, size): I/O space at its own address, which is returned
 *   phystomach (guest page), machtophys (machine's page): the other, or -1 for none
 *   zap_physmap (guest page, order 0): nothing is there then; memory is freed
 *   add_physmap (guest page, machine's page, ASSIGN_*, owner), add_physmap_with_gmfn (the same with
 *     a guest page of the owner's): a page of another ia64 domain, beyond the caller's memory
 *   add_io_space (base, sparse, number): the next port space
 *   expose_p2m (guest page, place, bytes of addresses, 2048): the caller sees, read-only, its table
 *     from the guest page on in pages at `place`: an entry (_PAGE_*) of 8 bytes for each page
 *   expose_foreign_p2m (place, domid, buffer, flags): the same of another ia64 domain's, for the
 *     lines of the memory map in the buffer, which is made one of whole pages of entries; that of
 *     guest page n is in the page `place` + n / 2048
 *   unexpose_foreign_p2m (place, domid): takes it away
 *   get_memmap (domid, buffer): a domain's memory map
 * -EPERM: ioremap, add_physmap, add_io_space, and another domain's table and map are for privileged
 * domains.
 * -ENOSYS: the caller is no ia64 domain, or no such operation (this Xen has no FPSWA). -ESRCH: no
 * such domain. -EBUSY: a peer uses the page, or something is at the place (-EAGAIN: expose_p2m).
 * -ENOENT: no table was exposed there. -ENOMEM: 4096 pieces are beside the caller's memory. */
PV_API int64_t pv_ia64_dom0vp_op(struct pv_machine *machine, domid_t domid, uint64_t cmd,
                                 const uint64_t *args /* 4 of them */);
/* XEN_IA64_DEBUG_OP_*: a union xen_ia64_debug_op in the buffer. The flags are kept, and nothing
 * else. -EPERM: the caller is not privileged; -ENOSYS: it is no ia64 domain, or no such operation;
 * -ESRCH; -EFAULT. */
PV_API int pv_ia64_debug_op(struct pv_machine *machine, domid_t caller, uint64_t cmd,
                            uint64_t domid, uint64_t buffer);
/* ---- A vcpu's context, as a toolstack has it ---- */

/* Sets it, and in the vcpu's page of registers the region registers that are not 0 and, with
 * VGCF_EXTRA_REGS, cr.iva. -EINVAL: the vcpu has no such page; the stacked registers are more than
 * `rbs` holds, or of a processor with another number of them; -ESRCH, -ENOENT. */
PV_API int pv_ia64_vcpu_set_context(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                                    const struct vcpu_guest_context_ia64 *context);
/* What it began with; but control and region registers are what its page has now, and privregs_pfn
 * is where the guest has that. -ENODATA: it has not begun; -EINVAL, -ESRCH, -ENOENT. */
PV_API int pv_ia64_vcpu_get_context(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                                    struct vcpu_guest_context_ia64 *context);

/* ---- The machine's map ---- */
/* XENMEM_machine_memory_map of a struct xen_memory_map_ia64: the firmware's map as it is, behind a
 * xen_ia64_memmap_info. -EINVAL: too little room, or, as Xen has it, the caller is not privileged;
 * -ENOSYS: nobody has told what the firmware says. */
PV_API int pv_ia64_machine_memory_map(struct pv_machine *machine, domid_t domid, uint64_t argument);
/* cffi: end */

#endif
