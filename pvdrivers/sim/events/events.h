/* Event channels, as the other rooms see them. */
#ifndef PVDRIVERS_SIM_EVENTS_EVENTS_H
#define PVDRIVERS_SIM_EVENTS_EVENTS_H

#include "pvdrivers/sim/core/machine.h"

extern const struct subsystem events_subsystem;

/* Sends through a port of the domain: 0, or -EINVAL when it is none to send through. In a read-side
 * section, or for a domain that cannot go away. Takes event locks. */
int send_event(struct pv_machine *machine, struct domain *d, evtchn_port_t port);

/* ---- wait.c; in a read-side section, and each takes the event lock ---- */
/* The vcpu waits for an event from now on, with upcalls unmasked (SCHEDOP_block): 1, or 0 when
 * there is one already. */
int wait_for_event(struct pv_machine *machine, struct domain *d, uint32_t vcpu);
/* For one of the ports (SCHEDOP_poll), or an event that may be delivered: the same, or -EINVAL for
 * a port that cannot be. */
int wait_for_ports(struct pv_machine *machine, struct domain *d, uint32_t vcpu,
                   const evtchn_port_t *ports, uint32_t count);
/* Its time for that is up. */
void end_poll(struct pv_machine *machine, struct domain *d, uint32_t vcpu);
/* Whether its guest can see its vcpu_info. */
bool vcpu_info_is_seen(struct pv_machine *machine, const struct domain *d, uint32_t vcpu);

/* ---- Pages of the guest's that the hypervisor writes to: page.c ---- */
/* Takes a domain's event lock, and repairs what a process killed inside left half done. */
void event_lock(struct pv_machine *machine, struct domain *d);
/* Then writes the eventfd that is due, and those that this process does not know yet. */
void event_unlock(struct pv_machine *machine, struct domain *d);
/* Under the lock: a page of the domain's, pending repair until the state names it. */
int event_page_hold(struct pv_machine *machine, struct domain *d, uint64_t mfn);
/* Pending repair until the state names it no more; NO_FRAME: none. */
void event_page_let_go(struct domain *d, uint64_t mfn);
/* Gives the pending page back unless the state names it; nothing is pending then. */
void event_page_settle(struct pv_machine *machine, struct domain *d);

/* The seam's eight calls. */
struct pv_evtchn *sim_evtchn_open(struct pv_hypervisor *hypervisor);
void sim_evtchn_close(struct pv_evtchn *handle);
int sim_evtchn_fd(struct pv_evtchn *handle);
int sim_evtchn_bind_unbound_port(struct pv_evtchn *handle, domid_t remote);
int sim_evtchn_bind_interdomain(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port);
int sim_evtchn_bind_virq(struct pv_evtchn *handle, uint32_t virq);
int sim_evtchn_unbind(struct pv_evtchn *handle, evtchn_port_t port);
int sim_evtchn_notify(struct pv_evtchn *handle, evtchn_port_t port);
int sim_evtchn_pending(struct pv_evtchn *handle);
int sim_evtchn_unmask(struct pv_evtchn *handle, evtchn_port_t port);

#endif
