/* The EFI maps of guests: dom0's is made of the machine's, another's of its memory alone. */
#include "pvdrivers/sim/ia64/firmware.h"

#include <errno.h>
#include <stdlib.h>

#define MAGIC_START ((uint64_t)PV_IA64_MEMMAP_INFO_PFN << IA64_PAGE_SHIFT)
#define MAGIC_END ((uint64_t)(PV_IA64_CONSOLE_PFN + 1) << IA64_PAGE_SHIFT)
/* For guests without ports of their own. */
#define IO_PORTS_START 0xffffc000000ull
#define IO_PORTS_SIZE 0x4000000ull
/* Ports at the top of the machine's addresses, where a guest has no room, are moved below this. */
#define HIGH_PORTS 0x1ffffffff0000000ull
#define MOVED_PORTS_END 0x4000000000000ull

struct builder {
    struct efi_memory_desc *map;
    unsigned count, max;
};

static int add(struct builder *b, uint32_t type, uint64_t attribute, uint64_t start, uint64_t end)
{
    if (start >= end)
        return 0;
    if (b->count == b->max)
        return -ENOSPC;
    b->map[b->count++] = (struct efi_memory_desc){.type = type,
                                                  .phys_addr = start,
                                                  .num_pages = (end - start) >> EFI_PAGE_SHIFT,
                                                  .attribute = attribute};
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct efi_memory_desc *x = a, *y = b;
    return (x->phys_addr > y->phys_addr) - (x->phys_addr < y->phys_addr);
}

void sort_map(struct efi_memory_desc *map, unsigned count)
{
    qsort(map, count, sizeof *map, by_address);
}

static int finish(struct builder *b)
{
    sort_map(b->map, b->count);
    return (int)b->count;
}

/* What Xen puts into a guest. The stubs pass for PAL's code, so that the guest maps them. */
static int add_firmware(struct builder *b)
{
    const uint64_t attribute = EFI_MEMORY_WB | EFI_MEMORY_RUNTIME;
    int error = add(b, EFI_PAL_CODE, attribute, STUBS_START, ACPI_START);
    if (!error)
        error = add(b, EFI_ACPI_MEMORY_NVS, attribute, ACPI_START, TABLES_START);
    if (!error)
        error = add(b, EFI_RUNTIME_SERVICES_DATA, attribute, TABLES_START, PV_IA64_FIRMWARE_END);
    return error ? error : add(b, EFI_RUNTIME_SERVICES_DATA, EFI_MEMORY_WB, MAGIC_START, MAGIC_END);
}

static int add_conventional(struct builder *b, uint64_t start, uint64_t end)
{
    return add(b, EFI_CONVENTIONAL_MEMORY, EFI_MEMORY_WB, start, end);
}

int pv_efi_domu_map(uint64_t memory, struct efi_memory_desc *out, unsigned max)
{
    struct builder b = {out, 0, max};
    uint64_t end = round_down(memory, IA64_PAGE_SIZE);
    int error = add_firmware(&b);
    if (!error)
        error = add_conventional(&b, PV_IA64_FIRMWARE_END, smaller(end, MAGIC_START));
    if (!error)
        error = add_conventional(&b, MAGIC_END, end);
    if (!error)
        error = add(&b, EFI_MEMORY_MAPPED_IO_PORT_SPACE, EFI_MEMORY_UC, IO_PORTS_START,
                    IO_PORTS_START + IO_PORTS_SIZE);
    return error ? error : finish(&b);
}

/* ---- dom0 -------------------------------------------------------------------------------------
 */

/* What is not memory of its own, but of the machine: outside what Xen has put there. */
static int add_machines(struct builder *b, const struct efi_memory_desc *md, uint32_t type,
                        uint64_t attribute)
{
    uint64_t start = md->phys_addr, end = md_end(md);
    int error =
        add(b, type, attribute, larger(start, PV_IA64_FIRMWARE_END), smaller(end, MAGIC_START));
    return error ? error : add(b, type, attribute, larger(start, MAGIC_END), end);
}

static int add_ports(struct builder *b, const struct efi_memory_desc *md)
{
    struct efi_memory_desc ports = *md;
    if (md->phys_addr > HIGH_PORTS)
        ports.phys_addr = MOVED_PORTS_END - (md->num_pages << EFI_PAGE_SHIFT);
    return add_machines(b, &ports, md->type, md->attribute);
}

static int add_of_machine(struct builder *b, const struct efi_memory_desc *md)
{
    switch (md->type) {
    case EFI_RUNTIME_SERVICES_CODE:
    case EFI_RUNTIME_SERVICES_DATA:
    case EFI_ACPI_RECLAIM_MEMORY:
    case EFI_ACPI_MEMORY_NVS:
    case EFI_RESERVED_TYPE:
    case EFI_MEMORY_MAPPED_IO:
        return add_machines(b, md, md->type, md->attribute);
    case EFI_MEMORY_MAPPED_IO_PORT_SPACE:
        return add_ports(b, md);
    case EFI_UNUSABLE_MEMORY:
    case EFI_PAL_CODE:
        /* Of no use to dom0, but a gap would make it take the granule for uncached. */
        return add_machines(b, md, EFI_UNUSABLE_MEMORY, EFI_MEMORY_WB);
    default:
        return 0; /* memory, which follows, or memory that is not WB */
    }
}

/* Memory in pages of dom0's own; what is left of a piece at its ends is no gap either. */
static int add_memory(struct builder *b, uint64_t start, uint64_t end, uint64_t *left)
{
    uint64_t first = smaller(round_up(start, IA64_PAGE_SIZE), end);
    uint64_t last = larger(round_down(end, IA64_PAGE_SIZE), first);
    if (*left == 0 || start >= end)
        return 0;
    if (last - first > *left)
        end = last = first + *left;
    *left -= last - first;
    int error = add(b, EFI_UNUSABLE_MEMORY, EFI_MEMORY_WB, start, first);
    if (!error)
        error = add_conventional(b, first, last);
    return error ? error : add(b, EFI_UNUSABLE_MEMORY, EFI_MEMORY_WB, last, end);
}

int pv_efi_dom0_map(const struct efi_memory_desc *map, unsigned count, uint64_t memory,
                    uint64_t end, struct efi_memory_desc *out, unsigned max)
{
    if (pv_efi_check(map, count))
        return -EINVAL;
    const uint64_t firmware = PV_IA64_FIRMWARE_END + (MAGIC_END - MAGIC_START);
    struct builder b = {out, 0, max};
    struct pv_memory_extent piece;
    uint64_t left = memory > firmware ? round_down(memory - firmware, IA64_PAGE_SIZE) : 0;
    int error = add_firmware(&b);
    for (unsigned i = 0; i < count && !error; i++)
        error = add_of_machine(&b, &map[i]);
    for (unsigned next = 0; !error && next_usable(map, count, &next, &piece);) {
        uint64_t stop = smaller(piece.start + piece.size, end);
        error = add_memory(&b, larger(piece.start, PV_IA64_FIRMWARE_END),
                           smaller(stop, MAGIC_START), &left);
        if (!error)
            error = add_memory(&b, larger(piece.start, MAGIC_END), stop, &left);
    }
    return error ? error : finish(&b);
}
