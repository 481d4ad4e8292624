/* A vcpu's context as a toolstack reads and sets it: what is kept of it with the vcpus, and what
 * the page of privileged registers has. */
#include "pvdrivers/sim/ia64/internal.h"

#include "pvdrivers/sim/machine_vcpus.h"

#include <errno.h>

#define PHYSICAL_STACKED 96 /* general registers: an Itanium's that are stacked */
#define RNAT_SLOT 63        /* each 64th slot of a register stack's memory has the others' NaTs */

/* Stacked registers from `start` to `end` of a backing store. */
static uint64_t stacked_registers(uint64_t start, uint64_t end)
{
    uint64_t slots = (end - start) / 8;
    return slots - (start / 8 % 64 + slots) / (RNAT_SLOT + 1);
}

/* Whether those that are still in the processor have room where they lie as they would in memory.
 */
static bool fits(const struct vcpu_guest_context_regs *regs)
{
    uint64_t registers = stacked_registers(regs->ar.bspstore, regs->ar.bsp);
    uint64_t slots = registers + (regs->rbs_voff % 64 + registers) / RNAT_SLOT;
    return slots <= sizeof regs->rbs / sizeof regs->rbs[0];
}

/* What a vcpu is given of its context in the page that the guest writes too. */
static void write_page(struct mapped_regs *page, const struct vcpu_guest_context_ia64 *context)
{
    for (unsigned region = 0; region < 8; region++)
        if (context->regs.rr[region])
            page->rrs[region] = context->regs.rr[region];
    if (context->flags & VGCF_EXTRA_REGS)
        page->vcr.iva = context->regs.cr.iva;
}

int pv_ia64_vcpu_set_context(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                             const struct vcpu_guest_context_ia64 *context)
{
    RCU_SECTION(machine);
    const struct vcpu_guest_context_regs *regs = &context->regs;
    struct domain *d = find_live_domain(machine, NULL, domid);
    if (!d)
        return -ESRCH;
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    if (d->abi != PV_ABI_IA64 || vcpu >= PV_IA64_MAX_VCPUS || !fits(regs) ||
        (regs->num_phys_stacked && regs->num_phys_stacked != PHYSICAL_STACKED))
        return -EINVAL;
    write_page(mapped_regs(machine, d, vcpu), context);
    return pv_vcpu_set_context(machine, domid, vcpu, context);
}

/* Those that the guest may have changed in its page since. */
static void read_page(const struct mapped_regs *page, struct vcpu_guest_context_regs *regs)
{
    const uint64_t itm = regs->cr.itm; /* Xen keeps the timer, and the page has none */
    regs->cr = page->vcr;
    regs->cr.itm = itm;
    memcpy(regs->rr, page->rrs, sizeof regs->rr);
}

int pv_ia64_vcpu_get_context(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                             struct vcpu_guest_context_ia64 *context)
{
    RCU_SECTION(machine);
    struct domain *d = find_live_domain(machine, NULL, domid);
    if (!d)
        return -ESRCH;
    if (d->abi != PV_ABI_IA64 || vcpu >= PV_IA64_MAX_VCPUS)
        return -EINVAL;
    int error = pv_vcpu_get_context(machine, domid, vcpu, context);
    if (error)
        return error;
    read_page(mapped_regs(machine, d, vcpu), &context->regs);
    context->regs.num_phys_stacked = PHYSICAL_STACKED;
    context->privregs_pfn = PV_IA64_MAPPED_REGS_GFN + vcpu;
    return 0;
}
