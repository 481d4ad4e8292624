/*
 * The structures of the shared segment, with Xen's names. All of it is addressed by offset or
 * index, never by pointer, since every process maps it elsewhere.
 *
 * Locks (all robust: a process killed inside a hypercall leaves a
 * lock the next taker repairs):
 *   machine.lock             domain table, frame allocator, who owns which frame, clients; taken
 *                            last, by machine_lock
 *   domain.grant_table.lock  one domain's grant table; never two at once but in ascending domid
 *   domain.maptrack.lock     the handles a domain holds on others' grants
 *   domain.event_channels.lock  one domain's ports; two at once in ascending domid
 * No lock is held while the broker is asked for an eventfd: it may be waiting for that lock.
 * What keeps a domain from being wiped while it is used: rcu.h.
 */
#ifndef PVDRIVERS_SIM_CORE_MACHINE_H
#define PVDRIVERS_SIM_CORE_MACHINE_H

#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/events/channel.h"
#include "pvdrivers/sim/grants/table.h"
#include "pvdrivers/sim/machine.h"

#include <pthread.h>

#define MACHINE_MAGIC 0x50564d4143483031ull /* "PVMACH01" */
#define FRAME_SHIFT 12                      /* machine frames are 4 KiB; a 16 KiB page is four */
#define FRAME_SIZE (1ull << FRAME_SHIFT)
#define MAX_EXTENTS 64
#define MAX_CLIENTS 1024
#define MAX_VCPUS 32
#define NO_FRAME UINT64_MAX

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

/* A process attached to the machine. */
struct client {
    uint32_t pid; /* 0: slot free */
    uint32_t generation;
    uint64_t readers[2];        /* its hypercalls under way, rcu.h */
} __attribute__((aligned(64))); /* no two processes write to one cache line */

struct vcpu {
    uint32_t id;
    bool online;
    uint64_t upcalls;
};

/* A domain. The big per-domain tables follow it in `struct domain_window`. */
struct domain {
    domid_t domain_id;
    uint8_t abi, page_shift;
    bool privileged;
    uint32_t builder; /* client + 1 who is making it; ABSENT till then, but the domid is taken */
    uint32_t state;   /* enum pv_domain_state */
    bool dead;        /* DYING and taken apart: only what others still hold of it keeps it */
    uint64_t ticket;  /* rcu_ticket() + 1 of one that is ABSENT but not wiped yet; 0: none */
    uint32_t shutdown_reason;
    uint32_t max_vcpus;
    uint64_t generation;
    uint64_t tot_pages, max_pages; /* of this domain's page size */
    struct vcpu vcpu[MAX_VCPUS];
    uint64_t accounts[PV_ACCOUNT_COUNT];

    struct grant_table grant_table;
    struct maptrack maptrack;
    struct event_channels event_channels;
    uint64_t physmap_changes; /* so that a process knows when its view of the physmap is old */
    struct guest_allocator {
        pthread_mutex_t lock;
        uint64_t next_gfn; /* where the search for free pages starts */
        uint64_t used_pages;
    } guest;
};

/* Which process has allocated a guest page: 0 none, else its client index + 1. */
typedef uint16_t guest_page_owner;

/* Guest pages the allocator leaves alone: start_info, the xenstore ring, the console ring … */
#define GUEST_RESERVED_PAGES 16

#define TRACE_RECORDS 65536u

/* The last TRACE_RECORDS events; `next` counts all that ever were. */
struct trace_buffer {
    bool enabled;
    uint64_t next;
};

/* Where things are in the segment, bytes from its start. */
struct machine_layout {
    uint64_t segment_size;
    uint64_t trace;       /* struct pv_trace_record[TRACE_RECORDS] */
    uint64_t frame_table; /* struct page_info[frames] */
    uint64_t domains;     /* windows of `domain_stride` bytes, one per domid */
    uint64_t domain_stride;
    uint64_t window_grants;      /* in a window: struct grant_area */
    uint64_t window_events;      /* in a window: struct event_area */
    uint64_t window_p2m;         /* in a window: uint64_t mfn[max_domain_pages] */
    uint64_t window_guest_pages; /* in a window: guest_page_owner[max_domain_pages] */
    uint64_t max_domain_pages;   /* 4 KiB frames */
    uint64_t memory_size;        /* bytes of the memory file */
    uint64_t xenheap;            /* byte address of the shared pages of all domains */
};

