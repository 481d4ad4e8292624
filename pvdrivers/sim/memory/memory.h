/* Machine memory: frames, their owners, and each domain's physmap. */
#ifndef PVDRIVERS_SIM_MEMORY_MEMORY_H
#define PVDRIVERS_SIM_MEMORY_MEMORY_H

#include "pvdrivers/sim/core/machine.h"

extern const struct subsystem memory_subsystem;

static inline struct page_info *frame_info(struct pv_machine *machine, uint64_t mfn)
{
    return (struct page_info *)((uint8_t *)machine->shared + machine->shared->layout.frame_table) +
           mfn;
}

/* What is in the frame's word now. */
static inline struct page_state page_state(struct pv_machine *machine, uint64_t mfn)
{
    return (struct page_state){
        .word = __atomic_load_n(&frame_info(machine, mfn)->state.word, __ATOMIC_ACQUIRE)};
}

/* An entry of a physmap is mfn plus one, so that fresh (zero) ones say "not populated". */
#define PHYSMAP_NOTHING 0

/* What is no page of 4 or 16 KiB of its own in the physmap: a part of a superpage, a page that is
 * not the domain's, or nothing. Not a part of the fast path. */
__attribute__((noinline, cold)) uint64_t gfn_to_other_mfn(struct pv_machine *machine,
                                                          const struct domain *d, uint64_t gfn);

/* First machine frame of a guest page, or NO_FRAME (hole, beyond the end, not populated). Beyond
 * the end there may be pages that are not the domain's own. */
static inline uint64_t gfn_to_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn)
{
    const uint64_t *pages = domain_area(machine, d, SUBSYSTEM_MEMORY);
    uint64_t entry =
        gfn < d->physmap_end ? __atomic_load_n(&pages[gfn], __ATOMIC_ACQUIRE) : PHYSMAP_NOTHING;
    return entry != PHYSMAP_NOTHING ? entry - 1 : gfn_to_other_mfn(machine, d, gfn);
}
/* The same of a page that is not written to: there are such that must not. */
uint64_t gfn_to_readable_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn);
/* The same of pages that are the domain's own alone. */
static inline uint64_t gfn_to_own_mfn(struct pv_machine *machine, const struct domain *d,
                                      uint64_t gfn)
{
    return gfn < d->physmap_end ? gfn_to_mfn(machine, d, gfn) : NO_FRAME;
}

/* Pages from a gfn on that lie side by side, or are not there (NO_FRAME): at least one. A caller
 * that goes through a physmap need not look at each page of a superpage. */
struct physmap_run {
    uint64_t mfn, pages;
    unsigned level; /* of the entry */
};
struct physmap_run physmap_run(struct pv_machine *machine, const struct domain *d, uint64_t gfn);

/* Whether the domain owns the page that begins at a frame, which exists. Takes machine.lock. */
bool is_page_of(struct pv_machine *machine, const struct domain *d, uint64_t mfn);

/* What the frame table says of a frame that exists: of who writes to it, only event channels. Takes
 * machine.lock. */
struct pv_page_info;
void page_facts(struct pv_machine *machine, uint64_t mfn, struct pv_page_info *info);

/* ---- The machine-to-physical table, m2p.c ---- */
/* Whether a machine frame is a page of the table, of which the chunk is true from then on. Takes
 * machine.lock. */
bool m2p_share(struct pv_machine *machine, uint64_t mfn);
/* The first frame of a chunk of it; of the one before where there is no memory, 0 if that has none
 * either; NO_FRAME behind the end. */
uint64_t m2p_chunk(const struct pv_machine *machine, uint64_t chunk);

/* ---- References, page.c ---- */
/* A second user of a page: the page stays allocated until put_page, whatever its owner does. Under
 * the owner's grant lock, with the page in grant_table.page_pending_repair until the user is on
 * record. */
int get_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner);
void put_page(struct pv_machine *machine, uint64_t mfn);
/* The same for the owner's event channels, under their lock; nothing when it is so already. */
int get_event_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner);
void put_event_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner);
/* Sets the number of references to a page of `owner`: those that its flags tell of, and `others`,
 * which do not change meanwhile. Under machine.lock. */
void page_recount(struct pv_machine *machine, uint64_t mfn, const struct domain *owner,
                  uint32_t others);

/* Takes pages from a domain, each piece under machine.lock: false at the first that is not there.
 */
bool release_pages(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t pages);

/* ---- A page's way from one domain to another, all under machine.lock ---- */
/* Takes a page that has no other user out of its owner's physmap: 0, or -EBUSY. */
int page_take(struct pv_machine *machine, struct domain *owner, uint64_t gfn, uint64_t mfn);
void page_give(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn);
void page_free(struct pv_machine *machine, uint64_t mfn);

#endif
