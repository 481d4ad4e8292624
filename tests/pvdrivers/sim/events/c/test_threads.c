/*
 * Threads of two domains: events, binding, closing and resets at once (XSA-331, 340, 343). Every
 * notification is followed by a delivery, whatever else happens.
 */
#include "event_machine.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 3000

struct peer {
    struct pv_machine *machine;
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *handle;
    evtchn_port_t port;
    uint32_t *ours, *theirs; /* what each side has said */
};

static void wait_for_readable(struct pv_evtchn *handle)
{
    struct pollfd poll_fd = {.fd = sim_evtchn_fd(handle), .events = POLLIN};
    assert(poll(&poll_fd, 1, 20000) == 1); /* a lost wake-up ends here */
}

/* Says a number, then waits until the other side has said the same. */
static void *ping(void *argument)
{
    struct peer *peer = argument;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        __atomic_store_n(peer->ours, round, __ATOMIC_RELAXED);
        assert(sim_evtchn_notify(peer->handle, peer->port) == 0);
        while (__atomic_load_n(peer->theirs, __ATOMIC_RELAXED) < round) {
            int port = sim_evtchn_pending(peer->handle);
            if (port == -EAGAIN)
                wait_for_readable(peer->handle);
            else
                assert(sim_evtchn_unmask(peer->handle, (evtchn_port_t)port) == 0);
        }
    }
    return NULL;
}

static void open_peer(struct peer *peer, struct pv_machine *machine, domid_t domid)
{
    peer->machine = machine;
    assert(pv_machine_open_hypervisor(machine, domid, &peer->hypervisor) == 0);
    peer->handle = sim_evtchn_open(peer->hypervisor);
}

static void close_peer(struct peer *peer)
{
    sim_evtchn_close(peer->handle);
    peer->hypervisor->ops->close(peer->hypervisor);
}

static void test_ping_pong(void)
{
    struct pv_machine *machine = new_machine();
    uint32_t said[2] = {0, 0};
    struct peer a = {.ours = &said[0], .theirs = &said[1]};
    struct peer b = {.ours = &said[1], .theirs = &said[0]};
    open_peer(&a, machine, new_domain(machine, PV_ABI_X86_64, 0));
    open_peer(&b, machine, new_domain(machine, PV_ABI_X86_32, 0));
    a.port = (evtchn_port_t)sim_evtchn_bind_unbound_port(a.handle, b.hypervisor->domid);
    b.port = (evtchn_port_t)sim_evtchn_bind_interdomain(b.handle, a.hypervisor->domid, a.port);
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, ping, &a);
    pthread_create(&threads[1], NULL, ping, &b);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    close_peer(&a);
    close_peer(&b);
    pv_machine_close(machine);
}

static atomic_bool stop;

static void *send_everywhere(void *argument)
{
    struct peer *peer = argument;
    while (!atomic_load(&stop))
        for (evtchn_port_t port = 0; port < 20; port++)
            pv_evtchn_op_send(peer->machine, peer->hypervisor->domid, port);
    return NULL;
}

static void *reset_often(void *argument)
{
    struct peer *peer = argument;
    uint8_t bits;
    while (!atomic_load(&stop)) {
        pv_evtchn_op_init_control(peer->machine, peer->hypervisor->domid, 20, 0, 0, &bits);
        pv_evtchn_op_expand_array(peer->machine, peer->hypervisor->domid, 21);
        int error = pv_evtchn_op_reset(peer->machine, peer->hypervisor->domid, DOMID_SELF);
        assert(error == 0 || error == -EAGAIN);
    }
    return NULL;
}

/* Binds and closes while its peer's events fly and its ports are reset under it. */
static void test_storm(void)
{
    struct pv_machine *machine = new_machine();
    struct peer a = {0}, b = {0};
    open_peer(&a, machine, new_domain(machine, PV_ABI_X86_64, 0));
    open_peer(&b, machine, new_domain(machine, PV_ABI_X86_64, 0));
    pthread_t threads[2];
    atomic_store(&stop, false);
    pthread_create(&threads[0], NULL, send_everywhere, &a);
    pthread_create(&threads[1], NULL, reset_often, &b);
    for (int round = 0; round < ROUNDS; round++) {
        int port = sim_evtchn_bind_unbound_port(a.handle, b.hypervisor->domid);
        assert(port > 0);
        int remote =
            sim_evtchn_bind_interdomain(b.handle, a.hypervisor->domid, (evtchn_port_t)port);
        assert(remote > 0);
        sim_evtchn_notify(b.handle, (evtchn_port_t)remote);
        int delivered = sim_evtchn_pending(a.handle);
        assert(delivered == -EAGAIN || delivered == port);
        sim_evtchn_pending(b.handle);
        int error = sim_evtchn_unbind(b.handle, (evtchn_port_t)remote);
        assert(error == 0 || error == -ENOTCONN); /* the reset was there first */
        assert(sim_evtchn_unbind(a.handle, (evtchn_port_t)port) == 0);
    }
    atomic_store(&stop, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert(find_domain(machine, 0)->event_channels.active == 0);
    assert(pv_evtchn_op_reset(machine, b.hypervisor->domid, DOMID_SELF) == 0);
    close_peer(&a);
    close_peer(&b);
    pv_machine_close(machine);
}

int main(void)
{
    test_ping_pong();
    test_storm();
    return 0;
}
