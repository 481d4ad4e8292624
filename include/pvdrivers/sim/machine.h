/*
 * The simulated machine: one shared-memory segment that is the hypervisor, and one sparse memory
 * file that is the machine's memory. The process that creates it hands both to others over a
 * socket; any process may die at any time and the rest goes on.
 *
 * Calls return 0 or a non-negative result, or a negative errno.
 */
#ifndef PVDRIVERS_SIM_MACHINE_H
#define PVDRIVERS_SIM_MACHINE_H

#include "pvdrivers/hypervisor.h"
#include "pvdrivers/ring/abi_sched.h"

/* cffi: begin */
#define PV_MAX_VCPUS 128

/* Xen's credit2_runqueue=: the CPUs of which part of a machine share a runqueue of credit2. */
#define PV_CREDIT2_RUNQUEUE_SOCKET 0
#define PV_CREDIT2_RUNQUEUE_CPU 1 /* each has its own */
#define PV_CREDIT2_RUNQUEUE_CORE 2
#define PV_CREDIT2_RUNQUEUE_NODE 3
#define PV_CREDIT2_RUNQUEUE_ALL 4

struct pv_machine; /* one process's attachment to a machine */

/* Machine memory is a list of extents; addresses between them are holes. Bytes. */
struct pv_memory_extent {
    uint64_t start, size;
    uint32_t node; /* 0 to 255: the NUMA node, a cell, whose memory it is */
    bool absent;   /* not there at first: pv_machine_add_memory; a multiple of 2 MiB from such a one
                      on, and not on both sides of 4 GiB */
};

struct pv_machine_config {
    const struct pv_memory_extent *extents; /* ascending, multiples of 16 KiB */
    uint32_t extent_count;                  /* 1 to 1024, of which one is there at first */
    uint32_t max_domains;                   /* domids 0 to max_domains - 1 */
    uint64_t max_domain_memory;             /* bytes one domain may own at most */
    bool virtual_time;                      /* the clock moves only by pv_machine_advance */
    uint32_t cpus;      /* 0: no scheduler; they are scheduled in virtual time alone (sched.h) */
    uint32_t scheduler; /* of Pool-0, PV_SCHEDULER_*; 0: credit */
    uint32_t threads_per_core; /* of the CPUs, which lie in the order of their numbers; 0: 1 */
    uint32_t cores_per_socket; /* 0: one socket has them all */
    uint32_t credit2_runqueue; /* PV_CREDIT2_RUNQUEUE_* */
    bool smt_power_savings;    /* vcpus are put together on few cores, as sched_smt_power_savings */
};

struct pv_domain_config {
    enum pv_abi abi;
    uint64_t memory;              /* bytes */
    uint64_t max_memory;          /* bytes that it may be given in all; 0: no more */
    uint32_t vcpus;               /* 1 to PV_MAX_VCPUS */
    uint32_t online_vcpus;        /* the others wait for VCPUOP_initialise and _up; 0: all are up */
    uint32_t max_event_channels;  /* highest port + 1; 0: the ABI's limit */
    uint32_t max_grant_frames;    /* 0: 64 */
    uint32_t max_maptrack_frames; /* 0: 1024 */
    uint8_t max_grant_version;    /* 1 or 2; 0: 2 */
    bool privileged;
    uint32_t cpupool; /* on a machine with CPUs; ESRCH: there is none, ENODEV: it has no CPU */
    bool bare;        /* no memory (`memory` is 0), no quota, no vcpu that is up: a toolstack gives
                         it all of that. `max_memory`: no gfn will be higher */
    uint8_t handle[16]; /* its UUID */
};

enum pv_domain_state {
    PV_DOMAIN_ABSENT,
    PV_DOMAIN_PAUSED,
    PV_DOMAIN_RUNNING,
    PV_DOMAIN_SHUTDOWN,
    PV_DOMAIN_CRASHED,
    PV_DOMAIN_DYING
};

struct pv_domain_info {
    domid_t domid;
    enum pv_domain_state state;
    enum pv_abi abi;
    uint32_t page_size, vcpus, shutdown_reason;
    uint32_t pause_count;       /* by how many pv_domain_pause it is held */
    uint64_t pages, max_pages;  /* in this domain's page size */
    uint64_t outstanding_pages; /* claimed, and not yet its own */
    uint64_t physmap_pages;     /* no gfn is higher */
    uint64_t generation;        /* counts the domains that have had this domid */
    bool privileged;
    uint8_t handle[16];
};

