/* Handles: delivery, the fd, masks, crashes; and the upcalls of guests that have none. */
#include "event_machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

struct side {
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *handle;
    evtchn_port_t port;
};

static struct side open_side(struct pv_machine *machine, domid_t domid)
{
    struct side side = {0};
    assert(pv_machine_open_hypervisor(machine, domid, &side.hypervisor) == 0);
    side.handle = sim_evtchn_open(side.hypervisor);
    assert(side.handle);
    return side;
}

static void close_side(struct side *side)
{
    sim_evtchn_close(side->handle);
    side->hypervisor->ops->close(side->hypervisor);
}

static void connect_sides(struct side *a, struct side *b)
{
    int port = sim_evtchn_bind_unbound_port(a->handle, b->hypervisor->domid);
    assert(port > 0);
    a->port = (evtchn_port_t)port;
    port = sim_evtchn_bind_interdomain(b->handle, a->hypervisor->domid, a->port);
    assert(port > 0);
    b->port = (evtchn_port_t)port;
}

static void take_one(struct side *side, evtchn_port_t port)
{
    assert(sim_evtchn_pending(side->handle) == (int)port);
    assert(sim_evtchn_unmask(side->handle, port) == 0);
}

static void test_delivery(enum pv_abi abi)
{
    struct pv_machine *machine = new_machine();
    struct side a = open_side(machine, new_domain(machine, abi, 0));
    struct side b = open_side(machine, new_domain(machine, abi, 0));
    connect_sides(&a, &b);
    int fd_a = sim_evtchn_fd(a.handle), fd_b = sim_evtchn_fd(b.handle);
    assert(is_readable(fd_b)); /* once at the start, at the binder */
    take_one(&b, b.port);
    assert(!is_readable(fd_b) && sim_evtchn_pending(b.handle) == -EAGAIN);

    /* Many events, one delivery; readable until it is taken, then quiet. */
    for (int i = 0; i < 3; i++)
        assert(sim_evtchn_notify(b.handle, b.port) == 0);
    assert(is_readable(fd_a));
    assert(sim_evtchn_pending(a.handle) == (int)a.port);
    assert(!is_readable(fd_a));
    /* The port is masked now; the second event waited. */
    assert(sim_evtchn_pending(a.handle) == -EAGAIN);
    assert(sim_evtchn_unmask(a.handle, a.port) == 0);
    assert(is_readable(fd_a));
    take_one(&a, a.port);
    assert(!is_readable(fd_a));

    assert(sim_evtchn_notify(a.handle, 77) == -ENOTCONN);
    assert(sim_evtchn_unmask(a.handle, 77) == -ENOTCONN);
    assert(sim_evtchn_unbind(a.handle, 77) == -ENOTCONN);
    assert(sim_evtchn_unbind(a.handle, 1 << 20) == -EINVAL);
    close_side(&a);
    assert(sim_evtchn_notify(b.handle, b.port) == 0); /* to no receiver */
    close_side(&b);
    pv_machine_close(machine);
}

/* Ports come in the order they were raised; an unbound one leaves the list. */
static void test_order(void)
{
    struct pv_machine *machine = new_machine();
    domid_t domid_a = new_domain(machine, PV_ABI_X86_64, 0);
    struct side a = open_side(machine, domid_a);
    struct side b = open_side(machine, new_domain(machine, PV_ABI_X86_64, 0));
    evtchn_port_t from[6];
    for (int i = 1; i <= 5; i++) {
        connect_sides(&b, &a);
        from[a.port] = b.port;
        take_one(&a, a.port);
    }
    static const evtchn_port_t raised[] = {4, 1, 5, 2, 3};
    for (int i = 0; i < 5; i++)
        assert(sim_evtchn_notify(b.handle, from[raised[i]]) == 0);
    assert(sim_evtchn_unbind(a.handle, 5) == 0);
    assert(sim_evtchn_unbind(a.handle, 4) == 0);
    assert(sim_evtchn_unbind(a.handle, 3) == 0);
    assert(sim_evtchn_pending(a.handle) == 1);
    assert(is_readable(sim_evtchn_fd(a.handle)));
    assert(sim_evtchn_pending(a.handle) == 2);
    assert(!is_readable(sim_evtchn_fd(a.handle)));
    close_side(&a);
    close_side(&b);
    pv_machine_close(machine);
}

static void repair(struct pv_machine *machine, struct domain *d)
{
    event_lock(machine, d);
    event_repair(machine, d);
    event_unlock(machine, d);
}

