/* The event-channel hypercalls (EVENT_CHANNEL_OP). */
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>
#include <string.h>

static void close_all_ports(struct pv_machine *machine, struct domain *d)
{
    evtchn_port_t port = 1;
    do
        port = close_ports(machine, d, port, CLOSE_BATCH);
    while (port);
}

/* ---- Binding --------------------------------------------------------------------------------- */

int alloc_unbound(struct pv_machine *machine, struct domain *d, domid_t remote, uint16_t handle)
{
    event_lock(machine, d);
    evtchn_port_t port = domain_is_dying(d) ? 0 : peek_free_port(machine, d);
    int result = port ? (int)port : domain_is_dying(d) ? -EINVAL : -ENOSPC;
    if (port)
        take_port(machine, d, port, handle, (struct binding){ECS_UNBOUND, remote, 0});
    event_unlock(machine, d);
    return result;
}

static int bind_interdomain_locked(struct pv_machine *machine, struct domain *ld, struct domain *rd,
                                   evtchn_port_t remote_port, uint16_t handle)
{
    if (domain_is_dying(ld) || domain_is_dying(rd))
        return -EINVAL;
    evtchn_port_t port = peek_free_port(machine, ld);
    if (!port)
        return -ENOSPC;
    struct evtchn *remote = find_port(machine, rd, remote_port);
    if (!remote)
        return -EINVAL;
    struct binding b = load_binding(remote);
    if (b.state != ECS_UNBOUND || b.remote_domid != ld->domain_id)
        return -EINVAL;
    take_port(machine, ld, port, handle,
              (struct binding){ECS_INTERDOMAIN, rd->domain_id, remote_port});
    store_binding(remote, (struct binding){ECS_INTERDOMAIN, ld->domain_id, port});
    /* The peer may have notified while the port was unbound. */
    raise_port(machine, ld, port);
    return (int)port;
}

int bind_interdomain(struct pv_machine *machine, struct domain *d, domid_t remote,
                     evtchn_port_t remote_port, uint16_t handle)
{
    struct domain *rd = remote == DOMID_SELF ? d : find_domain(machine, remote);
    if (!rd)
        return -ESRCH;
    event_lock_pair(machine, d, rd);
    int result = bind_interdomain_locked(machine, d, rd, remote_port, handle);
    event_unlock_pair(machine, d, rd);
    return result;
}

static int bind_ipi(struct pv_machine *machine, struct domain *d, uint32_t vcpu)
{
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    event_lock(machine, d);
    evtchn_port_t port = domain_is_dying(d) ? 0 : peek_free_port(machine, d);
    int result = port ? (int)port : domain_is_dying(d) ? -EINVAL : -ENOSPC;
    if (port)
        take_port(machine, d, port, 0, (struct binding){.state = ECS_IPI})->notify_vcpu =
            (uint8_t)vcpu;
    event_unlock(machine, d);
    return result;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* An event that is pending already is not raised a second time: the consumer that takes it finds
 * what was written before. This costs no lock. FIFO words may move away with a reset, so it is not
 * done for them. */
static bool is_pending_already(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    if (pv_read_once(&d->event_channels.fifo))
        return false;
    struct pv_event_view view = {.abi = domain_abi(d),
                                 .shared_info = domain_xenheap(machine, d, XENHEAP_SHARED_INFO)};
    /* Full: what the sender wrote is visible before the bit is read. The taker clears the bit,
     * then reads what was written, so that one of the two sees the other. */
    pv_mb();
    return pv_event_is_pending(&view, port);
}

static bool send_to_peer(struct pv_machine *machine, struct domain *d, evtchn_port_t port,
                         struct binding b)
{
    struct domain *rd = domain_window(machine, b.remote_domid);
    const struct evtchn *peer = port_entry(machine, rd, b.remote_port);
    bool bound = points_to(load_binding(peer), d->domain_id, port);
    if (bound && is_pending_already(machine, rd, b.remote_port))
        return true;
    event_lock(machine, rd);
    bound = points_to(load_binding(peer), d->domain_id, port);
    if (bound)
        raise_port(machine, rd, b.remote_port);
    event_unlock(machine, rd);
    return bound;
}

static int send_ipi(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    event_lock(machine, d);
    bool bound = load_binding(port_entry(machine, d, port)).state == ECS_IPI;
    if (bound)
        raise_port(machine, d, port);
    event_unlock(machine, d);
    return bound ? 0 : -EINVAL;
}

int send_event(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    account(d, PV_ACCOUNT_EVTCHN_SEND, 1);
    trace(machine, PV_TRACE_EVTCHN_SEND, d->domain_id, port, 0, 0);
    const struct evtchn *chn = find_port(machine, d, port);
    if (!chn)
        return -EINVAL;
    for (;;) {
        struct binding b = load_binding(chn);
        switch (b.state) {
        case ECS_UNBOUND:
            return 0;
        case ECS_IPI:
            return send_ipi(machine, d, port);
        case ECS_INTERDOMAIN:
            if (send_to_peer(machine, d, port, b))
                return 0;
            /* It was closed or bound again meanwhile, or a process died in the middle of that,
             * which taking the lock repairs. */
            event_lock(machine, d);
            event_unlock(machine, d);
            break;
        default:
            return -EINVAL;
        }
    }
}

/* ---- Hypercalls ------------------------------------------------------------------------------ */

/* The domain that calls, charged for it. */
static struct domain *find_caller(struct pv_machine *machine, domid_t caller)
{
    struct domain *d = find_domain(machine, caller);
    if (d)
        account(d, PV_ACCOUNT_EVTCHN_OTHER, 1);
    return d;
}

/* The domain that a call is about: the caller, or for a privileged one any. */
static int find_target(struct pv_machine *machine, domid_t caller, domid_t domid,
                       struct domain **target)
{
    const struct domain *self = find_caller(machine, caller);
    domid_t wanted = domid == DOMID_SELF ? caller : domid;
    *target = find_domain(machine, wanted);
    if (!self || !*target)
        return -ESRCH;
    return wanted == caller || self->privileged ? 0 : -EPERM;
}

static int return_port(int result, evtchn_port_t *port)
{
    if (result < 0)
        return result;
    *port = (evtchn_port_t)result;
    return 0;
}

int pv_evtchn_op_alloc_unbound(struct pv_machine *machine, domid_t caller, domid_t domain,
                               domid_t remote_domain, evtchn_port_t *port)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = find_target(machine, caller, domain, &d);
    if (error)
        return error;
    domid_t remote = remote_domain == DOMID_SELF ? caller : remote_domain;
    return return_port(alloc_unbound(machine, d, remote, 0), port);
}

