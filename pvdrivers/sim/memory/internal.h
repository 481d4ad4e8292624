/* What the files of the memory room share: frames.c (the allocator), page.c (references),
 * memory.c (physmaps and owners, a domain's memory). All of it under machine.lock. */
#ifndef PVDRIVERS_SIM_MEMORY_INTERNAL_H
#define PVDRIVERS_SIM_MEMORY_INTERNAL_H

#include "pvdrivers/sim/memory/memory.h"

static inline unsigned frames_per_page(const struct domain *d)
{
    return 1u << (d->page_shift - FRAME_SHIFT);
}

/* Others read the word without the lock. Release: what was done to the page is done by then. */
static inline void set_page(struct pv_machine *machine, uint64_t mfn, struct page_info page)
{
    __atomic_store_n(&frame_info(machine, mfn)->word, page.word, __ATOMIC_RELEASE);
}

/* ---- frames.c ---- */
void frames_init(struct machine *shared, const struct pv_machine_config *config);
/* The first frame of a page for the domain, or NO_FRAME. Its frames still count as free. */
uint64_t alloc_page(struct pv_machine *machine, const struct domain *d);
/* How many frames the page that begins at `mfn` has. */
unsigned page_frames(struct pv_machine *machine, uint64_t mfn);
/* Frees `frames` consecutive frames, in pages of `step`. */
void free_run(struct pv_machine *machine, uint64_t mfn, uint64_t frames, unsigned step);

/* ---- page.c ---- */
/* Gives up a reference, and the flags that tell of it; true when it was the last. */
bool drop_reference(struct pv_machine *machine, uint64_t mfn, uint16_t flags);

#endif
