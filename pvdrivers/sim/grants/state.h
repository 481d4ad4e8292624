/*
 * What the grants room keeps of each domain: the hypervisor's side of its entries, and the handles
 * it holds on others' grants.
 *
 * Entries and status words are the guest's memory and change under the hypervisor's hands; what
 * counts is the active entry, the private record of a grant in use. It is made from one reading
 * of the guest's entry when the grant is first pinned, and holds one reference to the page until
 * the last pin goes. A copy holds the copier's own pages in the same way. Pins are derived state:
 * they are counted by the maptracks and by the copies under way, and can be recounted from them
 * after a process was killed inside a hypercall.
 */
#ifndef PVDRIVERS_SIM_GRANTS_STATE_H
#define PVDRIVERS_SIM_GRANTS_STATE_H

#include "pvdrivers/ring/grant_table.h"

#include <pthread.h>
#include <stdalign.h>

#define MAX_GRANT_FRAMES 64
#define MAX_GRANT_ENTRIES (MAX_GRANT_FRAMES * 2048) /* version 1 on 16 KiB pages */
#define MAX_MAPTRACK_FRAMES 1024
#define MAX_MAPTRACK_ENTRIES (MAX_MAPTRACK_FRAMES * 1024)
#define GRANT_BATCH 64 /* elements worked on under one hold of a lock */
#define COPY_RUN 32    /* pins one copy holds at once */
#define COPY_RUNS 64   /* copies from or to one domain's grants under way at once */

/* The four pin counters of an active entry, 8 bits each. */
#define GNTPIN_hstw_inc (1u << 0)
#define GNTPIN_hstr_inc (1u << 8)
#define GNTPIN_devw_inc (1u << 16)
#define GNTPIN_devr_inc (1u << 24)
#define GNTPIN_writers (0xFFu * GNTPIN_hstw_inc | 0xFFu * GNTPIN_devw_inc)

struct active_grant_entry {
    uint32_t pin;
    domid_t domid;       /* who was granted */
    domid_t trans_domid; /* transitive: who owns the page */
    grant_ref_t trans_gref;
    bool holds_page, is_sub_page, is_transitive;
    uint8_t pad;
    uint16_t start, length; /* what may be touched, bytes in the page; never mappable unless all */
    uint32_t pad1;
    uint64_t mfn, gfn;
};

/* A handle. Free: flags 0 and `ref` the next free one plus one. Everything but `owner` changes
 * only under the granting domain's lock, `flags` last. */
struct maptrack_entry {
    grant_ref_t ref;
    domid_t domid;   /* who granted */
    uint16_t flags;  /* GNTMAP_* of what is still mapped, or MAPTRACK_reserved */
    uint32_t owner;  /* grant_owner(): who is to unmap it */
    uint32_t notify; /* MAPTRACK_NOTIFY_*: what its granter is told by when it is unmapped */
};
#define MAPTRACK_NOTIFY_OFFSET 0x3fffu /* of the byte that is cleared */
#define MAPTRACK_NOTIFY_PORT_SHIFT 14  /* the mapper's port that is sent to, 17 bits; 0: none */
#define MAPTRACK_NOTIFY_CLEAR 0x80000000u
#define MAPTRACK_reserved 0x8000

/* The pins of a copy under way, and the pages of the copier's own that it uses. */
struct copy_run {
    uint32_t owner;   /* grant_owner(); 0: free */
    uint32_t waiting; /* ref + 1 of a transitive entry marked in use but not pinned yet */
    uint32_t count;
    uint64_t pins[COPY_RUN]; /* ref, ref | COPY_RUN_write, or mfn | COPY_RUN_page */
};
#define COPY_RUN_write 0x80000000u
#define COPY_RUN_page 0x8000000000000000u

/* Locks are initialised once per domid and never wiped. The guest that grants, and those who use
 * its grants, write to cache lines of their own, and what both only read is in a third. */
struct grant_table {
    pthread_mutex_t lock;
    alignas(64) pthread_mutex_t refs_lock; /* the guest's own account of its refs */
    /* Under refs_lock. */
    struct pv_gref_list free_refs;
    uint32_t deferred_first, deferred_last; /* ended by the guest, still in use by the peer */
    alignas(64) uint32_t gt_version;
    uint32_t max_version;
    uint32_t nr_grant_frames, max_grant_frames;
    alignas(64) uint32_t active_entries; /* pinned */
    uint32_t copies;                     /* copy_runs in use */
    /* Set while a page's reference count and those who hold it may disagree; mfn + 1. */
    uint64_t page_pending_repair;
};

struct maptrack {
    pthread_mutex_t lock;
    uint32_t limit;
    uint32_t first_free; /* plus one */
    uint32_t fresh;      /* handles from here on have never been used */
    uint32_t in_use;
};

/* The tables too big for struct domain; sparse, in the domain's window of the segment. */
struct grant_area {
    struct active_grant_entry active[MAX_GRANT_ENTRIES];
    struct copy_run copy_runs[COPY_RUNS];
    struct maptrack_entry maptrack[MAX_MAPTRACK_ENTRIES];
    uint32_t guest_next[MAX_GRANT_ENTRIES];  /* of free_refs and of the deferred */
    uint32_t guest_owner[MAX_GRANT_ENTRIES]; /* 0: not granted through grant_access */
};

#endif
