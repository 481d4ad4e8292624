/* What the memory room keeps in the machine and in each domain. */
#ifndef PVDRIVERS_SIM_MEMORY_STATE_H
#define PVDRIVERS_SIM_MEMORY_STATE_H

#include "pvdrivers/types.h"

#include <pthread.h>

/* What of a page changes together. */
struct page_state {
    union {
        uint64_t word;
        struct {
            uint32_t count; /* references, of the owner and of each user */
            domid_t owner;
            uint8_t order;
            uint8_t flags;
        };
    };
};

/*
 * One entry per machine frame (Xen's struct page_info): who owns it and how often it is used.
 *
 * Memory is blocks of 2^order frames, aligned to their size. The entry of a block's first frame,
 * its head, speaks for all of it; what the others hold has no meaning. So an extent can be walked
 * from head to head, whatever a killed process has left: heads inside a block are written first,
 * then the head is given the smaller order; and a head is given a larger order in one store.
 *
 * A block is free, or offlined, or a page of a domain, or a superpage: many pages of a domain that
 * none has referred to singly so far. A superpage has no references, and so no fast path takes it
 * for a page.
 */
struct page_info {
    struct page_state state;
    uint64_t next; /* owned: the owner's gfn, or PAGE_LOOSE; free: the next of its list, plus one */
    uint64_t prev; /* free: the one before, plus one; 0: the first */
};
/* In `next`, of a page that no gfn of its owner names: with the next such page, plus one. */
#define PAGE_LOOSE (1ull << 63)
#define PGC_allocated 1 /* in `flags`: the owner's reference; its physmap has the page */
#define PGC_leaving 2   /* the owner is giving it away: no new references */
#define PGC_free 4
#define PGC_events 8 /* one reference of the owner's event channels, however often they use it */
#define PGC_expanding 16 /* a superpage that is being made pages or smaller superpages */
#define PGC_offlining 32 /* a page that is offlined when it is freed */
#define PGC_offlined 64  /* without owner or reference, and not to be given out */
#define PGC_broken 128   /* and never again: its memory is bad */

/* The machine-to-physical table is made in chunks: the entries of 1 GiB of memory. */
#define M2P_CHUNK_SIZE (2ull << 20)

#define MAX_ORDER 38  /* 2^50 bytes, all that IA-64 can address */
#define MAX_NODES 256 /* Xen/ia64's NODES_SHIFT is 8; XENMEMF_node has 8 bits too */

/* Memory below 4 GiB is kept for who needs it, as long as there is other memory. */
enum { ZONE_DMA32, ZONE_NORMAL, ZONE_COUNT };
#define DMA32_FRAMES (1ull << 20)

/* Memory without a hole, of one node and one zone. What is behind the first `opened` frames is free
 * and no block yet: a block's entry costs memory of the host. One that is absent, and may be added,
 * has a `count` of 0; else that is its size. */
struct memory_extent {
    uint64_t start, size, count, opened; /* frames */
    uint16_t node, zone;
};

/* Free blocks of one node and zone, under machine.lock. All zeros: none. */
struct heap {
    uint64_t free_frames; /* in blocks, and in what is no block yet */
    uint64_t offlined_frames;
    uint64_t orders;               /* bit k: `first[k]` is not empty */
    uint64_t first[MAX_ORDER + 1]; /* plus one */
};

/* In struct domain: the page allocator of the guest's kernel, shared by its processes. The lock is
 * initialised once per domid and never wiped. */
struct guest_allocator {
    pthread_mutex_t lock;
    uint64_t next_gfn; /* where the search for free pages starts */
    uint64_t used_pages;
};

/* Which process has allocated a guest page: 0 none, else its client index + 1. */
typedef uint16_t guest_page_owner;

/* Guest pages the allocator leaves alone: start_info, the xenstore ring, the console ring … */
#define GUEST_RESERVED_PAGES 16

#endif
