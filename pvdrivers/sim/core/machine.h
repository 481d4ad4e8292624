/*
 * The machine: the shared segment, with Xen's names, and a process's attachment to it. All of the
 * segment is addressed by offset or index, never by pointer, since every process maps it elsewhere.
 *
 * Locks (all robust: a process killed inside a hypercall leaves a
 * lock the next taker repairs):
 *   machine.lock             domain table, free memory, who owns which frame, clients; taken
 *                            after those of domains, by machine_lock
 *   domain.guest.lock        the guest's page allocator
 *   domain.grant_table.refs_lock  the guest's own account of its grant refs
 *   domain.grant_table.lock  one domain's grant table; never two at once but in ascending domid
 *   domain.maptrack.lock     the handles a domain holds on others' grants
 *   domain.event_channels.lock  one domain's ports; two at once in ascending domid
 *   domain.ia64.lock         what lies beyond its physmap; taken last, after machine.lock too
 *   machine.timers.lock      when timers of vcpus and watchdogs expire; nothing is taken under it
 *   machine.scheduler.lock   CPUs and who runs on them; taken after machine.lock
 *   machine.xentrace.lock    the trace buffers of the CPUs; taken after the scheduler's
 *   machine.console.lock     the log; taken last of all
 * No lock is held while the broker is asked for an eventfd: it may be waiting for that lock.
 * What keeps a domain from being wiped while it is used: rcu.h.
 */
#ifndef PVDRIVERS_SIM_CORE_MACHINE_H
#define PVDRIVERS_SIM_CORE_MACHINE_H

#include "pvdrivers/sim/console/state.h"
#include "pvdrivers/sim/core/domain.h"
#include "pvdrivers/sim/core/lock.h"
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/core/subsystem.h"
#include "pvdrivers/sim/machine.h"
#include "pvdrivers/sim/xentrace/state.h"

#include <pthread.h>

#define MACHINE_MAGIC 0x50564d4143484d36ull /* "PVMACHM6": another layout, another number */
#define FRAME_SHIFT 12                      /* machine frames are 4 KiB; a 16 KiB page is four */
#define FRAME_SIZE (1ull << FRAME_SHIFT)
#define MAX_EXTENTS 1024
#define MAX_CLIENTS 1024
#define NO_FRAME UINT64_MAX

/* A process attached to the machine. */
struct client {
    uint32_t pid; /* 0: slot free */
    uint32_t generation;
    uint64_t readers[2];        /* its hypercalls under way, rcu.h */
} __attribute__((aligned(64))); /* no two processes write to one cache line */

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
    uint64_t heaps;       /* struct heap[nodes][ZONE_COUNT] */
    uint64_t frame_table; /* struct page_info[frames] */
    uint64_t domains;     /* windows of `domain_stride` bytes, one per domid */
    uint64_t domain_stride;
    uint64_t window_areas; /* in a window: where the subsystems' areas start, behind the domain */
    uint64_t area[SUBSYSTEM_COUNT];   /* in a window: the area of each subsystem */
    uint64_t max_domain_pages;        /* 4 KiB frames */
    uint64_t memory_size;             /* bytes of the memory file */
    uint64_t xenheap;                 /* byte address of the shared pages of all domains */
    uint64_t xenheap_window;          /* bytes of one domain's */
    uint64_t shared[SUBSYSTEM_COUNT]; /* in such a window: the pages of each subsystem */
    uint64_t xentrace;                /* byte address of the trace buffers, XENTRACE_SIZE */
    uint64_t m2p, m2p_size;           /* bytes of the machine-to-physical table */
    uint64_t m2p_shown; /* in the segment: of each chunk of it a byte, 1: it is there */
};

/* The head of the segment. */
struct machine {
    uint64_t magic;
    struct machine_layout layout;
    uint32_t max_domains;
    uint32_t extent_count;
    bool virtual_time;
    uint32_t threads_per_core, cores_per_socket; /* 0: one socket has all cores */
    uint32_t node_count;
    bool m2p_in_use;                               /* a chunk of the table is there */
    struct memory_extent extents[MAX_EXTENTS + 1]; /* 4 GiB may lie within one */
    pthread_mutex_t lock;
    uint64_t now;                /* virtual time, ns */
    uint64_t outstanding_claims; /* frames: of free memory, what domains have claimed */
    uint32_t deferred_virqs;     /* bit by VIRQ: global ones to be raised */
    struct trace_buffer trace;
    struct rcu rcu;
    uint32_t client_end; /* no client from here on was ever in use */
    struct client clients[MAX_CLIENTS];
    struct event_handles event_handles; /* open handles of all processes */
    struct xentrace xentrace;
    struct scheduler scheduler;
    struct console_ring console;
    struct ia64_machine ia64;
    struct timers timers;
};

