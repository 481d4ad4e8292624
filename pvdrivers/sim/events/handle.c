/* Handles as libxenevtchn opens them: the event-channel part of the seam. */
#include "pvdrivers/sim/core/hypervisor.h"
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>
#include <stdlib.h>

struct pv_evtchn {
    struct event_slot slot;
};

static uint16_t handle_id(const struct pv_evtchn *handle)
{
    return (uint16_t)(handle->slot.index + 1);
}

static struct evtchn *find_own_port(const struct pv_evtchn *handle, evtchn_port_t port)
{
    struct evtchn *chn = find_port(handle->slot.machine, handle->slot.domain, port);
    return chn && __atomic_load_n(&chn->handle, __ATOMIC_RELAXED) == handle_id(handle) ? chn : NULL;
}

struct pv_evtchn *sim_evtchn_open(struct pv_hypervisor *hypervisor)
{
    struct pv_evtchn *handle = malloc(sizeof *handle);
    if (!handle)
        return NULL;
    int error =
        event_slot_open(&handle->slot, to_sim(hypervisor)->machine, hypervisor->domid, NO_UPCALL);
    if (!error)
        return handle;
    free(handle);
    errno = -error;
    return NULL;
}

void sim_evtchn_close(struct pv_evtchn *handle)
{
    event_slot_close(&handle->slot);
    free(handle);
}

int sim_evtchn_fd(struct pv_evtchn *handle)
{
    return handle->slot.fd;
}

int sim_evtchn_bind_unbound_port(struct pv_evtchn *handle, domid_t remote)
{
    RCU_SECTION(handle->slot.machine);
    struct domain *d = event_slot_domain(&handle->slot);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_EVTCHN_OTHER, 1);
    return alloc_unbound(handle->slot.machine, d, remote == DOMID_SELF ? d->domain_id : remote,
                         handle_id(handle));
}

int sim_evtchn_bind_interdomain(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port)
{
    RCU_SECTION(handle->slot.machine);
    struct domain *d = event_slot_domain(&handle->slot);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_EVTCHN_OTHER, 1);
    return bind_interdomain(handle->slot.machine, d, remote, port, handle_id(handle));
}

int sim_evtchn_bind_virq(struct pv_evtchn *handle, uint32_t virq)
{
    RCU_SECTION(handle->slot.machine);
    struct domain *d = event_slot_domain(&handle->slot);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_EVTCHN_OTHER, 1);
    return bind_virq(handle->slot.machine, d, virq, 0, handle_id(handle));
}

int pv_evtchn_bind_static(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct pv_machine *machine = handle->slot.machine;
    if (!event_slot_lock(&handle->slot))
        return -ESRCH;
    struct evtchn *chn = find_port(machine, handle->slot.domain, port);
    int error = !chn || load_binding(chn).state == ECS_FREE ? -EINVAL : chn->handle ? -EBUSY : 0;
    if (!error) {
        struct pv_event_view view = event_view(machine, handle->slot.domain, chn->notify_vcpu);
        __atomic_store_n(&chn->handle, handle_id(handle), __ATOMIC_RELAXED);
        chn->is_static = true;
        /* Masked first, so that the unmasking finds an event that waited for its handler. */
        pv_event_mask(&view, port);
        unmask_port(machine, handle->slot.domain, port);
    }
    event_slot_unlock(&handle->slot);
    return error;
}

int sim_evtchn_unbind(struct pv_evtchn *handle, evtchn_port_t port)
{
    RCU_SECTION(handle->slot.machine);
    struct domain *d = event_slot_domain(&handle->slot);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_EVTCHN_OTHER, 1);
    if (!find_port(handle->slot.machine, d, port))
        return -EINVAL;
    return close_port(handle->slot.machine, d, port, handle_id(handle));
}

/* In no section and under no lock. When the domain ends and its domid is used again meanwhile, no
 * port is this handle's any more, or the event goes to the peer of the next domain's port, which
 * gets one event too many. */
int sim_evtchn_notify(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct domain *d = event_slot_domain(&handle->slot);
    if (!d)
        return -ESRCH;
    return find_own_port(handle, port) ? send_event(handle->slot.machine, d, port) : -ENOTCONN;
}

int sim_evtchn_pending(struct pv_evtchn *handle)
{
    struct pv_machine *machine = handle->slot.machine;
    struct event_handle *h = handle_slot(machine, handle->slot.index);
    /* The lock is for the end of the domain too: what found it before may still signal. */
    event_lock(machine, handle->slot.domain);
    struct domain *d = event_slot_domain(&handle->slot);
    evtchn_port_t port = d ? h->head : 0;
    if (port)
        unqueue_port(machine, d, port);
    if (!d || !h->head)
        quiet_handle(h, handle->slot.fd);
    event_slot_unlock(&handle->slot);
    return !d ? -ESRCH : port ? (int)port : -EAGAIN;
}

int sim_evtchn_unmask(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct pv_machine *machine = handle->slot.machine;
    if (!event_slot_lock(&handle->slot))
        return -ESRCH;
    struct domain *d = handle->slot.domain;
    bool own = find_own_port(handle, port) != NULL;
    if (own)
        unmask_port(machine, d, port);
    event_slot_unlock(&handle->slot);
    return own ? 0 : -ENOTCONN;
}
