/* A domain's physmap as Xen/ia64's page table has it: an entry for each page of 16 KiB, in pages
 * that Xen shares with whom it is shown to. Entries are kept for domains whose table was shown to
 * somebody; others' are zeros. */
#include "pvdrivers/sim/ia64/internal.h"

#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>
#include <stdlib.h>

#define ENTRIES_PER_PAGE (IA64_PAGE_SIZE / sizeof(uint64_t))
#define STEP (1ull << 18) /* entries written under one hold of machine.lock */
#define TABLE_OFFSET ((uint64_t)PV_IA64_MAX_VCPUS << IA64_PAGE_SHIFT) /* behind mapped_regs */

#define PTE (_PAGE_P | _PAGE_A | _PAGE_D | _PAGE_ED | _PAGE_PL_1 | _PAGE_AR_RWX)

/* ---- The table ------------------------------------------------------------------------------- */

uint64_t p2m_size(const struct machine_layout *layout)
{
    uint64_t pages = layout->max_domain_pages >> FRAMES_PER_PAGE_SHIFT;
    return round_up(pages * sizeof(uint64_t), IA64_PAGE_SIZE);
}

static uint64_t *table_of(struct pv_machine *machine, const struct domain *d)
{
    return (uint64_t *)((uint8_t *)domain_shared(machine, d, SUBSYSTEM_IA64) + TABLE_OFFSET);
}

static bool is_shown(const struct domain *d)
{
    return __atomic_load_n(&d->ia64.p2m_shown, __ATOMIC_RELAXED);
}

static uint64_t pte(uint64_t frame, uint64_t flags)
{
    return frame << FRAME_SHIFT | PTE | flags;
}

/* Of a page that the physmap does not have. */
static uint64_t pte_of_io(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    struct assigned io;
    bool is_io = assigned_at(machine, d, gfn, &io) && io.kind == ASSIGNED_IO;
    return is_io ? pte(assigned_frame(&io, gfn), _PAGE_MA_UC) : 0;
}

static void store_run(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                      uint64_t pages, uint64_t mfn)
{
    uint64_t *entries = table_of(machine, d) + gfn;
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t entry = mfn == NO_FRAME
                             ? pte_of_io(machine, d, gfn + i)
                             : pte(mfn + (i << FRAMES_PER_PAGE_SHIFT), _PAGE_PGC_ALLOCATED);
        __atomic_store_n(&entries[i], entry, __ATOMIC_RELAXED); /* read under no lock */
    }
}

/* The physmap of a domain that is being taken apart is nobody's any more. */
void p2m_update(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t pages)
{
    if (!is_shown(d) || domain_is_dying(d) || gfn >= d->physmap_end)
        return;
    for (uint64_t end = gfn + smaller(pages, d->physmap_end - gfn); gfn < end;) {
        struct physmap_run run = physmap_run(machine, d, gfn);
        uint64_t here = smaller(run.pages, end - gfn);
        store_run(machine, d, gfn, here, run.mfn);
        gfn += here;
    }
}

void p2m_repair(struct pv_machine *machine)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++)
        p2m_update(machine, domain_window(machine, (domid_t)domid), 0, UINT64_MAX);
}

/* From the first on, changes are written too: what is written here stays true. */
static void show(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t end)
{
    __atomic_store_n(&d->ia64.p2m_shown, true, __ATOMIC_RELAXED);
    for (; gfn < end; gfn += STEP) {
        machine_lock(machine);
        p2m_update(machine, d, gfn, smaller(STEP, end - gfn));
        machine_unlock(machine);
    }
}

/* ---- Who sees it ----------------------------------------------------------------------------- */

/* The entries of `source` from `gfn` to `end`, whole pages of them, as seen at `place`. */
static struct assigned exposed(struct pv_machine *machine, const struct domain *source,
                               uint64_t gfn, uint64_t end, uint64_t place, uint64_t base)
{
    uint64_t address = (uint64_t)((uint8_t *)(table_of(machine, source) + gfn) - machine->memory);
    return (struct assigned){.gfn = place,
                             .count = (end - gfn) / ENTRIES_PER_PAGE,
                             .frame = address >> FRAME_SHIFT,
                             .base = base,
                             .generation = domain_generation(source),
                             .owner = source->domain_id,
                             .kind = ASSIGNED_P2M,
                             .readonly = true};
}

