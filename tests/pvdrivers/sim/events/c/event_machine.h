/* A small machine with a privileged domain 0 and guests, for the tests of event channels. */
#ifndef TESTS_EVENT_MACHINE_H
#define TESTS_EVENT_MACHINE_H

#include "pvdrivers/sim/events/internal.h"
#include "pvdrivers/sim/machine_events.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>

static struct pv_machine *new_machine(void)
{
    struct pv_memory_extent extent = {.size = 64u << 20};
    struct pv_machine_config config = {
        .extents = &extent, .extent_count = 1, .max_domains = 16, .max_domain_memory = 16u << 20};
    struct pv_machine *machine;
    assert(pv_machine_create(&config, &machine) == 0);
    return machine;
}

static inline domid_t new_domain(struct pv_machine *machine, enum pv_abi abi, uint32_t max_ports)
{
    struct pv_domain_config config = {
        .abi = abi, .memory = 1u << 20, .vcpus = 2, .max_event_channels = max_ports};
    config.privileged = !find_domain(machine, 0);
    int domid = pv_domain_create(machine, DOMID_INVALID, &config);
    assert(domid >= 0);
    assert(pv_domain_unpause(machine, (domid_t)domid) == 0);
    return (domid_t)domid;
}

/* A port of `a` connected to one of `b`. */
static inline void connect_ports(struct pv_machine *machine, domid_t a, domid_t b,
                                 evtchn_port_t *port_a, evtchn_port_t *port_b)
{
    assert(pv_evtchn_op_alloc_unbound(machine, a, DOMID_SELF, b, port_a) == 0);
    assert(pv_evtchn_op_bind_interdomain(machine, b, a, *port_a, port_b) == 0);
}

static inline struct pv_event_view view_of(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                                           uint32_t *heads)
{
    struct pv_event_view view;
    assert(pv_machine_event_view(machine, domid, vcpu, heads, &view) == 0);
    return view;
}

static inline struct evtchn_status status_of(struct pv_machine *machine, domid_t domid,
                                             evtchn_port_t port)
{
    struct evtchn_status status = {.dom = DOMID_SELF, .port = port};
    assert(pv_evtchn_op_status(machine, domid, &status) == 0);
    return status;
}

static inline bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

#endif