/* What a process killed in the middle leaves: the port counts as queued but is in no list. */
static void test_repair(void)
{
    struct pv_machine *machine = new_machine();
    domid_t domid = new_domain(machine, PV_ABI_X86_64, 0);
    struct side a = open_side(machine, domid);
    struct side b = open_side(machine, new_domain(machine, PV_ABI_X86_64, 0));
    connect_sides(&a, &b);
    struct domain *d = find_domain(machine, domid);
    struct pv_event_view view = view_of(machine, domid, 0, NULL);
    port_entry(machine, d, a.port)->queued = true;
    pv_event_mask(&view, a.port);
    d->event_channels.open_handles = 7;
    repair(machine, d);
    assert(d->event_channels.open_handles == 1);
    assert(is_readable(sim_evtchn_fd(a.handle)));
    take_one(&a, a.port);
    assert(!is_readable(sim_evtchn_fd(a.handle)));
    /* Or pending and selected, without an upcall. */
    set_pending_2l(&view, a.port);
    repair(machine, d);
    take_one(&a, a.port);
    close_side(&a);
    close_side(&b);
    pv_machine_close(machine);
}

/* A sender writes the eventfd when it has left the lock, so a reader that is awake may be there
 * first: what is written then is read too. */
static void test_late_signal(void)
{
    struct pv_machine *machine = new_machine();
    struct side a = open_side(machine, new_domain(machine, PV_ABI_X86_64, 0));
    struct side b = open_side(machine, new_domain(machine, PV_ABI_X86_64, 0));
    eventfd_t count;
    connect_sides(&a, &b);
    assert(sim_evtchn_notify(b.handle, b.port) == 0);
    assert(eventfd_read(sim_evtchn_fd(a.handle), &count) == 0); /* as if not written yet */
    take_one(&a, a.port);
    assert(sim_evtchn_notify(b.handle, b.port) == 0);
    assert(!is_readable(sim_evtchn_fd(a.handle))); /* the first write will tell of both */
    eventfd_write(sim_evtchn_fd(a.handle), 1);
    take_one(&a, a.port);
    assert(!is_readable(sim_evtchn_fd(a.handle)));
    close_side(&a);
    close_side(&b);
    pv_machine_close(machine);
}

/* Or the sender dies before it writes. */
static void test_dead_sender(void)
{
    struct pv_machine *machine = new_machine();
    struct side a = open_side(machine, new_domain(machine, PV_ABI_X86_64, 0));
    struct side b = open_side(machine, new_domain(machine, PV_ABI_X86_64, 0));
    eventfd_t count;
    connect_sides(&a, &b);
    assert(sim_evtchn_notify(b.handle, b.port) == 0);
    assert(eventfd_read(sim_evtchn_fd(a.handle), &count) == 0);
    events_subsystem.client_left(machine, 500);
    assert(is_readable(sim_evtchn_fd(a.handle)));
    take_one(&a, a.port);
    assert(!is_readable(sim_evtchn_fd(a.handle)));
    close_side(&a);
    close_side(&b);
    pv_machine_close(machine);
}

/* A process that dies: its ports are closed, its slot can be used again. */
static void test_dead_client(void)
{
    struct pv_machine *machine = new_machine();
    domid_t domid = new_domain(machine, PV_ABI_X86_64, 0);
    struct side a = open_side(machine, domid);
    struct side b = open_side(machine, new_domain(machine, PV_ABI_X86_64, 0));
    connect_sides(&a, &b);
    uint32_t used = machine->client;
    handle_slot(machine, 0)->client = 500 + 1; /* as if another process had opened it */
    events_subsystem.client_left(machine, 500);
    assert(handle_slot(machine, 0)->client == 0 && used == machine->client);
    assert(status_of(machine, domid, a.port).status == EVTCHNSTAT_closed);
    assert(find_domain(machine, domid)->event_channels.open_handles == 0);
    assert(sim_evtchn_notify(b.handle, b.port) == 0);
    struct side again = open_side(machine, domid);
    connect_sides(&again, &b);
    close_side(&again);
    close_side(&b);
    free(a.handle); /* as the dead process's memory */
    a.hypervisor->ops->close(a.hypervisor);
    pv_machine_close(machine);
}

/* The domid's next domain owes nothing to a handle of the last. */
static void test_dead_domain(void)
{
    struct pv_machine *machine = new_machine();
    new_domain(machine, PV_ABI_X86_64, 0);
    domid_t domid = new_domain(machine, PV_ABI_X86_64, 0);
    struct side a = open_side(machine, domid), b = open_side(machine, 0);
    connect_sides(&b, &a);
    assert(is_readable(sim_evtchn_fd(a.handle)));
    assert(pv_domain_destroy(machine, domid) == 0);
    assert(new_domain(machine, PV_ABI_X86_64, 0) == domid);
    assert(sim_evtchn_pending(a.handle) == -ESRCH);
    assert(!is_readable(sim_evtchn_fd(a.handle)));
    assert(sim_evtchn_notify(a.handle, a.port) == -ESRCH);
    assert(sim_evtchn_bind_unbound_port(a.handle, 0) == -ESRCH);
    struct side next = open_side(machine, domid);
    connect_sides(&next, &b);
    close_side(&a); /* the old one */
    assert(sim_evtchn_notify(b.handle, b.port) == 0);
    take_one(&next, next.port);
    close_side(&next);
    close_side(&b);
    pv_machine_close(machine);
}

