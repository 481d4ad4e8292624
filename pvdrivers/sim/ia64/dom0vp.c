/* The hypercall by which an ia64 guest works on its physmap: one table, by Xen's numbers. */
#include "pvdrivers/sim/ia64/internal.h"

#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>

#define MAX_OWNED_ORDER (18 + FRAMES_PER_PAGE_SHIFT) /* of a superpage, in frames */
#define NO_PAGE (-1)                                 /* INVALID_MFN, INVALID_M2P_ENTRY */

/* ---- I/O space --------------------------------------------------------------------------------
 */

/* Of no memory of the machine, absent memory included, and of what the firmware has there at most
 * I/O. */
static bool is_io(struct pv_machine *machine, uint64_t start, uint64_t end)
{
    const struct machine *shared = machine->shared;
    for (uint32_t i = 0; i < shared->extent_count; i++) {
        uint64_t memory = shared->extents[i].start << FRAME_SHIFT;
        if (start < memory + (shared->extents[i].size << FRAME_SHIFT) && memory < end)
            return false;
    }
    for (uint32_t i = 0; i < shared->ia64.efi_count; i++) {
        const struct efi_memory_desc *md = &shared->ia64.efi_map[i];
        bool io = md->type == EFI_MEMORY_MAPPED_IO || md->type == EFI_MEMORY_MAPPED_IO_PORT_SPACE ||
                  (md->attribute & EFI_MEMORY_RUNTIME && !(md->attribute & EFI_MEMORY_WB));
        if (start < md_end(md) && md->phys_addr < end && !io)
            return false;
    }
    return end <= shared->layout.xenheap || start >= shared->layout.memory_size;
}

/* Of what is not memory, in addresses below the end of memory too. */
static void note_change(const struct dom0vp *call, uint64_t gfn, uint64_t pages)
{
    machine_lock(call->machine);
    p2m_update(call->machine, call->d, gfn, pages);
    machine_unlock(call->machine);
}

/* (address, size): where it is for the guest, which is the same address. */
static int64_t ioremap(const struct dom0vp *call)
{
    uint64_t start = round_down(call->args[0], IA64_PAGE_SIZE), size = call->args[1];
    uint64_t end = round_up(call->args[0] + (size ? size : IA64_PAGE_SIZE), IA64_PAGE_SIZE);
    if (end <= start || end > MAX_GFN << IA64_PAGE_SHIFT || !is_io(call->machine, start, end))
        return -EINVAL;
    struct assigned io = {.gfn = start >> IA64_PAGE_SHIFT,
                          .count = (end - start) >> IA64_PAGE_SHIFT,
                          .frame = start >> FRAME_SHIFT,
                          .kind = ASSIGNED_IO};
    int error = assign(call->machine, call->d, &io, 1);
    note_change(call, io.gfn, io.count);
    return error && error != -EBUSY ? error : (int64_t)call->args[0]; /* it may be there already */
}

/* (base, sparse, number): the next one. Number 0 is the ports everybody knows. */
static int64_t add_io_space(const struct dom0vp *call)
{
    struct ia64_machine *ia64 = &call->machine->shared->ia64;
    if (call->args[0] == 0)
        return 0;
    machine_lock(call->machine);
    uint32_t number = ia64->io_spaces + 1;
    bool next = call->args[2] == number && number < IA64_MAX_IO_SPACES;
    if (next) {
        ia64->io_space[number] = (struct ia64_io_space){call->args[0], call->args[1] != 0};
        ia64->io_spaces = number;
    }
    machine_unlock(call->machine);
    return next ? 0 : -EINVAL;
}

/* ---- Translation ------------------------------------------------------------------------------
 */

/* (guest page): the machine's page. */
static int64_t phystomach(const struct dom0vp *call)
{
    struct assigned io;
    uint64_t gfn = call->args[0], frame = gfn_to_readable_mfn(call->machine, call->d, gfn);
    if (frame == NO_FRAME && assigned_at(call->machine, call->d, gfn, &io) &&
        io.kind == ASSIGNED_IO)
        frame = assigned_frame(&io, gfn);
    return frame == NO_FRAME ? NO_PAGE : (int64_t)(frame >> FRAMES_PER_PAGE_SHIFT);
}

/* The first frame of a page of the machine's, or NO_FRAME in a hole and beyond the end. */
static uint64_t existing_frame(struct pv_machine *machine, uint64_t page)
{
    uint64_t frame = page << FRAMES_PER_PAGE_SHIFT;
    bool exists =
        page <= UINT64_MAX >> IA64_PAGE_SHIFT && pv_machine_check_frame(machine, frame) == 0;
    return exists ? frame : NO_FRAME;
}

/* (machine's page): the guest page that it is in its owner. What the owner's physmap says counts;
 * where in the frames side by side one was told its guest page, is looked for. */
static int64_t machtophys(const struct dom0vp *call)
{
    struct pv_machine *machine = call->machine;
    uint64_t frame = existing_frame(machine, call->args[0]);
    if (frame == NO_FRAME)
        return NO_PAGE;
    for (unsigned order = FRAMES_PER_PAGE_SHIFT; order <= MAX_OWNED_ORDER; order++) {
        uint64_t head = round_down(frame, 1ull << order);
        struct page_state page = page_state(machine, head);
        if (pv_machine_check_frame(machine, head) || !(page.flags & PGC_allocated))
            continue;
        const struct domain *owner = domain_window(machine, page.owner);
        uint64_t gfn = __atomic_load_n(&frame_info(machine, head)->next, __ATOMIC_RELAXED) +
                       ((frame - head) >> FRAMES_PER_PAGE_SHIFT);
        if (owner->page_shift == IA64_PAGE_SHIFT && gfn_to_own_mfn(machine, owner, gfn) == frame)
            return (int64_t)gfn;
    }
    return NO_PAGE;
}

