/* What Xen and its builder put into a new ia64 domain. */
#include "pvdrivers/sim/ia64/ia64.h"

#include "pvdrivers/ring/abi_shared_info.h"
#include "pvdrivers/sim/ia64/firmware.h"
#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>
#include <stdlib.h>

#define PSR_BN (1ull << 44)
#define TIMER_MASKED (1ull << 16)
#define SMALLEST_VHPT (15ull << 2)
#define DEFAULT_SHARED_INFO 0xf500000000000000ull /* Xen's address of it while the guest runs */

static bool is_ia64(const struct domain *d)
{
    return d->abi == PV_ABI_IA64;
}

static bool sees_machine(struct pv_machine *machine, const struct domain *d)
{
    return d->domain_id == 0 && d->privileged && machine->shared->ia64.efi_count > 0;
}

static int build_map(struct pv_machine *machine, const struct domain *d,
                     struct efi_memory_desc *map)
{
    const struct ia64_machine *of = &machine->shared->ia64;
    uint64_t memory = d->physmap_end << IA64_PAGE_SHIFT;
    return sees_machine(machine, d) ? pv_efi_dom0_map(of->efi_map, of->efi_count, memory, memory,
                                                      map, PV_EFI_MAX_DESCRIPTORS)
                                    : pv_efi_domu_map(memory, map, PV_EFI_MAX_DESCRIPTORS);
}

/* ---- dom0's memory ----------------------------------------------------------------------------
 */

/* What the map does not have as memory of dom0's own, from `gfn` to `end`, is a hole in its
 * physmap. Whether there is anything else. */
static bool punch_holes(struct pv_machine *machine, struct domain *d,
                        const struct efi_memory_desc *map, unsigned count, uint64_t gfn,
                        uint64_t end)
{
    const uint64_t first = gfn;
    for (unsigned i = 0; i < count; i++) {
        uint64_t line = map[i].phys_addr >> IA64_PAGE_SHIFT;
        uint64_t line_end = md_end(&map[i]) >> IA64_PAGE_SHIFT;
        if (map[i].type != EFI_CONVENTIONAL_MEMORY || line_end <= gfn || line >= end)
            continue;
        release_pages(machine, d, gfn, line - gfn);
        gfn = line_end;
    }
    release_pages(machine, d, gfn, end - gfn);
    return gfn > first;
}

/* Below the magic pages and above them. */
static int shape_memory(struct pv_machine *machine, struct domain *d,
                        const struct efi_memory_desc *map, unsigned count)
{
    const uint64_t low = PV_IA64_FIRMWARE_END >> IA64_PAGE_SHIFT, high = PV_IA64_CONSOLE_PFN + 1;
    if (d->physmap_end <= high)
        return 0;
    punch_holes(machine, d, map, count, low, PV_IA64_MEMMAP_INFO_PFN);
    return punch_holes(machine, d, map, count, high, d->physmap_end) ? 0 : -ENOMEM;
}

/* ---- Magic pages ------------------------------------------------------------------------------
 */

static void fill_memmap_info(struct pv_machine *machine, const struct domain *d,
                             const struct efi_memory_desc *map, unsigned count)
{
    struct xen_ia64_memmap_info *info =
        frame_address(machine, gfn_to_mfn(machine, d, PV_IA64_MEMMAP_INFO_PFN));
    static_assert(sizeof *info + PV_EFI_MAX_DESCRIPTORS * sizeof *map <= IA64_PAGE_SIZE,
                  "one page, as Xen has it");
    *info = memmap_info(count);
    memcpy(info + 1, map, count * sizeof *map);
}

static void fill_shared_info(struct pv_machine *machine, const struct domain *d)
{
    struct shared_info_ia64 *info = domain_xenheap(machine, d, XENHEAP_SHARED_INFO);
    info->arch.start_info_pfn = PV_IA64_START_INFO_PFN;
    info->arch.memmap_info_num_pages = 1;
    info->arch.memmap_info_pfn = PV_IA64_MEMMAP_INFO_PFN;
}

/* As a vcpu begins: in bank 1, without translation, its timer masked. */
static void fill_mapped_regs(struct pv_machine *machine, const struct domain *d)
{
    for (unsigned i = 0; i < d->max_vcpus && i < PV_IA64_MAX_VCPUS; i++) {
        struct mapped_regs *page = mapped_regs(machine, d, i);
        page->interrupt_mask_addr =
            DEFAULT_SHARED_INFO + offsetof(struct shared_info_ia64, vcpu_info) +
            i * sizeof(struct vcpu_info_ia64) + offsetof(struct vcpu_info_ia64, evtchn_upcall_mask);
        page->vpsr = PSR_BN;
        page->banknum = 1;
        page->metaphysical_mode = 1;
        page->hpsr_dfh = 1;
        page->vcr.itv = TIMER_MASKED;
        page->vcr.pta = SMALLEST_VHPT;
    }
}

/* ---- The subsystem ----------------------------------------------------------------------------
 */

static int fill(struct pv_machine *machine, struct domain *d, struct efi_memory_desc *map)
{
    int count = build_map(machine, d, map);
    if (count < 0)
        return count;
    int error = sees_machine(machine, d) ? shape_memory(machine, d, map, (unsigned)count) : 0;
    if (error || d->tot_pages <= PV_IA64_CONSOLE_PFN)
        return error; /* a domain without room for magic pages has none, and no firmware */
    fill_firmware(frame_address(machine, gfn_to_mfn(machine, d, 0)), d->max_vcpus);
    fill_memmap_info(machine, d, map, (unsigned)count);
    fill_shared_info(machine, d);
    return 0;
}

static int create(struct pv_machine *machine, struct domain *d,
                  const struct pv_domain_config *config)
{
    (void)config; /* domain_set_shape has what it says */
    if (!is_ia64(d))
        return 0;
    struct efi_memory_desc *map = calloc(PV_EFI_MAX_DESCRIPTORS, sizeof *map);
    if (!map)
        return -ENOMEM;
    fill_mapped_regs(machine, d);
    int error = fill(machine, d, map);
    free(map);
    return error;
}

static uint64_t shared_size(const struct machine_layout *layout)
{
    return (PV_IA64_MAX_VCPUS << IA64_PAGE_SHIFT) + p2m_size(layout);
}

static uint64_t special_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                             bool write)
{
    if (!is_ia64(d))
        return NO_FRAME;
    uint64_t mfn = xen_page(machine, d, gfn); /* which Xen and the guest both write */
    return mfn != NO_FRAME ? mfn : assigned_page(machine, d, gfn, write);
}

static void init_domain(struct domain *d)
{
    sim_lock_init(&d->ia64.lock);
}

static void wipe(struct domain *d)
{
    WIPE_AFTER(d->ia64, lock);
}

const struct subsystem ia64_subsystem = {
    .repair = p2m_repair,
    .area_size = assigned_size,
    .shared_size = shared_size,
    .domain_init = init_domain,
    .domain_create = create,
    .domain_wipe = wipe,
    .physmap_changed = p2m_update,
    .special_page = special_page,
};
