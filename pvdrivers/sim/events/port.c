#include "pvdrivers/sim/events/internal.h"

#include <errno.h>

/* ---- Locks ----------------------------------------------------------------------------------- */

/* An interdomain port whose peer does not point back: its process died between the two writes. */
static void repair_bindings(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    ec->first_free = 1;
    ec->active = 0;
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        for (uint32_t virq = 0; virq < NR_VIRQS; virq++)
            ec->vcpu[vcpu].virq_port[virq] = 0;
    for (evtchn_port_t port = 1; port < ec->end; port++) {
        struct evtchn *chn = port_entry(machine, d, port);
        struct binding b = load_binding(chn);
        ec->active += b.state != ECS_FREE;
        if (b.state == ECS_VIRQ)
            ec->vcpu[virq_is_per_vcpu(b.remote_port) ? chn->notify_vcpu : 0]
                .virq_port[b.remote_port] = port;
        if (b.state != ECS_INTERDOMAIN)
            continue;
        struct domain *rd = domain_window(machine, b.remote_domid);
        if (!points_to(load_binding(port_entry(machine, rd, b.remote_port)), d->domain_id, port))
            store_binding(chn, (struct binding){ECS_UNBOUND, b.remote_domid, 0});
    }
}

void event_repair(struct pv_machine *machine, struct domain *d)
{
    repair_bindings(machine, d);
    fifo_repair(machine, d);
    repair_handles(machine, d);
    repair_pollers(machine, d);
    raise_waiting_ports(machine, d);
}

void event_lock(struct pv_machine *machine, struct domain *d)
{
    if (sim_lock(&d->event_channels.lock))
        event_repair(machine, d);
}

/* Whoever is woken while the sender has the lock would sleep again at once, for the lock: one more
 * wake-up, which costs more than all the rest of an event. */
void event_unlock_known(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    uint32_t handle = ec->to_signal;
    uint32_t generation = handle ? handle_slot(machine, handle - 1)->generation : 0;
    ec->to_signal = 0;
    sim_unlock(&ec->lock);
    if (handle)
        event_fd_write(machine, handle - 1, generation);
}

void event_unlock(struct pv_machine *machine, struct domain *d)
{
    bool remaining = d->event_channels.unsignalled;
    event_unlock_known(machine, d);
    if (remaining)
        signal_remaining_handles(machine, d);
}

void event_lock_pair(struct pv_machine *machine, struct domain *a, struct domain *b)
{
    struct domain *first = a->domain_id < b->domain_id ? a : b;
    struct domain *second = first == a ? b : a;
    event_lock(machine, first);
    if (second != first)
        event_lock(machine, second);
}

void event_unlock_pair(struct pv_machine *machine, struct domain *a, struct domain *b)
{
    bool a_remaining = a->event_channels.unsignalled, b_remaining = b->event_channels.unsignalled;
    event_unlock_known(machine, a);
    if (b != a)
        event_unlock_known(machine, b);
    if (a_remaining)
        signal_remaining_handles(machine, a);
    if (b_remaining && b != a)
        signal_remaining_handles(machine, b);
}

/* ---- The table ------------------------------------------------------------------------------- */

uint32_t port_limit(const struct domain *d)
{
    uint32_t abi_limit = __atomic_load_n(&d->event_channels.fifo, __ATOMIC_RELAXED)
                             ? EVTCHN_FIFO_NR_CHANNELS
                             : pv_event_2l_ports(domain_abi(d));
    uint32_t own = pv_read_once(&d->event_channels.max_ports);
    return own < abi_limit ? own : abi_limit;
}

struct evtchn *find_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    return port == 0 || port >= port_limit(d) ? NULL : port_entry(machine, d, port);
}

evtchn_port_t peek_free_port(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    evtchn_port_t port = ec->first_free, limit = port_limit(d);
    while (port < ec->end && load_binding(port_entry(machine, d, port)).state != ECS_FREE)
        port++;
    ec->first_free = port;
    return port < limit ? port : 0;
}

