/*
 * Delivery. A guest that reads shared_info itself gets an upcall and does the rest. A domain whose
 * processes use handles has a kernel instead, and the sender plays it: it runs the consumer of the
 * ABI on the target's words, masks each port found, clears its pending bit and puts it into the
 * list of the handle it is bound to. So a port is in a list once at most, and the lists, linked
 * through the port table, can be rebuilt from it.
 */
#include "pvdrivers/sim/events/internal.h"

#include <sys/eventfd.h>

#define SCAN_BATCH 64

struct pv_event_view event_view(struct pv_machine *machine, struct domain *d, uint32_t vcpu)
{
    struct event_channels *ec = &d->event_channels;
    struct evtchn_fifo_vcpu *fifo = &ec->vcpu[vcpu].fifo;
    struct pv_event_view view = {
        .abi = (enum pv_abi)d->abi,
        .vcpu = vcpu,
        .shared_info = domain_xenheap(machine, d, XENHEAP_SHARED_INFO),
        .vcpu_info = machine->memory + d->vcpu[vcpu].info,
        .fifo = pv_read_once(&ec->fifo),
    };
    if (view.fifo) {
        /* Acquire: where in its page the block lies was stored before (XSA-358). */
        uint64_t control = pv_load_acquire_64(&fifo->control_mfn);
        if (control)
            view.control_block =
                (void *)((uint8_t *)frame_address(machine, control - 1) + fifo->control_offset);
        view.fifo_heads = fifo->head;
        view.memory = machine->memory;
        view.event_frames = ec->event_frames;
        /* Acquire: the pages are in the array before the count covers them (XSA-359). */
        view.event_frame_count = pv_load_acquire(&ec->event_frame_count);
    }
    return view;
}

/* ---- Handles' lists -------------------------------------------------------------------------- */

void queue_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = port_entry(machine, d, port);
    struct event_handle *h = handle_slot(machine, chn->handle - 1u);
    chn->queued = true;
    chn->next = 0;
    chn->prev = h->tail;
    if (h->tail)
        port_entry(machine, d, h->tail)->next = port;
    else
        h->head = port;
    h->tail = port;
    signal_handle(machine, d, chn->handle - 1u);
}

void unqueue_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = port_entry(machine, d, port);
    if (!chn->queued)
        return;
    struct event_handle *h = handle_slot(machine, chn->handle - 1u);
    if (chn->prev)
        port_entry(machine, d, chn->prev)->next = chn->next;
    else
        h->head = chn->next;
    if (chn->next)
        port_entry(machine, d, chn->next)->prev = chn->prev;
    else
        h->tail = chn->prev;
    chn->queued = false;
}

/* Under the lock when there are several at once. */
static void signal_after_unlock(struct pv_machine *machine, struct event_channels *ec,
                                uint32_t handle)
{
    uint32_t before = ec->to_signal;
    if (before)
        event_fd_write(machine, before - 1, handle_slot(machine, before - 1)->generation);
    ec->to_signal = handle + 1;
}

/* One write each time a quiet eventfd gets something to say. */
void signal_handle(struct pv_machine *machine, struct domain *d, uint32_t handle)
{
    struct event_handle *h = handle_slot(machine, handle);
    if (h->signalled)
        return;
    if (event_fd(machine, handle, h->generation) < 0) {
        d->event_channels.unsignalled += !h->unsignalled;
        h->unsignalled = true;
        return;
    }
    d->event_channels.unsignalled -= h->unsignalled;
    h->unsignalled = false;
    h->signalled = true;
    signal_after_unlock(machine, &d->event_channels, handle);
}

void quiet_handle(struct event_handle *h, int fd)
{
    eventfd_t count;
    /* When there is nothing to read the sender is about to write, which the reader then finds. */
    h->signalled = h->signalled && eventfd_read(fd, &count) < 0;
}

static bool is_handle_of(const struct event_handle *h, const struct domain *d)
{
    return h->open && h->domid == d->domain_id && h->domain_generation == domain_generation(d);
}

void signal_again(struct pv_machine *machine, uint32_t handle)
{
    struct event_handle *h = handle_slot(machine, handle);
    struct domain *d = domain_window(machine, h->domid);
    event_lock(machine, d);
    if (is_handle_of(h, d) && h->signalled) {
        h->signalled = false;
        signal_handle(machine, d, handle);
    }
    event_unlock(machine, d);
}

/* A handle of the domain with its eventfd to be written, or MAX_EVENT_HANDLES. */
static uint32_t find_unsignalled(struct pv_machine *machine, struct domain *d)
{
    uint32_t end = pv_read_once(&machine->shared->event_handles.end);
    for (uint32_t i = 0; i < end; i++)
        if (handle_slot(machine, i)->unsignalled && is_handle_of(handle_slot(machine, i), d))
            return i;
    return MAX_EVENT_HANDLES;
}