/* The head of the segment. */
struct machine {
    uint64_t magic;
    struct machine_layout layout;
    uint32_t max_domains;
    uint32_t extent_count;
    bool virtual_time;
    struct memory_extent extents[MAX_EXTENTS];
    pthread_mutex_t lock;
    uint64_t free_frame;  /* list of single free frames, through page_info.next */
    uint64_t free_block;  /* list of free, aligned 16 KiB blocks */
    uint64_t free_frames; /* all that can still be handed out */
    uint64_t now;         /* virtual time, ns */
    struct trace_buffer trace;
    struct rcu rcu;
    uint32_t client_end; /* no client from here on was ever in use */
    struct client clients[MAX_CLIENTS];
    struct event_handles event_handles; /* open handles of all processes, events/channel.h */
};

/* One process's attachment. */
struct pv_machine {
    struct machine *shared;
    uint8_t *memory; /* machine address 0 */
    int segment_fd, memory_fd;
    uint32_t client; /* index in machine.clients */
    int broker_fd;   /* connection to the process that serves the machine, or -1 in that process */
    struct broker *broker;       /* in the serving process */
    struct event_fds *event_fds; /* eventfds this process knows, events/channel.h */
    pthread_mutex_t broker_lock; /* one question to the broker at a time */
};

/*
 * The pages Xen shares with a domain: its own window at the end of the memory file, so that they
 * have machine addresses like any other. Only touched pages cost anything.
 */
#define XENHEAP_SHARED_INFO 0x0        /* 16 KiB */
#define XENHEAP_GRANT_FRAMES 0x4000    /* 64 frames of 16 KiB at most: 1 MiB */
#define XENHEAP_STATUS_FRAMES 0x104000 /* one uint16_t per v2 entry: 128 KiB at most */
#define XENHEAP_WINDOW 0x200000

static inline struct domain *domain_window(struct pv_machine *machine, domid_t domid)
{
    return (struct domain *)((uint8_t *)machine->shared + machine->shared->layout.domains +
                             domid * machine->shared->layout.domain_stride);
}

static inline struct grant_area *domain_grant_area(struct pv_machine *machine, struct domain *d)
{
    return (struct grant_area *)((uint8_t *)d + machine->shared->layout.window_grants);
}

static inline struct event_area *domain_event_area(struct pv_machine *machine, struct domain *d)
{
    return (struct event_area *)((uint8_t *)d + machine->shared->layout.window_events);
}

/* A page Xen shares with the domain, at one of the XENHEAP_ offsets. */
static inline void *domain_xenheap(struct pv_machine *machine, const struct domain *d,
                                   uint64_t offset)
{
    return machine->memory + machine->shared->layout.xenheap +
           (uint64_t)d->domain_id * XENHEAP_WINDOW + offset;
}

/* The bytes of a machine frame; the caller has checked that it exists. */
static inline void *frame_address(struct pv_machine *machine, uint64_t mfn)
{
    return machine->memory + (mfn << FRAME_SHIFT);
}

static inline struct page_info *frame_info(struct pv_machine *machine, uint64_t mfn)
{
    return (struct page_info *)((uint8_t *)machine->shared + machine->shared->layout.frame_table) +
           mfn;
}

/* What is in the frame's word now. */
static inline struct page_info page_state(struct pv_machine *machine, uint64_t mfn)
{
    return (struct page_info){
        .word = __atomic_load_n(&frame_info(machine, mfn)->word, __ATOMIC_ACQUIRE)};
}

static inline enum pv_domain_state domain_state(const struct domain *d)
{
    return (enum pv_domain_state)__atomic_load_n(&d->state, __ATOMIC_ACQUIRE);
}

/* In a read-side section: acquire, for the store that makes a new domain's fields visible; and
 * after the section is on record, for the store that takes the domain from sight (rcu.c). */
static inline bool domain_is_found(const struct domain *d)
{
    return __atomic_load_n(&d->state, __ATOMIC_SEQ_CST) != PV_DOMAIN_ABSENT;
}