/* What Xen would have charged a domain for. One counter per hypercall kind, then per element. */
enum pv_account {
    PV_ACCOUNT_EVTCHN_SEND,
    PV_ACCOUNT_EVTCHN_OTHER,
    PV_ACCOUNT_UPCALL,
    PV_ACCOUNT_GNTTAB_MAP_CALL,
    PV_ACCOUNT_GNTTAB_UNMAP_CALL,
    PV_ACCOUNT_GNTTAB_COPY_CALL,
    PV_ACCOUNT_GNTTAB_OTHER,
    PV_ACCOUNT_GRANTS_MAPPED,
    PV_ACCOUNT_GRANTS_UNMAPPED,
    PV_ACCOUNT_GRANTS_COPIED,
    PV_ACCOUNT_BYTES_COPIED,
    PV_ACCOUNT_GRANT_FAILURES,
    PV_ACCOUNT_MEMORY_OP,
    PV_ACCOUNT_DOMCTL,
    PV_ACCOUNT_VCPU_OP, /* but VCPUOP_is_up, by which others look too */
    PV_ACCOUNT_SCHED_OP,
    PV_ACCOUNT_COUNT
};

PV_API int pv_machine_create(const struct pv_machine_config *config, struct pv_machine **machine);
/* Attaches this process to a machine served at `socket_path`. */
PV_API int pv_machine_attach(const char *socket_path, struct pv_machine **machine);
/* Starts serving attachments at `socket_path`; one thread, ended by pv_machine_close. */
PV_API int pv_machine_serve(struct pv_machine *machine, const char *socket_path);
PV_API void pv_machine_close(struct pv_machine *machine);

PV_API bool pv_machine_is_virtual_time(struct pv_machine *machine);
PV_API uint64_t pv_machine_now(struct pv_machine *machine); /* ns */
PV_API void pv_machine_advance(struct pv_machine *machine, uint64_t ns);
/* When something happens by itself, a timer that expires, ns; UINT64_MAX: never. */
PV_API uint64_t pv_machine_next_event(struct pv_machine *machine);
PV_API uint64_t pv_machine_free_memory(struct pv_machine *machine);  /* bytes */
PV_API uint64_t pv_machine_total_memory(struct pv_machine *machine); /* bytes */
/* Of free memory, what domains have claimed, bytes. */
PV_API uint64_t pv_machine_outstanding_claims(struct pv_machine *machine);
/* Free memory, bytes, of a node, or of all: -1. Of addresses from 2^(min_width - 1) on and below
 * 2^max_width; 0: without that bound. */
PV_API uint64_t pv_machine_available_memory(struct pv_machine *machine, int32_t node,
                                            uint32_t min_width, uint32_t max_width);
/* A board is plugged in: an extent that was absent is there from now on, a hole before. It is
 * removed by offlining its pages. -EINVAL: no extent is from there to there, of that node, and
 * absent. */
PV_API int pv_machine_add_memory(struct pv_machine *machine, const struct pv_memory_extent *extent);
/* One more than the highest node of an extent that is there. */
PV_API uint32_t pv_machine_node_count(struct pv_machine *machine);
struct pv_node_memory {
    uint64_t total, free, free_below_4g, offlined; /* bytes */
};
PV_API int pv_machine_node_memory(struct pv_machine *machine, uint32_t node,
                                  struct pv_node_memory *memory);
/* What the frame table, an entry for each machine frame, takes of the host, and would take. */
struct pv_frame_table {
    uint64_t resident; /* now: bytes of the host's memory */
    uint64_t existing; /* if there were entries for all memory, but none for holes */
    uint64_t dense;    /* if there were entries for all addresses up to the last */
};
PV_API int pv_machine_frame_table(struct pv_machine *machine, struct pv_frame_table *table);
/* The host's pages behind an attachment's memory file and segment, bytes. */
PV_API uint64_t pv_machine_resident_memory(struct pv_machine *machine);
/* 0 when a machine frame (4 KiB) is memory, -EFAULT when it lies in a hole or beyond the end. */
PV_API int pv_machine_check_frame(struct pv_machine *machine, uint64_t mfn);

/* Creates a domain, paused. domid DOMID_INVALID: the lowest free one. Returns the domid. */
PV_API int pv_domain_create(struct pv_machine *machine, domid_t domid,
                            const struct pv_domain_config *config);
/* Counted, as Xen does it: what was paused twice runs when it was unpaused twice. A domain that has
 * ended can be paused too, and is then when it is resumed. -EOVERFLOW more than 255; -EINVAL it is
 * not paused. In virtual time on a machine with CPUs none of its vcpus gets one. In real time,
 * where a guest is processes that have a view of it, this is a state that they and others can see.
 */