void signal_remaining_handles(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    for (;;) {
        event_lock(machine, d);
        uint32_t i = find_unsignalled(machine, d);
        if (i == MAX_EVENT_HANDLES) {
            ec->unsignalled = 0;
            event_unlock_known(machine, d);
            return;
        }
        uint32_t generation = handle_slot(machine, i)->generation;
        event_unlock_known(machine, d);
        event_fds_fetch(machine, i, generation);
        event_lock(machine, d);
        struct event_handle *h = handle_slot(machine, i);
        if (h->unsignalled && h->generation == generation) {
            signal_handle(machine, d, i);
            h->unsignalled = false; /* its process is gone when the eventfd is not to be had */
        }
        event_unlock_known(machine, d);
    }
}

void repair_handles(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    uint32_t end = pv_read_once(&machine->shared->event_handles.end);
    ec->open_handles = ec->to_signal = 0;
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        ec->vcpu[vcpu].upcall = 0;
    for (uint32_t i = 0; i < end; i++) {
        struct event_handle *h = handle_slot(machine, i);
        if (!is_handle_of(h, d))
            continue;
        if (h->upcall)
            ec->vcpu[h->vcpu].upcall = (uint16_t)(i + 1);
        else
            ec->open_handles++;
        h->head = h->tail = 0;
        /* Once too often rather than never. */
        h->signalled = false;
        signal_handle(machine, d, i);
    }
    for (evtchn_port_t port = 1; port < ec->end; port++) {
        struct evtchn *chn = port_entry(machine, d, port);
        if (load_binding(chn).state != ECS_FREE && chn->handle && chn->queued)
            queue_port(machine, d, port);
    }
}

/* ---- Upcalls --------------------------------------------------------------------------------- */

/* A port without a handle is masked, as a kernel does, and stays pending. */
static void accept_event(struct pv_machine *machine, struct domain *d, struct pv_event_view *view,
                         evtchn_port_t port)
{
    struct evtchn *chn = find_port(machine, d, port);
    /* Another vcpu's in the same word, or written by the guest itself. */
    if (!chn || chn->notify_vcpu != view->vcpu)
        return;
    if (!chn->handle) {
        pv_event_mask(view, port);
        return;
    }
    /* A process killed between these steps: the port counts as queued, the repair queues it. */
    bool fresh = !chn->queued;
    chn->queued = true;
    pv_event_mask(view, port);
    pv_event_clear_pending(view, port);
    if (!fresh)
        return;
    trace(machine, PV_TRACE_EVTCHN_DELIVER, d->domain_id, port, 0, 0);
    queue_port(machine, d, port);
}

/* The kernel's answer: takes what was raised for the vcpu to the handles. */
static void answer_upcall(struct pv_machine *machine, struct domain *d, struct pv_event_view *view)
{
    evtchn_port_t ports[SCAN_BATCH];
    /* Every port found is masked, so no more rounds than this unless the guest meddles. */
    uint32_t count, rounds = port_limit(d);
    while ((count = pv_event_scan(view, ports, SCAN_BATCH)) > 0 && rounds--)
        for (uint32_t i = 0; i < count; i++)
            accept_event(machine, d, view, ports[i]);
}

void send_upcall(struct pv_machine *machine, struct domain *d, struct pv_event_view *view)
{
    struct event_channels *ec = &d->event_channels;
    /* No order: the full barrier that selected the word, or made the queue ready, gives it. What
     * was there says whether this is a new upcall. */
    if (!pv_exchange_byte(pv_event_upcall_pending(view), 1)) {
        account(d, PV_ACCOUNT_UPCALL, 1);
        d->vcpu[view->vcpu].upcalls++;
        stop_waiting(machine, d, view->vcpu);
    }
    if (ec->vcpu[view->vcpu].upcall)
        signal_handle(machine, d, ec->vcpu[view->vcpu].upcall - 1u);
    else if (ec->open_handles)
        answer_upcall(machine, d, view);
}

void raise_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    struct pv_event_view view = event_view(machine, d, port_entry(machine, d, port)->notify_vcpu);
    if (view.fifo ? set_pending_fifo(machine, d, port) : set_pending_2l(&view, port))
        send_upcall(machine, d, &view);
    if (d->event_channels.pollers)
        wake_pollers(machine, d, port);
}

void unmask_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    struct pv_event_view view = event_view(machine, d, port_entry(machine, d, port)->notify_vcpu);
    if (view.fifo ? unmask_fifo(machine, d, port) : unmask_2l(&view, port))
        send_upcall(machine, d, &view);
}

void raise_waiting_ports(struct pv_machine *machine, struct domain *d)
{
    for (evtchn_port_t port = 1; port < d->event_channels.end; port++) {
        struct evtchn *chn = port_entry(machine, d, port);
        if (load_binding(chn).state == ECS_FREE)
            continue;
        struct pv_event_view view = event_view(machine, d, chn->notify_vcpu);
        if (!pv_event_is_masked(&view, port) && pv_event_clear_pending(&view, port))
            raise_port(machine, d, port);
    }
    /* Those whose selector bit or queue was set already caused no new upcall. */
    struct event_channels *ec = &d->event_channels;
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++) {
        struct pv_event_view view = event_view(machine, d, vcpu);
        if (!ec->vcpu[vcpu].upcall && ec->open_handles)
            answer_upcall(machine, d, &view);
        else if (ec->vcpu[vcpu].upcall && *pv_event_upcall_pending(&view))
            signal_handle(machine, d, ec->vcpu[vcpu].upcall - 1u);
    }
}