/* Senders read it without a lock. */
static inline enum pv_abi domain_abi(const struct domain *d)
{
    return (enum pv_abi)__atomic_load_n(&d->abi, __ATOMIC_RELAXED);
}

/* Tells the domains apart that have had a domid. */
static inline uint64_t domain_generation(const struct domain *d)
{
    return __atomic_load_n(&d->generation, __ATOMIC_ACQUIRE);
}

/* Whether a domain of that generation lives. The state first: a later life's shows only after that
 * life's generation. */
static inline bool domain_is_life(const struct domain *d, uint64_t generation)
{
    enum pv_domain_state state = domain_state(d);
    return state != PV_DOMAIN_DYING && state != PV_DOMAIN_ABSENT &&
           domain_generation(d) == generation;
}

/* Zeros what follows `field`. A lock stays, since another domain's call may be holding it. */
#define WIPE_AFTER(part, field)                                                                    \
    memset(&(part).field + 1, 0, sizeof(part) - offsetof(typeof(part), field) - sizeof(part).field)

static inline void account(struct domain *d, enum pv_account kind, uint64_t n)
{
    __atomic_fetch_add(&d->accounts[kind], n, __ATOMIC_RELAXED);
}

static inline void trace(struct pv_machine *machine, enum pv_trace_event event, domid_t domid,
                         uint32_t a, uint64_t b, uint64_t c)
{
    if (__atomic_load_n(&machine->shared->trace.enabled, __ATOMIC_RELAXED))
        pv_machine_trace(machine, event, domid, a, b, c);
}

/* machine.c: processes. MAX_CLIENTS when there is no room. */
uint32_t client_join(struct pv_machine *machine, uint32_t pid);
void client_leave(struct pv_machine *machine, uint32_t client);

/* lock.c: a robust lock in shared memory. sim_lock returns true when the last holder died
 * inside: what it protects may be half done and the caller repairs it. */
void sim_lock_init(pthread_mutex_t *lock);
bool sim_lock(pthread_mutex_t *lock);
void sim_unlock(pthread_mutex_t *lock);

/* guest_memory.c: the pages a process of the domain allocated, when it dies. */
void guest_memory_release_client(struct pv_machine *machine, uint32_t client);

/* domain.c */
/* The domain, when it exists (any state but ABSENT), else NULL. DOMID_SELF is not resolved. In a
 * read-side section (rcu.h), to the end of which the result may be used. */
struct domain *find_domain(struct pv_machine *machine, domid_t domid);
/* Lets go of dying domains whose last page has come back, once nobody uses them. Under no lock. */
void reap_domains(struct pv_machine *machine);
void domain_set_state(struct pv_machine *machine, struct domain *d, enum pv_domain_state state);

/* domain_teardown.c */
/* The end of a domain, in steps: each is bounded, and neither a lock nor a read-side section lasts
 * from one to the next (XSA-344, 380). */
struct teardown {
    domid_t domid;
    uint64_t generation;
    unsigned part;
    uint64_t next; /* where in that part */
};
/* From here on the domain is DYING. 0, or -ESRCH. */
int domain_teardown_begin(struct pv_machine *machine, domid_t domid, struct teardown *teardown);
/* True while there is more to do. */
bool domain_teardown_step(struct pv_machine *machine, struct teardown *teardown);
/* Takes apart a domain that was not finished. */
void domain_abandon(struct pv_machine *machine, struct domain *d);
/* The same with what a dead process was making. */
void domain_release_client(struct pv_machine *machine, uint32_t client);

/* memory.c: pages. */
/* Takes machine.lock, and puts right what a holder that died has left of the frames' state. */
void machine_lock(struct pv_machine *machine);
void machine_unlock(struct pv_machine *machine);
/* First machine frame of a guest page, or NO_FRAME (hole, beyond the end, not populated). */
uint64_t gfn_to_mfn(struct pv_machine *machine, const struct domain *d, uint64_t gfn);
/* A second user of a page: the page stays allocated until put_page, whatever its owner does. Under
 * the owner's grant lock, with the page in grant_table.page_pending_repair until the user is on
 * record. */
int get_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner);
void put_page(struct pv_machine *machine, uint64_t mfn);
/* The same for the owner's event channels, under their lock; nothing when it is so already. */
int get_event_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner);
void put_event_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner);

#endif