/* How many entries a domain's table has, in whole pages. */
static uint64_t table_end(const struct domain *d)
{
    return round_up(d->physmap_end, ENTRIES_PER_PAGE);
}

int64_t expose_p2m(const struct dom0vp *call)
{
    const uint64_t gfn = call->args[0], place = call->args[1], size = call->args[2];
    const uint64_t granule = call->args[3], pages = size >> IA64_PAGE_SHIFT;
    if (granule == 0 || granule % ENTRIES_PER_PAGE || size % IA64_PAGE_SIZE || pages % granule ||
        gfn % granule || place % granule)
        return -EINVAL;
    if (granule != ENTRIES_PER_PAGE)
        return -ENOSYS;
    if (gfn > table_end(call->d) || pages > table_end(call->d) - gfn ||
        !is_beyond_memory(call->d, place, pages / ENTRIES_PER_PAGE))
        return -EINVAL;
    struct assigned seen = exposed(call->machine, call->d, gfn, gfn + pages, place, place);
    show(call->machine, call->d, gfn, gfn + pages);
    int error = pages ? assign(call->machine, call->d, &seen, 1) : 0;
    return error == -EBUSY ? -EAGAIN : error; /* so does Xen here */
}

/* ---- Another domain's ------------------------------------------------------------------------ */

/* Makes ascending lines whole pages of entries, and those that then touch one: how many are left.
 */
static unsigned coalesce(struct efi_memory_desc *lines, unsigned count)
{
    const uint64_t span = ENTRIES_PER_PAGE << IA64_PAGE_SHIFT;
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        struct efi_memory_desc line = lines[i];
        uint64_t end = round_up(md_end(&line), span);
        line.phys_addr = round_down(line.phys_addr, span);
        if (kept && md_end(&lines[kept - 1]) >= line.phys_addr)
            line = lines[--kept];
        line.num_pages = (end - line.phys_addr) >> EFI_PAGE_SHIFT;
        lines[kept++] = line;
    }
    return kept;
}

static int expose_lines(const struct dom0vp *call, struct domain *source,
                        const struct efi_memory_desc *lines, unsigned count)
{
    const uint64_t base = call->args[0];
    struct assigned pieces[PV_EFI_MAX_DESCRIPTORS];
    for (unsigned i = 0; i < count; i++) {
        uint64_t gfn = lines[i].phys_addr >> IA64_PAGE_SHIFT;
        uint64_t end = md_end(&lines[i]) >> IA64_PAGE_SHIFT;
        uint64_t place = base + gfn / ENTRIES_PER_PAGE;
        pieces[i] = exposed(call->machine, source, gfn, end, place, base);
        if (place < base || !is_beyond_memory(call->d, place, pieces[i].count))
            return -EINVAL;
        show(call->machine, source, gfn, end);
    }
    return assign(call->machine, call->d, pieces, count);
}

static int64_t expose_map(const struct dom0vp *call, struct domain *source,
                          struct efi_memory_desc *lines)
{
    int count = map_from_guest(call->machine, call->d, call->args[2], lines);
    if (count < 0)
        return count;
    if (md_end(&lines[count - 1]) > table_end(source) << IA64_PAGE_SHIFT)
        return -EINVAL;
    unsigned kept = coalesce(lines, (unsigned)count);
    int error = map_to_guest(call->machine, call->d, call->args[2], lines, kept);
    return error ? error : expose_lines(call, source, lines, kept);
}

int64_t expose_foreign_p2m(const struct dom0vp *call)
{
    struct domain *source = named_domain(call->machine, NULL, call->args[1]);
    if (!source || source == call->d || source->abi != PV_ABI_IA64)
        return -EINVAL;
    struct efi_memory_desc *lines = calloc(PV_EFI_MAX_DESCRIPTORS, sizeof *lines);
    int64_t result = lines ? expose_map(call, source, lines) : -ENOMEM;
    free(lines);
    return result;
}

int64_t unexpose_foreign_p2m(const struct dom0vp *call)
{
    return unassign_exposed(call->machine, call->d, call->args[0], call->args[1]);
}
