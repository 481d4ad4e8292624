/* Memory maps that are handed over: a guest's own, the machine's, and one that a guest shows. */
#include "pvdrivers/sim/ia64/internal.h"

#include "pvdrivers/ring/abi_shared_info.h"
#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>

struct memmap {
    struct xen_ia64_memmap_info info;
    uint8_t lines[IA64_PAGE_SIZE - sizeof(struct xen_ia64_memmap_info)];
};
static_assert(sizeof(struct memmap) == IA64_PAGE_SIZE, "one page");

/* The page and what shared_info says of it are the guest's to write: they are read once. */
static int read_memmap(struct pv_machine *machine, const struct domain *d, struct memmap *out)
{
    const struct shared_info_ia64 *shared = domain_xenheap(machine, d, XENHEAP_SHARED_INFO);
    uint64_t gfn = pv_read_once_64(&shared->arch.memmap_info_pfn);
    if (d->abi != PV_ABI_IA64 || pv_read_once(&shared->arch.memmap_info_num_pages) != 1)
        return -EINVAL;
    int error = copy_in_page(machine, d, gfn, 0, out, sizeof *out, false);
    return error || out->info.efi_memmap_size > sizeof out->lines ? -EFAULT : 0;
}

int copy_memmap(struct pv_machine *machine, const struct domain *d, const struct domain *to,
                uint64_t buffer)
{
    struct memmap *map = malloc(sizeof *map);
    int error = map ? read_memmap(machine, d, map) : -ENOMEM;
    if (!error)
        error = xencomm_to_guest(machine, to, buffer, map,
                                 sizeof map->info + map->info.efi_memmap_size, 0);
    free(map);
    return error;
}

int map_from_guest(struct pv_machine *machine, const struct domain *d, uint64_t buffer,
                   struct efi_memory_desc *lines)
{
    struct xen_ia64_memmap_info info;
    int error = xencomm_from_guest(machine, d, &info, buffer, sizeof info, 0);
    if (error)
        return error;
    uint64_t size = info.efi_memmap_size;
    if (info.efi_memdesc_size != sizeof *lines || size == 0 || size % sizeof *lines ||
        size > PV_EFI_MAX_DESCRIPTORS * sizeof *lines)
        return -EINVAL;
    error = xencomm_from_guest(machine, d, lines, buffer, size, sizeof info);
    if (error)
        return error;
    unsigned count = (unsigned)(size / sizeof *lines);
    sort_map(lines, count);
    return pv_efi_check(lines, count) ? -EINVAL : (int)count;
}

int map_to_guest(struct pv_machine *machine, const struct domain *d, uint64_t buffer,
                 const struct efi_memory_desc *lines, unsigned count)
{
    const struct xen_ia64_memmap_info info = memmap_info(count);
    int error = xencomm_to_guest(machine, d, buffer, &info, sizeof info, 0);
    return error ? error
                 : xencomm_to_guest(machine, d, buffer, lines, info.efi_memmap_size, sizeof info);
}

int pv_ia64_machine_memory_map(struct pv_machine *machine, domid_t domid, uint64_t argument)
{
    RCU_SECTION(machine);
    const struct ia64_machine *ia64 = &machine->shared->ia64;
    const struct domain *d = find_live_domain(machine, NULL, domid);
    struct xen_memory_map_ia64 map;
    const struct xen_ia64_memmap_info info = memmap_info(ia64->efi_count);
    if (!d)
        return -ESRCH;
    if (!d->privileged)
        return -EINVAL; /* so does Xen here */
    if (d->abi != PV_ABI_IA64 || ia64->efi_count == 0)
        return -ENOSYS;
    int error = xencomm_from_guest(machine, d, &map, argument, sizeof map, 0);
    if (error)
        return error;
    if (map.nr_entries < sizeof info + info.efi_memmap_size)
        return -EINVAL;
    map.nr_entries = (uint32_t)(sizeof info + info.efi_memmap_size);
    error = map_to_guest(machine, d, map.buffer, ia64->efi_map, ia64->efi_count);
    return error ? error : xencomm_to_guest(machine, d, argument, &map, sizeof map, 0);
}