struct evtchn *take_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port,
                         uint16_t handle, struct binding b)
{
    struct event_channels *ec = &d->event_channels;
    struct evtchn *chn = port_entry(machine, d, port);
    chn->next = chn->prev = 0;
    chn->queued = chn->pending = chn->is_static = false;
    chn->notify_vcpu = 0;
    chn->priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    __atomic_store_n(&chn->handle, handle, __ATOMIC_RELAXED);
    /* The end first: a repair looks no further. */
    if (ec->end <= port)
        pv_write_once(&ec->end, port + 1);
    ec->active++;
    store_binding(chn, b);
    if (handle) {
        /* The kernel has a handler for it now. */
        struct pv_event_view view = event_view(machine, d, 0);
        struct pv_event_bit mask = pv_event_mask_bit(&view, port);
        if (mask.word)
            pv_fetch_and(mask.word, ~mask.mask);
    }
    return chn;
}

/* The kernel has no handler for it any more. */
static void drop_handler(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = port_entry(machine, d, port);
    if (!chn->handle)
        return;
    struct pv_event_view view = event_view(machine, d, chn->notify_vcpu);
    pv_event_mask(&view, port);
    unqueue_port(machine, d, port);
    __atomic_store_n(&chn->handle, 0, __ATOMIC_RELAXED);
}

void free_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    struct event_channels *ec = &d->event_channels;
    struct evtchn *chn = port_entry(machine, d, port);
    struct binding b = load_binding(chn);
    if (b.state == ECS_VIRQ)
        ec->vcpu[virq_is_per_vcpu(b.remote_port) ? chn->notify_vcpu : 0].virq_port[b.remote_port] =
            0;
    drop_handler(machine, d, port);
    struct pv_event_view view = event_view(machine, d, chn->notify_vcpu);
    /* An event of the port's last life must not greet the next. */
    pv_event_clear_pending(&view, port);
    chn->pending = false;
    store_binding(chn, (struct binding){.state = ECS_FREE});
    ec->active--;
    if (port < ec->first_free)
        ec->first_free = port;
}

/* ---- Closing --------------------------------------------------------------------------------- */

static int close_locked(struct pv_machine *machine, struct domain *d, evtchn_port_t port,
                        uint16_t handle, struct binding b)
{
    struct evtchn *chn = port_entry(machine, d, port);
    struct binding now = load_binding(chn);
    if (handle && chn->handle != handle)
        return -ENOTCONN;
    if (handle && chn->is_static) {
        drop_handler(machine, d, port);
        return 0;
    }
    if (now.state != b.state || now.remote_domid != b.remote_domid ||
        now.remote_port != b.remote_port)
        return -EAGAIN;
    if (b.state == ECS_INTERDOMAIN) {
        struct evtchn *peer =
            port_entry(machine, domain_window(machine, b.remote_domid), b.remote_port);
        if (points_to(load_binding(peer), d->domain_id, port))
            store_binding(peer, (struct binding){ECS_UNBOUND, d->domain_id, 0});
    }
    free_port(machine, d, port);
    return 0;
}

int close_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port, uint16_t handle)
{
    int error;
    do {
        struct binding b = load_binding(port_entry(machine, d, port));
        if (b.state == ECS_FREE)
            return handle ? -ENOTCONN : -EINVAL;
        struct domain *rd = b.state == ECS_INTERDOMAIN ? domain_window(machine, b.remote_domid) : d;
        event_lock_pair(machine, d, rd);
        error = close_locked(machine, d, port, handle, b);
        event_unlock_pair(machine, d, rd);
    } while (error == -EAGAIN); /* it was bound to something else meanwhile */
    return error;
}

evtchn_port_t close_ports(struct pv_machine *machine, struct domain *d, evtchn_port_t from,
                          uint32_t budget)
{
    evtchn_port_t end = pv_read_once(&d->event_channels.end);
    evtchn_port_t port = from;
    for (; port < end && budget > 0; port++, budget--)
        if (load_binding(port_entry(machine, d, port)).state != ECS_FREE)
            close_port(machine, d, port, 0);
    return port < end ? port : 0;
}