int pv_evtchn_op_bind_interdomain(struct pv_machine *machine, domid_t caller, domid_t remote_domain,
                                  evtchn_port_t remote_port, evtchn_port_t *local_port)
{
    RCU_SECTION(machine);
    struct domain *d = find_caller(machine, caller);
    if (!d)
        return -ESRCH;
    return return_port(bind_interdomain(machine, d, remote_domain, remote_port, 0), local_port);
}

int pv_evtchn_op_bind_virq(struct pv_machine *machine, domid_t caller, uint32_t virq, uint32_t vcpu,
                           evtchn_port_t *port)
{
    RCU_SECTION(machine);
    struct domain *d = find_caller(machine, caller);
    return d ? return_port(bind_virq(machine, d, virq, vcpu, 0), port) : -ESRCH;
}

int pv_evtchn_op_bind_ipi(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                          evtchn_port_t *port)
{
    RCU_SECTION(machine);
    struct domain *d = find_caller(machine, caller);
    return d ? return_port(bind_ipi(machine, d, vcpu), port) : -ESRCH;
}

int pv_evtchn_op_close(struct pv_machine *machine, domid_t caller, evtchn_port_t port)
{
    RCU_SECTION(machine);
    struct domain *d = find_caller(machine, caller);
    if (!d)
        return -ESRCH;
    return find_port(machine, d, port) ? close_port(machine, d, port, 0) : -EINVAL;
}

int pv_evtchn_op_send(struct pv_machine *machine, domid_t caller, evtchn_port_t port)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, caller);
    return d ? send_event(machine, d, port) : -ESRCH;
}

static void fill_status(const struct evtchn *chn, struct evtchn_status *status)
{
    struct binding b = load_binding(chn);
    memset(&status->u, 0, sizeof status->u);
    status->vcpu = b.state == ECS_FREE ? 0 : chn->notify_vcpu;
    switch (b.state) {
    case ECS_UNBOUND:
        status->status = EVTCHNSTAT_unbound;
        status->u.unbound.dom = b.remote_domid;
        break;
    case ECS_INTERDOMAIN:
        status->status = EVTCHNSTAT_interdomain;
        status->u.interdomain.dom = b.remote_domid;
        status->u.interdomain.port = b.remote_port;
        break;
    case ECS_VIRQ:
        status->status = EVTCHNSTAT_virq;
        status->u.virq = b.remote_port;
        break;
    case ECS_IPI:
        status->status = EVTCHNSTAT_ipi;
        break;
    default:
        status->status = EVTCHNSTAT_closed;
    }
}

int pv_evtchn_op_status(struct pv_machine *machine, domid_t caller, struct evtchn_status *status)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = find_target(machine, caller, status->dom, &d);
    if (error)
        return error;
    event_lock(machine, d);
    bool valid = status->port < port_limit(d); /* port 0 exists, always closed */
    if (valid)
        fill_status(port_entry(machine, d, status->port), status);
    event_unlock(machine, d);
    return valid ? 0 : -EINVAL;
}

int pv_evtchn_op_bind_vcpu(struct pv_machine *machine, domid_t caller, evtchn_port_t port,
                           uint32_t vcpu)
{
    RCU_SECTION(machine);
    struct domain *d = find_caller(machine, caller);
    if (!d)
        return -ESRCH;
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    event_lock(machine, d);
    struct evtchn *chn = find_port(machine, d, port);
    struct binding b = chn ? load_binding(chn) : (struct binding){.state = ECS_FREE};
    bool movable = b.state == ECS_UNBOUND || b.state == ECS_INTERDOMAIN ||
                   (b.state == ECS_VIRQ && virq_is_global(b.remote_port));
    if (movable)
        chn->notify_vcpu = (uint8_t)vcpu;
    event_unlock(machine, d);
    return movable ? 0 : -EINVAL;
}

int pv_evtchn_op_unmask(struct pv_machine *machine, domid_t caller, evtchn_port_t port)
{
    RCU_SECTION(machine);
    struct domain *d = find_caller(machine, caller);
    if (!d)
        return -ESRCH;
    event_lock(machine, d);
    bool valid = find_port(machine, d, port) != NULL;
    if (valid)
        unmask_port(machine, d, port);
    event_unlock(machine, d);
    return valid ? 0 : -EINVAL;
}

int pv_evtchn_op_reset(struct pv_machine *machine, domid_t caller, domid_t domain)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = find_target(machine, caller, domain, &d);
    if (error)
        return error;
    close_all_ports(machine, d);
    event_lock(machine, d);
    bool reopened = d->event_channels.active > 0;
    if (!reopened)
        fifo_destroy(machine, d);
    event_unlock(machine, d);
    return reopened ? -EAGAIN : 0;
}
