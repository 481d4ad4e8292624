/* What the memory room keeps in the machine and in each domain. */
#ifndef PVDRIVERS_SIM_MEMORY_STATE_H
#define PVDRIVERS_SIM_MEMORY_STATE_H

#include "pvdrivers/types.h"

#include <pthread.h>

/* One entry per machine frame (Xen's struct page_info): who owns it and how often it is used. */
struct page_info {
    union {
        uint64_t word; /* these change together */
        struct {
            uint32_t count; /* references, of the owner and of each user */
            domid_t owner;
            uint16_t flags;
        };
    };
    uint64_t next; /* free list, or the owner's gfn */
};
#define PGC_allocated 1 /* in `flags`: the owner's reference; its physmap has the page */
#define PGC_leaving 2   /* the owner is giving it away: no new references */
#define PGC_events 8    /* one reference of the owner's event channels, however often they use it */
#define PGC_tail 4 /* second to fourth frame of a 16 KiB page, which the first one counts for */

struct memory_extent {
    uint64_t start, count; /* frames */
    uint64_t next;         /* first frame never handed out, relative to start */
};

/* In struct machine, under machine.lock. */
struct frame_allocator {
    uint64_t free_frame;  /* list of single free frames, through page_info.next */
    uint64_t free_block;  /* list of free, aligned 16 KiB blocks */
    uint64_t free_frames; /* all that can still be handed out */
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
