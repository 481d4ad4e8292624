/* Machine memory: frames, their owners, and each domain's physmap. */
#ifndef PVDRIVERS_SIM_MEMORY_MEMORY_H
#define PVDRIVERS_SIM_MEMORY_MEMORY_H

#include "pvdrivers/sim/core/machine.h"

/* Whether `mfn` is memory (in an extent or in the xenheap), not a hole. */
bool frame_exists(const struct machine *shared, uint64_t mfn);
/* Gives a domain a new page of zeros at `gfn`; false when there is no memory. */
bool populate_page(struct pv_machine *machine, struct domain *d, uint64_t gfn);
/* Frees a dying domain's pages; those a peer still uses follow with the last put_page. A step of
 * it: where the next begins, or 0 at the end. */
uint64_t release_domain_memory(struct pv_machine *machine, struct domain *d, uint64_t from);
/* Makes the references to a page of `owner`'s those of its flags and `others`, which nobody changes
 * meanwhile. Under machine.lock. */
void page_recount(struct pv_machine *machine, uint64_t mfn, const struct domain *owner,
                  uint32_t others);
/* ---- A page's way from one domain to another, all under machine.lock ---- */
/* Takes a page that nobody else uses out of its owner's physmap: 0, or -EBUSY. */
int page_take(struct pv_machine *machine, struct domain *owner, uint64_t gfn, uint64_t mfn);
void page_give(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn);
void page_free(struct pv_machine *machine, uint64_t mfn);

/* Gives a freed part of the memory file or the segment back to the host. */
void punch_memory(struct pv_machine *machine, uint64_t address, uint64_t size);
void punch_segment(struct pv_machine *machine, uint64_t offset, uint64_t size);

#endif