PV_API int pv_domain_pause(struct pv_machine *machine, domid_t domid);
/* Raises PV_VIRQ_UNPAUSED: who plays the CPUs, and starts processes for guests, hears of it. */
PV_API int pv_domain_unpause(struct pv_machine *machine, domid_t domid);
#define PV_VIRQ_UNPAUSED 5 /* G; a number that Xen does not use */
/* A domain that has shut down or crashed goes on where it was; for others it is nothing. -ESRCH
 * also when it is being destroyed. */
PV_API int pv_domain_resume(struct pv_machine *machine, domid_t domid);
PV_API int pv_domain_set_handle(struct pv_machine *machine, domid_t domid, const uint8_t *handle);
/* 32 makes an x86_64 domain one of the x86_32 ABI, as its builder does before all else. -EACCES it
 * has memory; -EINVAL neither this nor what it is: 32 or 64. */
PV_API int pv_domain_set_address_size(struct pv_machine *machine, domid_t domid, uint32_t bits);
/* 32 or 64. */
PV_API int pv_domain_get_address_size(struct pv_machine *machine, domid_t domid);
/* `reason`: SHUTDOWN_*, unless SCHEDOP_shutdown_code has said why before. This and
 * pv_domain_destroy raise VIRQ_DOM_EXC. */
PV_API int pv_domain_shutdown(struct pv_machine *machine, domid_t domid, uint32_t reason);
/* Takes everything from a domain: ports, grants, maps of others' grants, memory. Grants that a
 * peer still maps keep their pages (not the domid) until the peer unmaps; the domain stays DYING
 * until then. */
PV_API int pv_domain_destroy(struct pv_machine *machine, domid_t domid);
/* The lowest domid of a domain from `from` on, or -ESRCH. */
PV_API int pv_domain_next(struct pv_machine *machine, domid_t from);
PV_API int pv_domain_info(struct pv_machine *machine, domid_t domid, struct pv_domain_info *info);
PV_API int pv_domain_accounts(struct pv_machine *machine, domid_t domid,
                              uint64_t *accounts /* PV_ACCOUNT_COUNT of them */);
/* gfn (in the domain's page size) to machine frame (4 KiB), or -EFAULT. */
PV_API int64_t pv_domain_gfn_to_mfn(struct pv_machine *machine, domid_t domid, uint64_t gfn);
/* Guest-physical address of a page from pages_alloc, as a gfn in the domain's page size. */
PV_API int64_t pv_domain_page_to_gfn(struct pv_hypervisor *hypervisor, const void *page);

/* ---- Trace: what the hypervisor did, in the order it did it ---- */

enum pv_trace_event {
    PV_TRACE_DOMAIN_STATE,   /* a: new state */
    PV_TRACE_EVTCHN_SEND,    /* a: port */
    PV_TRACE_EVTCHN_DELIVER, /* a: port, at the receiving domain */
    PV_TRACE_GNTTAB_MAP,     /* a: gref, b: granting domid, c: status */
    PV_TRACE_GNTTAB_UNMAP,   /* a: gref, b: granting domid, c: status */
    PV_TRACE_GNTTAB_COPY,    /* a: gref, b: granting domid << 16 | length, c: status */
    PV_TRACE_USER            /* a, b, c: the program's own */
};

struct pv_trace_record {
    uint64_t time; /* ns */
    uint16_t event;
    domid_t domid; /* who asked */
    uint32_t a;
    uint64_t b, c;
};

PV_API void pv_machine_trace_enable(struct pv_machine *machine, bool enabled);
PV_API void pv_machine_trace(struct pv_machine *machine, enum pv_trace_event event, domid_t domid,
                             uint32_t a, uint64_t b, uint64_t c);
/* Copies records from `*cursor` on and moves it; returns how many. Records overwritten before
 * they were read are skipped and counted in `*lost`. */
PV_API int pv_machine_trace_read(struct pv_machine *machine, uint64_t *cursor,
                                 struct pv_trace_record *records, uint32_t max, uint64_t *lost);

/* This process's view of the machine as domain `domid`: the simulated side of the seam. What it
 * maps, binds and grants is released when it is closed or the process dies. */
PV_API int pv_machine_open_hypervisor(struct pv_machine *machine, domid_t domid,
                                      struct pv_hypervisor **hypervisor);
/* cffi: end */

#endif
