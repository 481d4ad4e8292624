/*
 * The EFI memory map as firmware hands it over, and as Xen/ia64 gives it to a guest behind a
 * xen_ia64_memmap_info (UEFI specification, GetMemoryMap; arch-ia64.h of 2012).
 */
#ifndef PVDRIVERS_RING_ABI_EFI_H
#define PVDRIVERS_RING_ABI_EFI_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define EFI_PAGE_SHIFT 12 /* whatever the page size of Xen or of a guest */
#define EFI_MEMORY_DESCRIPTOR_VERSION 1

enum efi_memory_type {
    EFI_RESERVED_TYPE,
    EFI_LOADER_CODE,
    EFI_LOADER_DATA,
    EFI_BOOT_SERVICES_CODE,
    EFI_BOOT_SERVICES_DATA,
    EFI_RUNTIME_SERVICES_CODE,
    EFI_RUNTIME_SERVICES_DATA,
    EFI_CONVENTIONAL_MEMORY,
    EFI_UNUSABLE_MEMORY,
    EFI_ACPI_RECLAIM_MEMORY,
    EFI_ACPI_MEMORY_NVS,
    EFI_MEMORY_MAPPED_IO,
    EFI_MEMORY_MAPPED_IO_PORT_SPACE,
    EFI_PAL_CODE,
    EFI_MAX_MEMORY_TYPE
};

/* In `attribute`: what the memory can do, not what it does. */
#define EFI_MEMORY_UC 0x1
#define EFI_MEMORY_WC 0x2
#define EFI_MEMORY_WT 0x4
#define EFI_MEMORY_WB 0x8
#define EFI_MEMORY_UCE 0x10
#define EFI_MEMORY_WP 0x1000
#define EFI_MEMORY_RP 0x2000
#define EFI_MEMORY_XP 0x4000
#define EFI_MEMORY_RUNTIME 0x8000000000000000 /* the firmware needs it mapped for ever */

struct efi_memory_desc {
    uint32_t type; /* enum efi_memory_type */
    uint32_t pad;
    uint64_t phys_addr;
    uint64_t virt_addr;
    uint64_t num_pages; /* of 4 KiB */
    uint64_t attribute;
};

/* The descriptors follow it. */
struct xen_ia64_memmap_info {
    uint64_t efi_memmap_size; /* bytes of all descriptors */
    uint64_t efi_memdesc_size;
    uint32_t efi_memdesc_version;
    uint32_t pad;
};
/* cffi: end */

static_assert(sizeof(struct efi_memory_desc) == 40, "efi_memory_desc");
static_assert(sizeof(struct xen_ia64_memmap_info) == 24, "xen_ia64_memmap_info");

#endif
