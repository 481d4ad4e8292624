/* What the files of the memory room share: heap.c (free memory), free_memory.c (how much of it),
 * physmap.c (gfn to mfn), page.c (references), memory.c (owners, and how a domain loses pages),
 * populate.c (how it gets them), exchange.c (both), loose.c (pages without a gfn), offline.c (pages
 * that are not to be used again). All of it under machine.lock, unless it says otherwise. */
#ifndef PVDRIVERS_SIM_MEMORY_INTERNAL_H
#define PVDRIVERS_SIM_MEMORY_INTERNAL_H

#include "pvdrivers/sim/memory/memory.h"

/* Of a page of the domain. */
static inline unsigned page_order(const struct domain *d)
{
    return d->page_shift - FRAME_SHIFT;
}

/* What the entry of a page in use by no other says. */
static inline struct page_state owned_page(const struct domain *d)
{
    return (struct page_state){
        .count = 1, .owner = d->domain_id, .order = (uint8_t)page_order(d), .flags = PGC_allocated};
}

/* Others read the word without the lock. Release: what was done to the page is done by then. */
static inline void set_page(struct pv_machine *machine, uint64_t mfn, struct page_state page)
{
    __atomic_store_n(&frame_info(machine, mfn)->state.word, page.word, __ATOMIC_RELEASE);
}

/* Of a page that others may be referring to. */
static inline void set_flags(struct pv_machine *machine, uint64_t mfn, uint8_t flags)
{
    struct page_state more = {.flags = flags};
    __atomic_fetch_or(&frame_info(machine, mfn)->state.word, more.word, __ATOMIC_ACQ_REL);
}

static inline void clear_flags(struct pv_machine *machine, uint64_t mfn, uint8_t flags)
{
    struct page_state fewer = {.flags = flags};
    __atomic_fetch_and(&frame_info(machine, mfn)->state.word, ~fewer.word, __ATOMIC_ACQ_REL);
}

/* ---- heap.c ---- */
/* Of a new machine, whose extents there are. */
void heap_init(struct machine *shared);
struct heap *heap_of(struct machine *shared, unsigned node, unsigned zone);
struct heap *heap_of_extent(struct machine *shared, const struct memory_extent *extent);
/* Adds to free memory what of the extent is no block yet. */
void heap_count_unopened(struct machine *shared, const struct memory_extent *extent);
/* The head of a block of the node, or of one of the next, `nodes` in all; from a zone not above
 * `last_zone`. NO_FRAME: there is none. It says PGC_free, but is in no list. */
uint64_t heap_alloc(struct pv_machine *machine, unsigned order, unsigned node, unsigned nodes,
                    unsigned last_zone);
/* Makes such a block many of that order. */
void heap_cut(struct pv_machine *machine, uint64_t mfn, uint64_t blocks, unsigned order);
/* Frees what is zeros, and returns the head of the free block that it is part of then. */
uint64_t heap_free(struct pv_machine *machine, uint64_t mfn, unsigned order);
/* Gives zeros to the frames, which are whole blocks without owner or reference, and frees them. */
void free_run(struct pv_machine *machine, uint64_t mfn, uint64_t frames);
/* The frame, which is memory, is in a block from then on. */
void heap_open_to(struct pv_machine *machine, uint64_t mfn);
/* Takes a frame out of the free block that it is in. It says PGC_free, but is in no list. */
void heap_take_frame(struct pv_machine *machine, uint64_t head, uint64_t mfn);
/* Makes the lists of free blocks again. `repair_block` brings one that is not free in order, frees
 * it if it has no reference, and returns the head of the block that its first frame is in then. */
void heap_repair(struct pv_machine *machine,
                 uint64_t (*repair_block)(struct pv_machine *machine, uint64_t mfn));

/* ---- free_memory.c ---- */
/* The node with the most free memory. */
unsigned heap_roomiest_node(struct pv_machine *machine);
/* Whether so many free frames may be the domain's, others' claims considered. */
bool claims_leave(struct pv_machine *machine, const struct domain *d, uint64_t frames);
/* The domain has so many pages more, or fewer, and of its claim that is left. */
void count_pages(struct pv_machine *machine, struct domain *d, uint64_t pages);
void claim_drop(struct pv_machine *machine, struct domain *d);
/* When all domains' pages have been counted. */
void claims_recount(struct pv_machine *machine);

/* ---- page_facts.c ---- */
/* The head of the block that the frame is in, or NO_FRAME: a hole, or no block yet. */
uint64_t block_of(struct pv_machine *machine, uint64_t mfn);

/* ---- offline.c ---- */
/* A block that is in no list, without owner or reference, is offlined. */
void retire_block(struct pv_machine *machine, uint64_t mfn);

/* ---- m2p.c ---- */
/* Frames side by side, of which `1 << order` are a page, are their owner's from `gfn` on, or
 * INVALID_M2P_ENTRY. */
