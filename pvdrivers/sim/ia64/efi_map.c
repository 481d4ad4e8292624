/* A firmware's memory map, and the memory an operating system takes from it. */
#include "pvdrivers/sim/ia64/internal.h"

#include <errno.h>

static_assert(IA64_MAX_DESCRIPTORS == PV_EFI_MAX_DESCRIPTORS, "a machine's map");

bool md_is_usable(const struct efi_memory_desc *md)
{
    if (!(md->attribute & EFI_MEMORY_WB))
        return false;
    switch (md->type) {
    case EFI_LOADER_CODE:
    case EFI_LOADER_DATA:
    case EFI_BOOT_SERVICES_CODE:
    case EFI_BOOT_SERVICES_DATA:
    case EFI_CONVENTIONAL_MEMORY:
        return true;
    default:
        return false;
    }
}

int pv_efi_check(const struct efi_memory_desc *map, unsigned count)
{
    uint64_t end = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct efi_memory_desc *md = &map[i];
        if (md->type >= EFI_MAX_MEMORY_TYPE || md->phys_addr % (1 << EFI_PAGE_SHIFT) ||
            md->num_pages == 0 || md->num_pages > UINT64_MAX >> EFI_PAGE_SHIFT ||
            md->phys_addr < end || md_end(md) <= md->phys_addr)
            return -EINVAL;
        end = md_end(md);
    }
    return 0;
}

bool next_usable(const struct efi_memory_desc *map, unsigned count, unsigned *next,
                 struct pv_memory_extent *extent)
{
    unsigned i = *next;
    while (i < count && !md_is_usable(&map[i]))
        i++;
    if (i == count)
        return false;
    uint64_t end = extent->start = map[i].phys_addr;
    for (; i < count && md_is_usable(&map[i]) && map[i].phys_addr == end; i++)
        end = md_end(&map[i]);
    extent->size = end - extent->start;
    *next = i;
    return true;
}

/* ---- Granules --------------------------------------------------------------------------------
 * The identity map of cached memory has translations of a granule. One that covers a byte which is
 * not WB, or of which the firmware says nothing, must not be there: a cached access to such a byte
 * is a machine check. So memory in granules that are not WB from end to end is given up. */

/* The end of the WB memory that goes on from descriptor `i` without a gap. */
static uint64_t cached_until(const struct efi_memory_desc *map, unsigned count, unsigned i)
{
    uint64_t end = md_end(&map[i]);
    while (++i < count && map[i].attribute & EFI_MEMORY_WB && map[i].phys_addr == end)
        end = md_end(&map[i]);
    return end;
}

struct extents {
    struct pv_memory_extent *list;
    unsigned count, max;
};

static int add_extent(struct extents *extents, uint64_t start, uint64_t end)
{
    if (extents->count == extents->max)
        return -ENOSPC;
    extents->list[extents->count++] =
        (struct pv_memory_extent){.start = start, .size = end - start};
    return 0;
}

/* The usable memory of descriptors from `*next` on that lies in [low, high), whole pages of it. */
static int add_usable(struct extents *extents, const struct efi_memory_desc *map, unsigned count,
                      unsigned *next, uint64_t low, uint64_t high)
{
    struct pv_memory_extent piece;
    for (unsigned after = *next; next_usable(map, count, &after, &piece); *next = after) {
        if (piece.start >= high)
            return 0;
        uint64_t start = round_up(larger(piece.start, low), IA64_PAGE_SIZE);
        uint64_t end = round_down(smaller(piece.start + piece.size, high), IA64_PAGE_SIZE);
        int error = start < end ? add_extent(extents, start, end) : 0;
        if (error)
            return error;
    }
    return 0;
}

int pv_efi_usable_memory(const struct efi_memory_desc *map, unsigned count, uint64_t granule,
                         struct pv_memory_extent *extents, unsigned max)
{
    if (pv_efi_check(map, count) || granule < IA64_PAGE_SIZE || granule & (granule - 1))
        return -EINVAL;
    struct extents found = {extents, 0, max};
    unsigned next = 0;
    uint64_t done = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!(map[i].attribute & EFI_MEMORY_WB) || map[i].phys_addr < done)
            continue;
        done = cached_until(map, count, i);
        int error = add_usable(&found, map, count, &next, round_up(map[i].phys_addr, granule),
                               round_down(done, granule));
        if (error)
            return error;
    }
    return (int)found.count;
}

/* ---- The machine's ----------------------------------------------------------------------------
 */

static bool is_in_usable(const struct efi_memory_desc *map, unsigned count, uint64_t start,
                         uint64_t size)
{
    struct pv_memory_extent piece;
    for (unsigned next = 0; next_usable(map, count, &next, &piece);)
        if (piece.start <= start && start + size <= piece.start + piece.size)
            return true;
    return false;
}

static bool has_had_domains(struct pv_machine *machine)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++)
        if (domain_window(machine, (domid_t)domid)->generation)
            return true;
    return false;
}

int pv_machine_set_efi_map(struct pv_machine *machine, const struct efi_memory_desc *map,
                           unsigned count)
{
    struct machine *shared = machine->shared;
    if (count > IA64_MAX_DESCRIPTORS)
        return -E2BIG;
    if (pv_efi_check(map, count))
        return -EINVAL;
    for (uint32_t i = 0; i < shared->extent_count; i++)
        if (shared->extents[i].count &&
            !is_in_usable(map, count, shared->extents[i].start << FRAME_SHIFT,
                          shared->extents[i].count << FRAME_SHIFT))
            return -EINVAL;
    machine_lock(machine);
    int result = has_had_domains(machine) ? -EBUSY : 0;
    if (!result) {
        memcpy(shared->ia64.efi_map, map, count * sizeof *map);
        __atomic_store_n(&shared->ia64.efi_count, count, __ATOMIC_RELEASE);
    }
    machine_unlock(machine);
    return result;
}
