/* Where Xen's own pages lie in a guest: from 2^40 on, far above its memory. */
#include "pvdrivers/ring/abi_shared_info.h"
#include "pvdrivers/sim/ia64/internal.h"

#define SHARED_INFO_PAGE 0
#define MAPPED_REGS_PAGE 1
#define GRANT_PAGE (MAPPED_REGS_PAGE + PV_IA64_MAX_VCPUS)

static_assert(PV_IA64_MAX_VCPUS == XEN_LEGACY_MAX_VCPUS_ia64, "a page of registers for each");

struct mapped_regs *mapped_regs(struct pv_machine *machine, const struct domain *d, unsigned vcpu)
{
    return (struct mapped_regs *)((uint8_t *)domain_shared(machine, d, SUBSYSTEM_IA64) +
                                  ((uint64_t)vcpu << IA64_PAGE_SHIFT));
}

static uint64_t frame_of(struct pv_machine *machine, const void *address)
{
    return (uint64_t)((const uint8_t *)address - machine->memory) >> FRAME_SHIFT;
}

uint64_t xen_page(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    uint64_t page = gfn - PV_IA64_SHARED_INFO_GFN;
    if (page == SHARED_INFO_PAGE)
        return frame_of(machine, domain_xenheap(machine, d, XENHEAP_SHARED_INFO));
    if (page - MAPPED_REGS_PAGE < PV_IA64_MAX_VCPUS && page - MAPPED_REGS_PAGE < d->max_vcpus)
        return frame_of(machine, mapped_regs(machine, d, (unsigned)(page - MAPPED_REGS_PAGE)));
    if (page - GRANT_PAGE < __atomic_load_n(&d->grant_table.nr_grant_frames, __ATOMIC_ACQUIRE))
        return frame_of(machine, domain_xenheap(machine, d, XENHEAP_GRANT_FRAMES)) +
               ((page - GRANT_PAGE) << FRAMES_PER_PAGE_SHIFT);
    return NO_FRAME;
}

bool is_beyond_memory(const struct domain *d, uint64_t gfn, uint64_t count)
{
    const uint64_t xens_end = PV_IA64_SHARED_INFO_GFN + GRANT_PAGE + PV_IA64_MAX_GRANT_FRAMES;
    return gfn >= d->physmap_end && gfn <= MAX_GFN && count <= MAX_GFN - gfn &&
           (gfn + count <= PV_IA64_SHARED_INFO_GFN || gfn >= xens_end);
}
