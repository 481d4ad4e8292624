/*
 * What the files of the events room share:
 *   channel.c     hypercalls          port.c    port table, locks, repair
 *   two_level.c   2-level ABI         fifo.c    FIFO ABI
 *   kernel.c      delivery: a vcpu's upcall, answered for guests whose processes use handles
 *   handle.c      handles             upcall.c  upcalls of guests that read shared_info
 *   slot.c        what both stand on  fds.c     eventfds of this process and of others
 *   virq.c        VIRQs             events.c   the subsystem: a domain's life
 *   vcpu_info.c   vcpu_info         page.c     pages of the guest's in use
 *   wait.c        vcpus that wait for events
 */
#ifndef PVDRIVERS_SIM_EVENTS_INTERNAL_H
#define PVDRIVERS_SIM_EVENTS_INTERNAL_H

#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/sim/events/events.h"
#include "pvdrivers/sim/machine_events.h"
#include "pvdrivers/sim/memory/memory.h"

static_assert(EVENT_VCPUS == PV_MAX_VCPUS, "as the public header says");

/* States of a port, Xen's ECS_*. */
enum { ECS_FREE, ECS_UNBOUND, ECS_INTERDOMAIN, ECS_VIRQ, ECS_IPI };

/* What a port is bound to. `remote_port` holds the VIRQ's number for ECS_VIRQ. */
struct binding {
    uint8_t state;
    domid_t remote_domid;
    uint32_t remote_port;
};

static inline struct binding load_binding(const struct evtchn *chn)
{
    uint64_t word = __atomic_load_n(&chn->binding, __ATOMIC_ACQUIRE);
    return (struct binding){.state = (uint8_t)(word >> 48),
                            .remote_domid = (domid_t)(word >> 32),
                            .remote_port = (uint32_t)word};
}

static inline void store_binding(struct evtchn *chn, struct binding b)
{
    uint64_t word = (uint64_t)b.state << 48 | (uint64_t)b.remote_domid << 32 | b.remote_port;
    /* Release: a process that sees the port bound sees its other fields set. */
    __atomic_store_n(&chn->binding, word, __ATOMIC_RELEASE);
}

static inline bool points_to(struct binding b, domid_t domid, evtchn_port_t port)
{
    return b.state == ECS_INTERDOMAIN && b.remote_domid == domid && b.remote_port == port;
}

static inline struct event_area *domain_event_area(struct pv_machine *machine,
                                                   const struct domain *d)
{
    return domain_area(machine, d, SUBSYSTEM_EVENTS);
}

static inline struct evtchn *port_entry(struct pv_machine *machine, struct domain *d,
                                        evtchn_port_t port)
{
    return &domain_event_area(machine, d)->port[port];
}

static inline struct event_handle *handle_slot(struct pv_machine *machine, uint32_t handle)
{
    return &machine->shared->event_handles.slot[handle];
}

/* ---- port.c ---------------------------------------------------------------------------- */

void event_repair(struct pv_machine *machine, struct domain *d);
/* event_unlock without the eventfds that this process does not know. */
void event_unlock_known(struct pv_machine *machine, struct domain *d);
/* Two domains', which may be the same. */
void event_lock_pair(struct pv_machine *machine, struct domain *a, struct domain *b);
void event_unlock_pair(struct pv_machine *machine, struct domain *a, struct domain *b);

/* One more than the highest port the domain's ABI and limit allow. */
uint32_t port_limit(const struct domain *d);
/* NULL when there can be no such port. */
struct evtchn *find_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
/* Under the lock. The lowest free port, 0 when there is none; nothing changes. */
evtchn_port_t peek_free_port(struct pv_machine *machine, struct domain *d);
/* Under the lock. Takes the free port: fresh settings, then `b`; `handle` is slot + 1 or 0. */
struct evtchn *take_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port,
                         uint16_t handle, struct binding b);
void free_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
/* Closes one port, whatever it is bound to; takes the locks itself. -EINVAL when it is free;
 * -ENOTCONN when it is not `handle`'s (slot + 1; 0: any port). */
int close_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port, uint16_t handle);
#define CLOSE_BATCH 256 /* ports closed in one step of a reset or a teardown (XSA-344) */
/* Closes up to `budget` ports from `from` on; returns where to go on, or 0 at the end. */
evtchn_port_t close_ports(struct pv_machine *machine, struct domain *d, evtchn_port_t from,
                          uint32_t budget);

/* ---- channel.c: what hypercalls and handles have in common ----------------------------- */

/* These take the locks, bind to `handle` (slot + 1, or 0) and return the port or an error. */
int alloc_unbound(struct pv_machine *machine, struct domain *d, domid_t remote, uint16_t handle);
int bind_interdomain(struct pv_machine *machine, struct domain *d, domid_t remote,
                     evtchn_port_t remote_port, uint16_t handle);
int bind_virq(struct pv_machine *machine, struct domain *d, uint32_t virq, uint32_t vcpu,
              uint16_t handle);
bool virq_is_per_vcpu(uint32_t virq);
bool virq_is_global(uint32_t virq);
/* Raises a global VIRQ at the domain that has it. Takes that domain's event lock. */
void send_global_virq(struct pv_machine *machine, uint32_t virq);
void raise_deferred_virqs(struct pv_machine *machine); /* defer_virq */

/* ---- ABI: two_level.c and fifo.c; all under the lock ------------------------------------ */

