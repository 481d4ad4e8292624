/*
 * The machine-to-physical table: by which gfn its owner names each frame, in pages that tools map.
 * That of a guest of a tebibyte takes 2 GiB. So a chunk of it, the entries of 1 GiB of memory, is
 * there from when somebody first maps a page of it, and kept true from then on.
 */
#include "pvdrivers/sim/machine_pages.h"
#include "pvdrivers/sim/memory/extents.h"
#include "pvdrivers/sim/memory/internal.h"

#define CHUNK_ORDER 18 /* frames */
#define CHUNK_SIZE (sizeof(uint64_t) << CHUNK_ORDER)
#define CHUNK_PAGES (CHUNK_SIZE >> FRAME_SHIFT)
static_assert(CHUNK_SIZE == M2P_CHUNK_SIZE, "2 MiB");

static uint64_t *entries(struct pv_machine *machine)
{
    return (uint64_t *)(machine->memory + machine->shared->layout.m2p);
}

static uint8_t *shown(struct pv_machine *machine, uint64_t chunk)
{
    return (uint8_t *)machine->shared + machine->shared->layout.m2p_shown + chunk;
}

static bool is_shown(struct pv_machine *machine, uint64_t chunk)
{
    return __atomic_load_n(shown(machine, chunk), __ATOMIC_ACQUIRE);
}

/* ---- Entries: under machine.lock ------------------------------------------------------------- */

/* Of frames of one chunk, of which `1 << order` are a page. */
static void set_entries(struct pv_machine *machine, uint64_t mfn, uint64_t frames, uint64_t gfn,
                        unsigned order)
{
    for (uint64_t i = 0; i < frames; i++)
        __atomic_store_n(&entries(machine)[mfn + i],
                         gfn == INVALID_M2P_ENTRY ? gfn : gfn + (i >> order), __ATOMIC_RELAXED);
}

void m2p_set(struct pv_machine *machine, uint64_t mfn, uint64_t frames, uint64_t gfn,
             unsigned order)
{
    if (!machine->shared->m2p_in_use)
        return;
    uint64_t chunk_frames = 1ull << CHUNK_ORDER;
    for (uint64_t done = 0; done < frames; done += chunk_frames) {
        uint64_t left = frames - done, count = left < chunk_frames ? left : chunk_frames;
        if (is_shown(machine, (mfn + done) >> CHUNK_ORDER))
            set_entries(machine, mfn + done, count,
                        gfn == INVALID_M2P_ENTRY ? gfn : gfn + (done >> order), order);
    }
}

/* Of the blocks between two frames, each of which begins where the one before ends. */
static void fill_from_blocks(struct pv_machine *machine, uint64_t mfn, uint64_t end)
{
    for (uint64_t head = block_of(machine, mfn); mfn < end; head = mfn) {
        struct page_state page = page_state(machine, head);
        uint64_t behind = head + (1ull << page.order), stop = behind < end ? behind : end;
        if (page.flags & PGC_allocated && !is_loose(machine, head)) {
            unsigned order = page_order(domain_window(machine, page.owner));
            uint64_t gfn = frame_info(machine, head)->next + ((mfn - head) >> order);
            set_entries(machine, mfn, stop - mfn, gfn, order);
        }
        mfn = stop;
    }
}

/* What is no block yet is free. */
static void fill_chunk(struct pv_machine *machine, uint64_t chunk)
{
    uint64_t start = chunk << CHUNK_ORDER, end = start + (1ull << CHUNK_ORDER);
    set_entries(machine, start, end - start, INVALID_M2P_ENTRY, 0);
    for (uint32_t i = 0; i < machine->shared->extent_count; i++) {
        const struct memory_extent *extent = &machine->shared->extents[i];
        uint64_t behind = extent->start + extent->opened;
        fill_from_blocks(machine, extent->start > start ? extent->start : start,
                         behind < end ? behind : end);
    }
}

void m2p_repair(struct pv_machine *machine)
{
    const struct machine_layout *layout = &machine->shared->layout;
    for (uint64_t chunk = 0; machine->shared->m2p_in_use && chunk < layout->m2p_size / CHUNK_SIZE;
         chunk++)
        if (is_shown(machine, chunk))
            fill_chunk(machine, chunk);
}

/* ---- Who maps it ----------------------------------------------------------------------------- */

/* The last chunk up to this one that has memory, or NO_FRAME. */
static uint64_t chunk_with_memory(const struct machine *shared, uint64_t chunk)
{
    uint64_t mfn = extents_last_before(shared, (chunk + 1) << CHUNK_ORDER);
    return mfn == NO_FRAME ? NO_FRAME : mfn >> CHUNK_ORDER;
}

bool m2p_share(struct pv_machine *machine, uint64_t mfn)
{
    struct machine *shared = machine->shared;
    uint64_t page = mfn - (shared->layout.m2p >> FRAME_SHIFT), chunk = page / CHUNK_PAGES;
    if (page >= shared->layout.m2p_size >> FRAME_SHIFT || chunk_with_memory(shared, chunk) != chunk)
        return false;
    if (is_shown(machine, chunk))
        return true;
    machine_lock(machine);
    shared->m2p_in_use = true;
    fill_chunk(machine, chunk);
    __atomic_store_n(shown(machine, chunk), 1, __ATOMIC_RELEASE);
    machine_unlock(machine);
    return true;
}

uint64_t m2p_chunk(const struct pv_machine *machine, uint64_t chunk)
{
    const struct machine *shared = machine->shared;
    if (chunk > (extents_end(shared) - 1) >> CHUNK_ORDER)
        return NO_FRAME;
    chunk = chunk_with_memory(shared, chunk);
    return chunk == NO_FRAME ? 0 : (shared->layout.m2p >> FRAME_SHIFT) + chunk * CHUNK_PAGES;
}