/* ---- Pages ------------------------------------------------------------------------------------
 */

/* (guest page, order): takes what is there away; of memory, frees it. */
static int64_t zap_physmap(const struct dom0vp *call)
{
    uint64_t gfn = call->args[0];
    int error = 0;
    if (call->args[1] != 0)
        return -ENOSYS;
    unassign(call->machine, call->d, gfn);
    note_change(call, gfn, 1);
    if (gfn >= call->d->physmap_end)
        return 0;
    machine_lock(call->machine);
    uint64_t mfn = domain_is_dying(call->d) ? NO_FRAME : gfn_to_mfn(call->machine, call->d, gfn);
    if (mfn != NO_FRAME && !(error = page_take(call->machine, call->d, gfn, mfn)))
        page_free(call->machine, mfn);
    machine_unlock(call->machine);
    return error;
}

/* (guest page, machine's page, flags, owner) */
static int64_t add_page(const struct dom0vp *call, const struct domain *owner, uint64_t frame)
{
    const uint64_t gfn = call->args[0], flags = call->args[2];
    if (flags & (ASSIGN_nocache | ASSIGN_pgc_allocated) || !is_beyond_memory(call->d, gfn, 1))
        return -EINVAL;
    if (frame == NO_FRAME || frame % (1 << FRAMES_PER_PAGE_SHIFT) ||
        !is_page_of(call->machine, owner, frame))
        return -EINVAL;
    struct assigned page = {.gfn = gfn,
                            .count = 1,
                            .frame = frame,
                            .generation = domain_generation(owner),
                            .owner = owner->domain_id,
                            .readonly = flags & ASSIGN_readonly};
    unassign(call->machine, call->d, gfn);
    return assign(call->machine, call->d, &page, 1);
}

/* Pages of its own are not, as in Xen; those of a domain with smaller pages are none. */
static int64_t find_owner(const struct dom0vp *call, const struct domain **owner)
{
    *owner = named_domain(call->machine, NULL, call->args[3]);
    if (!*owner)
        return -ESRCH;
    return *owner == call->d || (*owner)->page_shift != IA64_PAGE_SHIFT ? -EINVAL : 0;
}

static int64_t add_physmap(const struct dom0vp *call)
{
    const struct domain *owner;
    int64_t error = find_owner(call, &owner);
    return error ? error : add_page(call, owner, existing_frame(call->machine, call->args[1]));
}

static int64_t add_physmap_with_gmfn(const struct dom0vp *call)
{
    const struct domain *owner;
    int64_t error = find_owner(call, &owner);
    return error ? error
                 : add_page(call, owner, gfn_to_own_mfn(call->machine, owner, call->args[1]));
}

/* ---- The map ----------------------------------------------------------------------------------
 */

/* (domain, buffer): its memory map, from one reading of its page. */
static int64_t get_memmap(const struct dom0vp *call)
{
    const struct domain *d = named_domain(call->machine, call->d, call->args[0]);
    if (!d)
        return -ESRCH;
    if (d != call->d && !call->d->privileged)
        return -EPERM;
    return copy_memmap(call->machine, d, call->d, call->args[1]);
}

/* ---- The table --------------------------------------------------------------------------------
 */

static const struct {
    int64_t (*run)(const struct dom0vp *call);
    bool privileged;
} operations[] = {
    [IA64_DOM0VP_ioremap] = {ioremap, true},
    [IA64_DOM0VP_phystomach] = {phystomach, false},
    [IA64_DOM0VP_machtophys] = {machtophys, false},
    [IA64_DOM0VP_zap_physmap] = {zap_physmap, false},
    [IA64_DOM0VP_add_physmap] = {add_physmap, true},
    [IA64_DOM0VP_expose_p2m] = {expose_p2m, false},
    [IA64_DOM0VP_add_physmap_with_gmfn] = {add_physmap_with_gmfn, true},
    [IA64_DOM0VP_add_io_space] = {add_io_space, true},
    [IA64_DOM0VP_expose_foreign_p2m] = {expose_foreign_p2m, true},
    [IA64_DOM0VP_unexpose_foreign_p2m] = {unexpose_foreign_p2m, true},
    [IA64_DOM0VP_get_memmap] = {get_memmap, false},
};

int64_t pv_ia64_dom0vp_op(struct pv_machine *machine, domid_t domid, uint64_t cmd,
                          const uint64_t *args)
{
    RCU_SECTION(machine);
    struct domain *d = find_live_domain(machine, NULL, domid);
    if (!d)
        return -ESRCH;
    if (d->abi != PV_ABI_IA64 || cmd >= sizeof operations / sizeof *operations ||
        !operations[cmd].run)
        return -ENOSYS;
    if (operations[cmd].privileged && !d->privileged)
        return -EPERM;
    const struct dom0vp call = {machine, d, args};
    return operations[cmd].run(&call);
}
