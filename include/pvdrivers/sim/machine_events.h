/*
 * The event-channel hypercalls of the simulated machine (ring/event_channel.h), for guests that
 * read their own shared_info and for toolstacks. `caller` is the domain that makes the call; a
 * domid argument may be DOMID_SELF. Errors are Xen's: -ESRCH no such domain, -EPERM not privileged
 * over it, -EINVAL bad port, wrong state or a dying domain, -ENOSPC no free port, -ENOENT no such
 * vcpu; others are named at the call.
 */
#ifndef PVDRIVERS_SIM_MACHINE_EVENTS_H
#define PVDRIVERS_SIM_MACHINE_EVENTS_H

#include "pvdrivers/ring/event_channel.h"
#include "pvdrivers/sim/machine.h"

/* cffi: begin */
PV_API int pv_evtchn_op_alloc_unbound(struct pv_machine *machine, domid_t caller, domid_t domain,
                                      domid_t remote_domain, evtchn_port_t *port);
/* The new local port is pending at once, in case the peer notified before there was a peer. */
PV_API int pv_evtchn_op_bind_interdomain(struct pv_machine *machine, domid_t caller,
                                         domid_t remote_domain, evtchn_port_t remote_port,
                                         evtchn_port_t *local_port);
/* -EEXIST already bound; -EBUSY a global VIRQ that is another domain's; -EINVAL also for a VIRQ
 * that is not per-vcpu and a vcpu other than 0. */
PV_API int pv_evtchn_op_bind_virq(struct pv_machine *machine, domid_t caller, uint32_t virq,
                                  uint32_t vcpu, evtchn_port_t *port);
PV_API int pv_evtchn_op_bind_ipi(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                                 evtchn_port_t *port);
PV_API int pv_evtchn_op_close(struct pv_machine *machine, domid_t caller, evtchn_port_t port);
/* A port without a peer yet takes the event and drops it. */
PV_API int pv_evtchn_op_send(struct pv_machine *machine, domid_t caller, evtchn_port_t port);
/* Takes `dom` and `port`, fills in the rest. */
PV_API int pv_evtchn_op_status(struct pv_machine *machine, domid_t caller,
                               struct evtchn_status *status);
PV_API int pv_evtchn_op_bind_vcpu(struct pv_machine *machine, domid_t caller, evtchn_port_t port,
                                  uint32_t vcpu);
PV_API int pv_evtchn_op_unmask(struct pv_machine *machine, domid_t caller, evtchn_port_t port);
/* Closes every port and goes back to the 2-level ABI; -EAGAIN when ports were opened meanwhile. */
PV_API int pv_evtchn_op_reset(struct pv_machine *machine, domid_t caller, domid_t domain);
/* The FIFO ABI, one control block per vcpu. -EINVAL for a block that leaves its page, is not
 * 8-byte aligned or exists already; -ENOSYS on ia64, which never had it. */
PV_API int pv_evtchn_op_init_control(struct pv_machine *machine, domid_t caller,
                                     uint64_t control_gfn, uint32_t offset, uint32_t vcpu,
                                     uint8_t *link_bits);
/* -EOPNOTSUPP without FIFO, -ENOSPC when all 128 pages are there. */
PV_API int pv_evtchn_op_expand_array(struct pv_machine *machine, domid_t caller,
                                     uint64_t array_gfn);
/* 0 highest to 15 lowest; -ENOSYS without FIFO. */
PV_API int pv_evtchn_op_set_priority(struct pv_machine *machine, domid_t caller, evtchn_port_t port,
                                     uint32_t priority);

/* Raises a VIRQ; nothing happens when the domain has not bound it. */
PV_API int pv_machine_send_virq(struct pv_machine *machine, domid_t domain, uint32_t virq,
                                uint32_t vcpu);
/* Gives a global VIRQ to a domain (XEN_DOMCTL_set_virq_handler); domain 0 has them at first. */
PV_API int pv_machine_set_virq_handler(struct pv_machine *machine, domid_t domain, uint32_t virq);

/* A guest's own view of one vcpu: its shared_info, and its FIFO pages once it has any, with
 * `fifo_heads` (16 words of the caller's, 0 at first) as its place in the queues. The view shows
 * the event array and the vcpu_info as they are now: ask again after expand_array, and
 * when the vcpu_info has been registered elsewhere. */
PV_API int pv_machine_event_view(struct pv_machine *machine, domid_t domain, uint32_t vcpu,
                                 uint32_t *fifo_heads, struct pv_event_view *view);

/* The upcall of a vcpu whose guest reads shared_info itself. Its fd is readable from an upcall
 * until the upcall is taken. -EBUSY when the vcpu has one already. */
struct pv_upcall;
PV_API int pv_upcall_open(struct pv_machine *machine, domid_t domain, uint32_t vcpu,
                          struct pv_upcall **upcall);
PV_API int pv_upcall_fd(struct pv_upcall *upcall);
/* Makes the fd quiet; to be called before the scan. 1 when there was an upcall, else 0. */
PV_API int pv_upcall_take(struct pv_upcall *upcall);
PV_API void pv_upcall_close(struct pv_upcall *upcall);

/* Lets a handle receive on a port its domain owns already (one that the toolstack allocated, as
 * those of xenstore and console), as the kernel's IOCTL_EVTCHN_BIND_STATIC does. The port outlives
 * the handle, whose end masks it. */
PV_API int pv_evtchn_bind_static(struct pv_evtchn *handle, evtchn_port_t port);
/* cffi: end */

#endif
