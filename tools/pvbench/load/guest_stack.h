/*
 * A guest whose network stack is the kernel's: packets between a netfront queue and a queue of an
 * uplink, such as a TAP in a network namespace of the guest's own. Here the uplink is on the
 * guest's side: what it gives the guest transmits, and what the guest receives it is sent.
 */
#ifndef TOOLS_PVBENCH_LOAD_GUEST_STACK_H
#define TOOLS_PVBENCH_LOAD_GUEST_STACK_H

#include "pvdrivers/backends/uplinks/uplink.h"
#include "pvdrivers/frontends/vnif/netfront.h"
#include "pvdrivers/poll/pollable.h"

/* cffi: begin */
struct pv_guest_stack;

struct pv_guest_stack_config {
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *evtchn;        /* the queue's; may be that of others in the same poll group */
    struct pv_netfront_queue *front; /* connected; outlives it, and so do the next two */
    struct pv_uplink *uplink;
    struct pv_packet_pool *pool;
    uint32_t queue; /* the uplink's */
};

/* NULL with errno set on failure. */
PV_API struct pv_guest_stack *pv_guest_stack_create(const struct pv_guest_stack_config *config);
PV_API struct pv_pollable *pv_guest_stack_pollable(struct pv_guest_stack *stack);
/* Packets of the uplink that the ring cannot carry; from any thread. */
PV_API uint64_t pv_guest_stack_refused(const struct pv_guest_stack *stack);
/* It is in no poll group any more. Drops what it has taken from the uplink. NULL is fine. */
PV_API void pv_guest_stack_destroy(struct pv_guest_stack *stack);
/* cffi: end */

#endif