/* The domain's words as vcpu `vcpu` sees them. */
struct pv_event_view event_view(struct pv_machine *machine, struct domain *d, uint32_t vcpu);
/* These return whether the vcpu `chn` notifies needs an upcall for it. */
bool set_pending_2l(struct pv_event_view *view, evtchn_port_t port);
bool unmask_2l(struct pv_event_view *view, evtchn_port_t port);
bool set_pending_fifo(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
bool unmask_fifo(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
/* After a process died inside: takes every port out of its queue, or a set-up or a reset that was
 * not finished back to 2-level. */
void fifo_repair(struct pv_machine *machine, struct domain *d);
/* Frees the control blocks and the event array: back to 2-level. */
void fifo_destroy(struct pv_machine *machine, struct domain *d);

/* ---- vcpu_info.c ----------------------------------------------------------------------- */

/* Those of a new domain. */
void vcpu_infos_init(struct pv_machine *machine, struct domain *d);
/* Back to where they were, as the domain ends. */
void vcpu_infos_release(struct pv_machine *machine, struct domain *d);
/* The first frame of the page where the guest has put it, or NO_FRAME. */
uint64_t vcpu_info_page(struct pv_machine *machine, const struct domain *d, uint32_t vcpu);

/* ---- wait.c; all under the lock -------------------------------------------------------- */

void wake_waiting(struct pv_machine *machine, struct domain *d, uint32_t vcpu);
/* The vcpu, if it waits for an event, runs again. */
static inline void stop_waiting(struct pv_machine *machine, struct domain *d, uint32_t vcpu)
{
    if (vcpu_pause_flags(&d->vcpu[vcpu]) & VPF_blocked)
        wake_waiting(machine, d, vcpu);
}
/* So do those that poll the port. */
void wake_pollers(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
/* After a process died inside: all that poll look again. */
void repair_pollers(struct pv_machine *machine, struct domain *d);

/* ---- kernel.c; all under the lock ------------------------------------------------------ */

/* Tells the guest, or has its kernel answer, that something was raised for the view's vcpu. */
void send_upcall(struct pv_machine *machine, struct domain *d, struct pv_event_view *view);
/* Makes a port pending and sees to the upcall. */
void raise_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
void unmask_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
/* Raises again what is pending and not masked, when a handle or an upcall has been opened. */
void raise_waiting_ports(struct pv_machine *machine, struct domain *d);
/* A handle's list of delivered ports. */
void queue_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
void unqueue_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port);
/* The eventfd is written when the lock is free. */
void signal_handle(struct pv_machine *machine, struct domain *d, uint32_t handle);
/* In the process that owns it, under the domain's lock: the eventfd is no longer readable. */
void quiet_handle(struct event_handle *h, int fd);
/* Under no lock: writes the eventfd again of a handle whose sender may have died before it did. */
void signal_again(struct pv_machine *machine, uint32_t handle);
/* Under no lock: writes the eventfds event_unlock found unwritten. */
void signal_remaining_handles(struct pv_machine *machine, struct domain *d);
/* After a process died inside: makes lists and counts agree with the port table again. */
void repair_handles(struct pv_machine *machine, struct domain *d);

/* ---- slot.c ---------------------------------------------------------------------------- */

/* A process's grip on a slot of machine.event_handles, for a handle or an upcall. */
struct event_slot {
    struct pv_machine *machine;
    struct domain *domain;
    uint64_t domain_generation;
    uint32_t index;
    int fd;
};
#define NO_UPCALL (-1)
int event_slot_open(struct event_slot *slot, struct pv_machine *machine, domid_t domid,
                    int upcall_vcpu);
void event_slot_close(struct event_slot *slot);
/* Takes the domain's event lock; false, without it, when that domain is gone. */
bool event_slot_lock(struct event_slot *slot);
/* The domain it was opened for, while it lives: in a read-side section or under its event lock, to
 * the end of which that holds, dying apart. Else NULL. */
static inline struct domain *event_slot_domain(const struct event_slot *slot)
{
    return domain_is_life(slot->domain, slot->domain_generation) ? slot->domain : NULL;
}
void event_slot_unlock(struct event_slot *slot);

/* A process has ended: closes its handles and their ports. */
void event_slots_release_client(struct pv_machine *machine, uint32_t client);

/* ---- dump.c ---------------------------------------------------------------------------- */

void events_dump(struct pv_machine *machine, struct domain *d);

/* ---- fds.c ----------------------------------------------------------------------------- */

/* This process's table of eventfds, machine->event_fds. */
int event_fds_init(struct pv_machine *machine);
void event_fds_free(struct pv_machine *machine);

/* An eventfd this process knows for the handle, or -1. */
int event_fd(struct pv_machine *machine, uint32_t handle, uint32_t generation);
/* Writes to it unless it is closed by now. Needs no lock. */
void event_fd_write(struct pv_machine *machine, uint32_t handle, uint32_t generation);
/* Takes the fd over. What is there of this generation already, or of a later one, stays. */
void event_fds_add(struct pv_machine *machine, uint32_t handle, uint32_t generation, int fd);
/* Closes it. */
void event_fds_remove(struct pv_machine *machine, uint32_t handle);
/* Asks the serving process; under no lock. */
void event_fds_fetch(struct pv_machine *machine, uint32_t handle, uint32_t generation);

#endif
