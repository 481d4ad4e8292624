/*
 * What a poll group drives: one queue of a backend or a frontend, whatever its device class. The
 * driver's queue contains one, fills it in, and gives it to a group (poll/group.h).
 */
#ifndef PVDRIVERS_POLL_POLLABLE_H
#define PVDRIVERS_POLL_POLLABLE_H

#include "pvdrivers/hypervisor.h"

/* cffi: begin */
struct pv_pollable;
struct pv_poll_member;

/* Called by the group's thread only, and never from within each other. None may block, nor add to
 * the group or remove from it. */
struct pv_pollable_ops {
    /* Does at most `budget` requests' or responses' worth of work. `now` is monotonic time, ns, and
     * may be virtual. Returns how much it did: 0 when there was nothing to do, a negative errno
     * when the queue is broken and does nothing any more. */
    int (*pump)(struct pv_pollable *pollable, uint32_t budget, uint64_t now);
    /* Before sleeping: asks for an event, or for `fd` to be readable, when there is work again.
     * True when there is some already (do not sleep). */
    bool (*arm)(struct pv_pollable *pollable);
    /* Asked after arm: when to pump though nothing else happens, ns; UINT64_MAX: never. */
    uint64_t (*deadline)(struct pv_pollable *pollable);
};

struct pv_pollable {
    const struct pv_pollable_ops *ops;
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *evtchn; /* may have other queues' ports too, of the same group */
    evtchn_port_t port;
    evtchn_port_t second_port; /* of a queue with an event channel for each direction; 0: none */
    int fd; /* readable when there is work that no event tells of; -1: there is never any */
    struct pv_poll_member *member; /* the group's; NULL: in none */
};
/* cffi: end */

#endif
