/* Slots of machine.event_handles: opening, closing, and the end of their process. */
#include "pvdrivers/sim/core/broker.h"
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static uint32_t take_slot_from(struct pv_machine *machine, uint32_t first)
{
    struct event_handles *handles = &machine->shared->event_handles;
    for (uint32_t i = first; i < MAX_EVENT_HANDLES; i++) {
        if (pv_compare_exchange(&handles->slot[i].client, 0, machine->client + 1) != 0)
            continue;
        uint32_t end = pv_read_once(&handles->end);
        while (end <= i) {
            uint32_t seen = pv_compare_exchange(&handles->end, end, i + 1);
            if (seen == end)
                break;
            end = seen;
        }
        pv_write_once(&handles->first_free, i + 1);
        return i;
    }
    return MAX_EVENT_HANDLES;
}

static uint32_t take_slot(struct pv_machine *machine)
{
    uint32_t first = pv_read_once(&machine->shared->event_handles.first_free);
    uint32_t slot = take_slot_from(machine, first);
    return slot < MAX_EVENT_HANDLES ? slot : take_slot_from(machine, 0);
}

static void return_slot(struct pv_machine *machine, uint32_t index)
{
    struct event_handles *handles = &machine->shared->event_handles;
    pv_store_release(&handles->slot[index].client, 0);
    if (index < pv_read_once(&handles->first_free))
        pv_write_once(&handles->first_free, index);
}

/* Under the domain's lock. */
static int enter_domain(const struct event_slot *slot, int upcall_vcpu)
{
    struct event_channels *ec = &slot->domain->event_channels;
    struct event_handle *h = handle_slot(slot->machine, slot->index);
    bool upcall = upcall_vcpu != NO_UPCALL;
    if (upcall && ec->vcpu[upcall_vcpu].upcall)
        return -EBUSY;
    h->domid = slot->domain->domain_id;
    h->domain_generation = slot->domain_generation;
    h->head = h->tail = 0;
    h->signalled = h->unsignalled = false;
    h->upcall = upcall;
    h->vcpu = upcall ? (uint8_t)upcall_vcpu : 0;
    h->open = true;
    if (upcall)
        ec->vcpu[upcall_vcpu].upcall = (uint16_t)(slot->index + 1);
    else
        ec->open_handles++;
    /* Events that waited now have a receiver. */
    if (upcall || ec->open_handles == 1)
        raise_waiting_ports(slot->machine, slot->domain);
    return 0;
}

static bool find_slot_domain(struct event_slot *slot, struct pv_machine *machine, domid_t domid)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (d)
        *slot = (struct event_slot){
            .machine = machine, .domain = d, .domain_generation = domain_generation(d)};
    return d;
}

int event_slot_open(struct event_slot *slot, struct pv_machine *machine, domid_t domid,
                    int upcall_vcpu)
{
    if (!find_slot_domain(slot, machine, domid))
        return -ESRCH;
    slot->index = take_slot(machine);
    if (slot->index == MAX_EVENT_HANDLES)
        return -EMFILE;
    uint32_t generation = ++handle_slot(machine, slot->index)->generation;
    slot->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = slot->fd < 0 ? -errno : 0;
    if (!error) {
        event_fds_add(machine, slot->index, generation, slot->fd);
        error = broker_publish_eventfd(machine, slot->index, generation, slot->fd);
    }
    if (!error && !event_slot_lock(slot)) {
        error = -EINVAL; /* it began to die */
    } else if (!error) {
        error = enter_domain(slot, upcall_vcpu);
        event_slot_unlock(slot);
    }
    if (error) {
        event_fds_remove(machine, slot->index);
        return_slot(machine, slot->index);
    }
    return error;
}

bool event_slot_lock(struct event_slot *slot)
{
    struct domain *d = slot->domain;
    event_lock(slot->machine, d);
    if (event_slot_domain(slot))
        return true;
    event_unlock(slot->machine, d);
    return false;
}

void event_slot_unlock(struct event_slot *slot)
{
    event_unlock(slot->machine, slot->domain);
}

/* Closes the ports of a handle; under no lock. */
static void close_slot_ports(struct pv_machine *machine, struct domain *d, uint32_t index)
{
    evtchn_port_t end = pv_read_once(&d->event_channels.end);
    for (evtchn_port_t port = 1; port < end; port++)
        if (__atomic_load_n(&port_entry(machine, d, port)->handle, __ATOMIC_RELAXED) == index + 1)
            close_port(machine, d, port, (uint16_t)(index + 1));
}

/* Under the domain's lock. */
static void leave_domain(struct event_channels *ec, struct event_handle *h, uint32_t index)
{
    h->open = false;
    ec->unsignalled -= h->unsignalled;
    h->unsignalled = false;
    if (!h->upcall)
        ec->open_handles--;
    else if (ec->vcpu[h->vcpu].upcall == index + 1)
        ec->vcpu[h->vcpu].upcall = 0;
}

static void shut_slot(struct event_slot *slot)
{
    RCU_SECTION(slot->machine);
    struct event_handle *h = handle_slot(slot->machine, slot->index);
    if (h->open && !h->upcall && event_slot_domain(slot))
        close_slot_ports(slot->machine, slot->domain, slot->index);
    if (h->open && event_slot_lock(slot)) {
        leave_domain(&slot->domain->event_channels, h, slot->index);
        event_slot_unlock(slot);
    }
    h->open = false;
}

void event_slot_close(struct event_slot *slot)
{
    uint32_t generation = handle_slot(slot->machine, slot->index)->generation;
    shut_slot(slot);
    broker_withdraw_eventfd(slot->machine, slot->index, generation);
    event_fds_remove(slot->machine, slot->index);
    return_slot(slot->machine, slot->index);
}

void event_slots_release_client(struct pv_machine *machine, uint32_t client)
{
    /* Taking a lock repairs what the process was in the middle of. */
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        RCU_SECTION(machine);
        struct domain *d = find_domain(machine, (domid_t)domid);
        if (!d)
            continue;
        event_lock(machine, d);
        event_unlock(machine, d);
    }
    uint32_t end = pv_read_once(&machine->shared->event_handles.end);
    for (uint32_t index = 0; index < end; index++) {
        struct event_handle *h = handle_slot(machine, index);
        if (pv_load_acquire(&h->client) != client + 1)
            continue;
        struct event_slot slot = {.machine = machine,
                                  .domain = domain_window(machine, h->domid),
                                  .domain_generation = h->domain_generation,
                                  .index = index};
        shut_slot(&slot);
        return_slot(machine, index);
    }
    /* What it has queued, and not told of yet, is told of: once too often rather than never. */
    for (uint32_t index = 0; index < end; index++)
        if (handle_slot(machine, index)->signalled)
            signal_again(machine, index);
}