void m2p_set(struct pv_machine *machine, uint64_t mfn, uint64_t frames, uint64_t gfn,
             unsigned order);
/* When the blocks say who has what. */
void m2p_repair(struct pv_machine *machine);

/* ---- physmap.c ---- */
uint64_t physmap_size(const struct machine_layout *layout);
/* An entry of level 0 is a page, of level 1 a superpage of 512 pages, of level 2 one of 512 times
 * 512, or the word that says that the level below has the entries. */
#define P2M_LEVELS 3
#define P2M_LEVEL_SHIFT 9
/* True when a block with that many pages (a power of two) can be one entry of that level. */
bool physmap_takes(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                   unsigned level);
void physmap_set(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned level,
                 uint64_t mfn);
/* `mfn`: the first frame of what is there. */
void physmap_clear(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned level,
                   uint64_t mfn);
/* The same entry, but the pages have been in the physmap already. */
void physmap_store(struct pv_machine *machine, const struct domain *d, uint64_t gfn, unsigned level,
                   uint64_t mfn);
/* What the next level has is in force instead of the superpage's entry. */
void physmap_open_level(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned level);

/* ---- populate.c ---- */
#define MAX_EXTENT_ORDER ((P2M_LEVELS - 1) * P2M_LEVEL_SHIFT) /* pages */
/* Whether pages that come have room: nothing is there, or what is leaving under this hold of the
 * lock. */
bool is_vacant(struct pv_machine *machine, const struct domain *d, uint64_t gfn, uint64_t pages);
/* A block of that many frames as mem_flags want it, or NO_FRAME. */
uint64_t alloc_extent(struct pv_machine *machine, const struct domain *d, unsigned order,
                      uint32_t flags);
/* Gives the domain such a block, of that many pages. */
void give_block(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t mfn,
                unsigned order);
int populate_domain(struct pv_machine *machine, struct domain *d,
                    const struct pv_domain_config *config);
/* These two take machine.lock. Pages from `gfn` to `end`, where none are, in the largest blocks
 * there are: up to which gfn, if the machine has no more or the domain may have no more. */
uint64_t populate_range(struct pv_machine *machine, struct domain *d, uint64_t gfn, uint64_t end);
/* How many extents; without gfns, their pages are loose. */
struct pv_memory_extents;
uint64_t populate_extents(struct pv_machine *machine, struct domain *d,
                          const struct pv_memory_extents *extents);

/* ---- memory.c ---- */
/* The page is leaving, so that nobody can begin to use it: false when somebody uses it, or it is
 * leaving already. */
bool page_leave(struct pv_machine *machine, const struct domain *owner, uint64_t mfn);
/* Consecutive frames, which are given back in one go. */
struct frame_run {
    uint64_t start, frames;
};
/* The owner's reference goes; a page that others use follows with the last put_page. */
void release_page(struct pv_machine *machine, const struct domain *d, uint64_t mfn,
                  struct frame_run *run);

/* ---- reservation.c ---- */
/* The domain that the caller names, and may: or NULL with *error. In a read-side section. */
struct domain *memory_target(struct pv_machine *machine, domid_t caller, domid_t domid, int *error);

/* ---- memory_map.c ---- */
uint64_t memory_area_size(const struct machine_layout *layout);

/* ---- exchange.c ---- */
struct pv_memory_exchange;
int exchange_pages(struct pv_machine *machine, struct domain *d,
                   const struct pv_memory_exchange *exchange);

/* ---- superpage.c ---- */
static inline unsigned superpage_order(const struct domain *d, unsigned level)
{
    return page_order(d) + level * P2M_LEVEL_SHIFT;
}
/* Makes one of smaller ones or of pages, or finishes that. */
void superpage_expand(struct pv_machine *machine, uint64_t head);
/* Expands until the domain's page at `mfn` has an entry of its own. */
void superpage_expand_to(struct pv_machine *machine, const struct domain *d, uint64_t mfn);

/* ---- loose.c ---- */
/* A page in use by no other gets an owner, but no gfn. */
void loose_give(struct pv_machine *machine, struct domain *d, uint64_t mfn);
/* The next page of a domain that is being taken apart, which has it no longer, or NO_FRAME. */
uint64_t loose_take(struct pv_machine *machine, struct domain *d);
static inline bool is_loose(struct pv_machine *machine, uint64_t mfn)
{
    return frame_info(machine, mfn)->next & PAGE_LOOSE;
}
/* Puts one that is on its owner's account on its list, which is being made anew. */
void loose_link(struct pv_machine *machine, struct domain *d, uint64_t mfn);

/* ---- dump.c ---- */
void memory_dump(struct pv_machine *machine);

/* ---- page.c ---- */
/* Gives up a reference, and the flags that tell of it; true when it was the last. */
bool drop_reference(struct pv_machine *machine, uint64_t mfn, uint8_t flags);
/* A superpage has an owner, but no reference to give up. */
void drop_owner(struct pv_machine *machine, uint64_t head);

#endif