/* A port of the toolstack's making; events that came before anybody listened are not lost. */
static void test_static_port(void)
{
    struct pv_machine *machine = new_machine();
    new_domain(machine, PV_ABI_X86_64, 0);
    domid_t domid = new_domain(machine, PV_ABI_X86_64, 0);
    struct side dom0 = open_side(machine, 0), guest = open_side(machine, domid);
    assert(pv_evtchn_op_alloc_unbound(machine, 0, domid, 0, &guest.port) == 0);
    dom0.port = (evtchn_port_t)sim_evtchn_bind_interdomain(dom0.handle, domid, guest.port);
    assert(sim_evtchn_notify(dom0.handle, dom0.port) == 0);
    assert(sim_evtchn_pending(guest.handle) == -EAGAIN);
    assert(pv_evtchn_bind_static(guest.handle, 99) == -EINVAL);
    assert(pv_evtchn_bind_static(guest.handle, guest.port) == 0);
    assert(pv_evtchn_bind_static(guest.handle, guest.port) == -EBUSY);
    take_one(&guest, guest.port);
    assert(sim_evtchn_pending(guest.handle) == -EAGAIN);
    /* It outlives its handle, and the next one gets what came meanwhile. */
    evtchn_port_t port = guest.port;
    close_side(&guest);
    assert(sim_evtchn_notify(dom0.handle, dom0.port) == 0);
    guest = open_side(machine, domid);
    guest.port = port;
    assert(pv_evtchn_bind_static(guest.handle, port) == 0);
    take_one(&guest, port);
    assert(sim_evtchn_unbind(guest.handle, port) == 0);
    assert(pv_evtchn_bind_static(guest.handle, port) == 0);
    close_side(&guest);
    close_side(&dom0);
    pv_machine_close(machine);
}

/* The simulated kernel over the FIFO ABI. */
static void test_fifo(void)
{
    struct pv_machine *machine = new_machine();
    domid_t domid = new_domain(machine, PV_ABI_X86_64, 0);
    uint8_t bits;
    assert(pv_evtchn_op_init_control(machine, domid, 20, 0, 0, &bits) == 0);
    assert(pv_evtchn_op_expand_array(machine, domid, 21) == 0);
    struct side a = open_side(machine, domid), b = open_side(machine, domid);
    for (int round = 0; round < 3; round++) {
        connect_sides(&a, &b);
        take_one(&b, b.port);
        for (int i = 0; i < 10; i++) {
            assert(sim_evtchn_notify(a.handle, a.port) == 0);
            assert(sim_evtchn_notify(a.handle, a.port) == 0);
            assert(sim_evtchn_notify(b.handle, b.port) == 0);
            take_one(&a, a.port);
            take_one(&b, b.port);
            take_one(&b, b.port);
            assert(sim_evtchn_pending(b.handle) == -EAGAIN);
        }
        event_repair(machine, find_domain(machine, domid));
    }
    close_side(&a);
    close_side(&b);
    pv_machine_close(machine);
}

static void test_upcall(void)
{
    struct pv_machine *machine = new_machine();
    domid_t domid = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port, ports[64];
    assert(pv_evtchn_op_bind_ipi(machine, domid, 1, &port) == 0);
    assert(pv_evtchn_op_send(machine, domid, port) == 0);
    struct pv_upcall *upcall, *second;
    assert(pv_upcall_open(machine, domid, 2, &upcall) == -ENOENT);
    assert(pv_upcall_open(machine, domid, 1, &upcall) == 0);
    assert(pv_upcall_open(machine, domid, 1, &second) == -EBUSY);
    struct pv_event_view view = view_of(machine, domid, 1, NULL);
    assert(is_readable(pv_upcall_fd(upcall))); /* what waited */
    assert(pv_upcall_take(upcall) == 1 && pv_upcall_take(upcall) == 0);
    assert(!is_readable(pv_upcall_fd(upcall)));
    assert(pv_event_scan(&view, ports, 64) == 1 && ports[0] == port);
    assert(pv_event_clear_pending(&view, port));
    assert(pv_evtchn_op_send(machine, domid, port) == 0);
    assert(pv_upcall_take(upcall) == 1);
    /* A handle of the same domain has its kernel on the other vcpu. */
    struct side a = open_side(machine, domid), b = open_side(machine, domid);
    connect_sides(&a, &b);
    take_one(&b, b.port);
    assert(pv_event_is_pending(&view, port) && !pv_event_is_masked(&view, port));
    close_side(&a);
    close_side(&b);
    pv_upcall_close(upcall);
    assert(pv_upcall_open(machine, domid, 1, &upcall) == 0);
    pv_upcall_close(upcall);
    pv_machine_close(machine);
}

int main(void)
{
    for (int abi = 0; abi < PV_ABI_COUNT; abi++)
        test_delivery((enum pv_abi)abi);
    test_order();
    test_repair();
    test_late_signal();
    test_dead_sender();
    test_dead_client();
    test_dead_domain();
    test_static_port();
    test_fifo();
    test_upcall();
    return 0;
}