/* One process's attachment. */
struct pv_machine {
    struct machine *shared;
    uint8_t *memory; /* machine address 0 */
    int segment_fd, memory_fd;
    uint32_t client; /* index in machine.clients */
    int broker_fd;   /* connection to the process that serves the machine, or -1 in that process */
    struct broker *broker;         /* in the serving process */
    struct event_fds *event_fds;   /* eventfds this process knows */
    struct timekeeper *timekeeper; /* in the process that made the machine, in real time */
    pthread_mutex_t broker_lock;   /* one question to the broker at a time */
};

/*
 * The pages Xen shares with a domain: its own window at the end of the memory file, so that they
 * have machine addresses like any other. Only touched pages cost anything.
 */
#define XENHEAP_SHARED_INFO 0x0           /* 16 KiB */
#define XENHEAP_GRANT_FRAMES 0x4000       /* 64 frames of 16 KiB at most: 1 MiB */
#define XENHEAP_STATUS_FRAMES 0x104000    /* one uint16_t per v2 entry: 128 KiB at most */
#define XENHEAP_UNSEEN_VCPU_INFO 0x124000 /* vcpu_info that no guest sees: 8 KiB */
#define XENHEAP_SUBSYSTEMS 0x128000       /* then those of the subsystems, domain_shared */
#define XENHEAP_ALIGN 0x200000

static inline struct domain *domain_window(struct pv_machine *machine, domid_t domid)
{
    return (struct domain *)((uint8_t *)machine->shared + machine->shared->layout.domains +
                             domid * machine->shared->layout.domain_stride);
}

/* What a subsystem keeps of a domain beside struct domain: zeros when the domain is made. */
static inline void *domain_area(struct pv_machine *machine, const struct domain *d,
                                enum subsystem_id id)
{
    return (uint8_t *)d + machine->shared->layout.area[id];
}

/* A page Xen shares with the domain, at one of the XENHEAP_ offsets. */
static inline void *domain_xenheap(struct pv_machine *machine, const struct domain *d,
                                   uint64_t offset)
{
    return machine->memory + machine->shared->layout.xenheap +
           (uint64_t)d->domain_id * machine->shared->layout.xenheap_window + offset;
}

/* The pages that a subsystem shares with it, `shared_size` bytes: zeros when the domain is made. */
static inline void *domain_shared(struct pv_machine *machine, const struct domain *d,
                                  enum subsystem_id id)
{
    return domain_xenheap(machine, d, machine->shared->layout.shared[id]);
}

/* The bytes of a machine frame; the caller has checked that it exists. */
static inline void *frame_address(struct pv_machine *machine, uint64_t mfn)
{
    return machine->memory + (mfn << FRAME_SHIFT);
}

static inline void trace(struct pv_machine *machine, enum pv_trace_event event, domid_t domid,
                         uint32_t a, uint64_t b, uint64_t c)
{
    if (__atomic_load_n(&machine->shared->trace.enabled, __ATOMIC_RELAXED))
        pv_machine_trace(machine, event, domid, a, b, c);
}

/* Its time, ns. */
uint64_t machine_now(const struct machine *shared);
/* Has all happen that is due by now. Under no lock. */
void machine_pass_time(struct pv_machine *machine);

/* Has a global VIRQ raised once no lock is held: when a hypercall is over. */
void defer_virq(struct machine *shared, uint32_t virq);

/* Takes machine.lock, and has the subsystems repair what a holder that died has left. */
void machine_lock(struct pv_machine *machine);
void machine_unlock(struct pv_machine *machine);

/* A process joins; MAX_CLIENTS when there is no room. */
uint32_t client_join(struct pv_machine *machine, uint32_t pid);
/* It has ended, in order or not: releases what it held. */
void client_leave(struct pv_machine *machine, uint32_t client);

#endif
