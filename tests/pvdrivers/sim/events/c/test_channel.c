/* The hypercalls and the 2-level ABI, and what the security advisories ask of them. */
#include "event_machine.h"

#include <stdlib.h>

static void test_connection(void)
{
    struct pv_machine *machine = new_machine();
    domid_t a = new_domain(machine, PV_ABI_X86_64, 0), b = new_domain(machine, PV_ABI_X86_32, 0);
    evtchn_port_t port_a, port_b, other;
    connect_ports(machine, a, b, &port_a, &port_b);
    assert(port_a == 1 && port_b == 1); /* port 0 is never handed out */
    struct pv_event_view view_a = view_of(machine, a, 0, NULL);
    struct pv_event_view view_b = view_of(machine, b, 0, NULL);
    assert(pv_event_is_pending(&view_b, port_b)); /* at once, at the binder */
    assert(!pv_event_is_pending(&view_a, port_a));

    struct evtchn_status status = status_of(machine, a, port_a);
    assert(status.status == EVTCHNSTAT_interdomain);
    assert(status.u.interdomain.dom == b && status.u.interdomain.port == port_b);
    /* It is taken now. */
    assert(pv_evtchn_op_bind_interdomain(machine, b, a, port_a, &other) == -EINVAL);

    assert(pv_evtchn_op_send(machine, b, port_b) == 0);
    assert(pv_event_is_pending(&view_a, port_a));

    assert(pv_evtchn_op_close(machine, b, port_b) == 0);
    status = status_of(machine, a, port_a);
    assert(status.status == EVTCHNSTAT_unbound && status.u.unbound.dom == b);
    assert(status_of(machine, b, port_b).status == EVTCHNSTAT_closed);
    assert(pv_evtchn_op_send(machine, a, port_a) == 0); /* dropped */
    assert(!pv_event_is_pending(&view_b, port_b));
    /* The same two may connect again. */
    assert(pv_evtchn_op_bind_interdomain(machine, b, a, port_a, &port_b) == 0);
    pv_machine_close(machine);
}

static void test_scan(enum pv_abi abi)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, abi, 0);
    struct pv_event_view view = view_of(machine, d, 1, NULL);
    enum { COUNT = 200 };
    for (evtchn_port_t i = 1; i <= COUNT; i++) {
        evtchn_port_t port;
        assert(pv_evtchn_op_bind_ipi(machine, d, 1, &port) == 0 && port == i);
        assert(pv_evtchn_op_send(machine, d, port) == 0);
    }
    assert(pv_event_mask(&view, 33) == false);
    bool seen[COUNT + 1] = {false};
    evtchn_port_t ports[64];
    uint32_t count, total = 0;
    assert(*pv_event_upcall_pending(&view) == 1);
    while ((count = pv_event_scan(&view, ports, 64)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            assert(!seen[ports[i]]);
            seen[ports[i]] = true;
            assert(pv_event_clear_pending(&view, ports[i]));
        }
        total += count;
        assert(*pv_event_upcall_pending(&view) == (total < COUNT - 1));
    }
    assert(total == COUNT - 1 && !seen[33]);
    /* The mask holds it back; the hypercall lets it through. */
    assert(!pv_event_unmask(&view, 33));
    assert(pv_event_scan(&view, ports, 64) == 0);
    assert(pv_evtchn_op_unmask(machine, d, 33) == 0);
    assert(pv_event_scan(&view, ports, 64) == 1 && ports[0] == 33);
    pv_machine_close(machine);
}

/* XSA-342, 317, 496: no port beyond the guest's bitmaps; running out changes nothing else. */
static void test_limits(void)
{
    struct pv_machine *machine = new_machine();
    static const struct {
        enum pv_abi abi;
        uint32_t max_ports, expected;
    } cases[] = {{PV_ABI_X86_64, 0, 4095},
                 {PV_ABI_X86_32, 0, 1023},
                 {PV_ABI_IA64, 0, 4095},
                 {PV_ABI_X86_64, 64, 63},
                 {PV_ABI_X86_32, 4096, 1023}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        domid_t d = new_domain(machine, cases[i].abi, cases[i].max_ports);
        evtchn_port_t port = 0;
        for (uint32_t n = 1; n <= cases[i].expected; n++)
            assert(pv_evtchn_op_alloc_unbound(machine, d, DOMID_SELF, 0, &port) == 0 && port == n);
        port = 77;
        assert(pv_evtchn_op_alloc_unbound(machine, d, DOMID_SELF, 0, &port) == -ENOSPC);
        assert(pv_evtchn_op_bind_virq(machine, d, VIRQ_DEBUG, 0, &port) == -ENOSPC);
        assert(pv_evtchn_op_bind_ipi(machine, d, 0, &port) == -ENOSPC && port == 77);
        assert(pv_evtchn_op_close(machine, d, 40) == 0);
        assert(pv_evtchn_op_bind_virq(machine, d, VIRQ_DEBUG, 0, &port) == 0 && port == 40);
        assert(pv_domain_destroy(machine, d) == 0);
    }
    pv_machine_close(machine);
}

/* XSA-221: ports that do not exist, or are free, in every call. */
static void test_bad_ports(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, PV_ABI_X86_32, 0);
    static const evtchn_port_t bad[] = {0, 1, 1023, 1024, 4096, 131071, 131072, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        evtchn_port_t port;
        assert(pv_evtchn_op_send(machine, d, bad[i]) == -EINVAL);
        assert(pv_evtchn_op_close(machine, d, bad[i]) == -EINVAL);
        assert(pv_evtchn_op_bind_vcpu(machine, d, bad[i], 0) == -EINVAL);
        assert(pv_evtchn_op_bind_interdomain(machine, d, d, bad[i], &port) == -EINVAL);
        struct evtchn_status status = {.dom = d, .port = bad[i]};
        int expected = bad[i] < 1024 ? 0 : -EINVAL;
        assert(pv_evtchn_op_status(machine, d, &status) == expected);
        assert(pv_evtchn_op_unmask(machine, d, bad[i]) == (bad[i] ? expected : -EINVAL));
    }
    struct pv_event_view view = view_of(machine, d, 0, NULL);
    assert(!pv_event_is_pending(&view, 1024) && pv_event_is_masked(&view, 1024));
    pv_machine_close(machine);
}

static void test_privilege(void)
{
    struct pv_machine *machine = new_machine();
    domid_t dom0 = new_domain(machine, PV_ABI_X86_64, 0), a = new_domain(machine, PV_ABI_X86_64, 0),
            b = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port, local;
    assert(pv_evtchn_op_alloc_unbound(machine, a, b, a, &port) == -EPERM);
    assert(pv_evtchn_op_alloc_unbound(machine, dom0, 15, 0, &port) == -ESRCH);
    assert(pv_evtchn_op_alloc_unbound(machine, 15, 0, 0, &port) == -ESRCH);
    assert(pv_evtchn_op_alloc_unbound(machine, dom0, a, DOMID_SELF, &port) == 0);
    assert(status_of(machine, a, port).u.unbound.dom == dom0);
    assert(pv_evtchn_op_reset(machine, a, b) == -EPERM);
    struct evtchn_status status = {.dom = a, .port = port};
    assert(pv_evtchn_op_status(machine, b, &status) == -EPERM);
    assert(pv_evtchn_op_status(machine, dom0, &status) == 0);
    /* Reserved for domain 0: no other domain may have it. */
    assert(pv_evtchn_op_bind_interdomain(machine, b, a, port, &local) == -EINVAL);
    assert(pv_evtchn_op_bind_interdomain(machine, dom0, a, port, &local) == 0);
    assert(pv_evtchn_op_bind_interdomain(machine, dom0, 15, port, &local) == -ESRCH);
    pv_machine_close(machine);
}

static void test_virqs(void)
{
    struct pv_machine *machine = new_machine();
    domid_t dom0 = new_domain(machine, PV_ABI_X86_64, 0), a = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port, other;
    assert(pv_evtchn_op_bind_virq(machine, a, NR_VIRQS, 0, &port) == -EINVAL);
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_TIMER, 2, &port) == -ENOENT);
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_ARGO, 1, &port) == -EINVAL);
    assert(pv_evtchn_op_bind_virq(machine, dom0, VIRQ_DOM_EXC, 1, &port) == -EINVAL);
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_DOM_EXC, 0, &port) == -EBUSY);

    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_TIMER, 1, &port) == 0);
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_TIMER, 1, &other) == -EEXIST);
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_TIMER, 0, &other) == 0);
    assert(pv_evtchn_op_bind_vcpu(machine, a, port, 0) == -EINVAL); /* per vcpu */
    assert(pv_evtchn_op_send(machine, a, port) == -EINVAL);
    struct pv_event_view view = view_of(machine, a, 1, NULL);
    assert(pv_machine_send_virq(machine, a, VIRQ_TIMER, 1) == 0);
    assert(pv_event_is_pending(&view, port) && !pv_event_is_pending(&view, other));
    assert(status_of(machine, a, port).u.virq == VIRQ_TIMER);
    assert(pv_evtchn_op_close(machine, a, port) == 0);
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_TIMER, 1, &port) == 0);

    /* A global VIRQ has one owner, and may move between its vcpus. */
    assert(pv_evtchn_op_bind_virq(machine, dom0, VIRQ_DOM_EXC, 0, &port) == 0);
    assert(pv_evtchn_op_bind_vcpu(machine, dom0, port, 1) == 0);
    assert(pv_evtchn_op_bind_vcpu(machine, dom0, port, 2) == -ENOENT);
    assert(pv_machine_send_virq(machine, dom0, VIRQ_DOM_EXC, 0) == 0);
    assert(pv_machine_set_virq_handler(machine, a, VIRQ_TIMER) == -EINVAL);
    assert(pv_machine_set_virq_handler(machine, a, VIRQ_CONSOLE) == 0);
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_CONSOLE, 0, &port) == 0);
    /* Freed with its port, also after it moved. */
    assert(pv_evtchn_op_reset(machine, dom0, DOMID_SELF) == 0);
    assert(pv_evtchn_op_bind_virq(machine, dom0, VIRQ_DOM_EXC, 0, &port) == 0);
    pv_machine_close(machine);
}

/* XSA-338, 344: a reset closes everything, in bounded steps, and ports work again after it. */
static void test_reset(void)
{
    struct pv_machine *machine = new_machine();
    domid_t a = new_domain(machine, PV_ABI_X86_64, 0), b = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port_a, port_b;
    for (int i = 0; i < 2000; i++)
        connect_ports(machine, a, b, &port_a, &port_b);
    struct domain *d = find_domain(machine, a);
    assert(close_ports(machine, d, 1, 256) == 257); /* no more than it was given */
    assert(d->event_channels.active == 2000 - 256);
    assert(status_of(machine, b, 1).status == EVTCHNSTAT_unbound);
    assert(status_of(machine, b, 257).status == EVTCHNSTAT_interdomain);
    assert(pv_evtchn_op_reset(machine, a, DOMID_SELF) == 0);
    assert(d->event_channels.active == 0);
    for (evtchn_port_t port = 1; port <= 2000; port++) {
        struct evtchn_status status = status_of(machine, b, port);
        assert(status.status == EVTCHNSTAT_unbound && status.u.unbound.dom == a);
    }
    connect_ports(machine, a, b, &port_a, &port_b);
    assert(port_a == 1);
    assert(pv_evtchn_op_send(machine, b, port_b) == 0);
    struct pv_event_view view = view_of(machine, a, 0, NULL);
    assert(pv_event_is_pending(&view, port_a));
    pv_machine_close(machine);
}

static void test_dying_domain(void)
{
    struct pv_machine *machine = new_machine();
    domid_t a = new_domain(machine, PV_ABI_X86_64, 0), b = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port_a, port_b;
    connect_ports(machine, a, b, &port_a, &port_b);
    assert(pv_evtchn_op_send(machine, a, port_a) == 0);
    assert(pv_domain_destroy(machine, b) == 0);
    assert(status_of(machine, a, port_a).status == EVTCHNSTAT_unbound);
    assert(pv_evtchn_op_send(machine, b, port_b) == -ESRCH);
    /* The domid's next owner: no ports, nothing pending. */
    assert(new_domain(machine, PV_ABI_X86_64, 0) == b);
    struct pv_event_view view = view_of(machine, b, 0, NULL);
    assert(!pv_event_is_pending(&view, port_b));
    assert(status_of(machine, b, port_b).status == EVTCHNSTAT_closed);
    pv_machine_close(machine);
}

/* A port's event of its last life does not greet the next. */
static void test_close_forgets_events(void)
{
    struct pv_machine *machine = new_machine();
    domid_t a = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port;
    struct pv_event_view view = view_of(machine, a, 1, NULL);
    assert(pv_evtchn_op_bind_ipi(machine, a, 1, &port) == 0);
    assert(pv_evtchn_op_send(machine, a, port) == 0);
    assert(pv_evtchn_op_close(machine, a, port) == 0);
    assert(!pv_event_is_pending(&view, port));
    assert(pv_evtchn_op_alloc_unbound(machine, a, a, a, &port) == 0 && port == 1);
    assert(status_of(machine, a, port).vcpu == 0);
    pv_machine_close(machine);
}

/* A process killed in the middle of a bind or a close leaves one half; the next lock repairs. */
static void test_repair(void)
{
    struct pv_machine *machine = new_machine();
    domid_t a = new_domain(machine, PV_ABI_X86_64, 0), b = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port_a, port_b;
    connect_ports(machine, a, b, &port_a, &port_b);
    struct domain *d = find_domain(machine, a);
    store_binding(port_entry(machine, find_domain(machine, b), port_b),
                  (struct binding){ECS_UNBOUND, a, 0});
    d->event_channels.active = 99;
    d->event_channels.first_free = 99;
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_TIMER, 0, &port_b) == 0);
    d->event_channels.vcpu[0].virq_port[VIRQ_TIMER] = 0;
    pv_evtchn_op_send(machine, b, 1);
    event_repair(machine, d);
    assert(status_of(machine, a, port_a).status == EVTCHNSTAT_unbound);
    assert(d->event_channels.active == 2);
    assert(pv_evtchn_op_bind_virq(machine, a, VIRQ_TIMER, 0, &port_b) == -EEXIST);
    assert(pv_evtchn_op_alloc_unbound(machine, a, a, a, &port_b) == 0 && port_b == 2);
    pv_machine_close(machine);
}

static void test_accounts(void)
{
    struct pv_machine *machine = new_machine();
    domid_t a = new_domain(machine, PV_ABI_X86_64, 0), b = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port_a, port_b;
    uint64_t accounts[PV_ACCOUNT_COUNT];
    connect_ports(machine, a, b, &port_a, &port_b);
    for (int i = 0; i < 5; i++)
        assert(pv_evtchn_op_send(machine, b, port_b) == 0);
    assert(pv_domain_accounts(machine, b, accounts) == 0);
    assert(accounts[PV_ACCOUNT_EVTCHN_SEND] == 5 && accounts[PV_ACCOUNT_EVTCHN_OTHER] == 1);
    assert(pv_domain_accounts(machine, a, accounts) == 0);
    assert(accounts[PV_ACCOUNT_UPCALL] == 1); /* four found the event pending already */
    pv_machine_close(machine);
}

int main(void)
{
    test_connection();
    for (int abi = 0; abi < PV_ABI_COUNT; abi++)
        test_scan((enum pv_abi)abi);
    test_limits();
    test_bad_ports();
    test_privilege();
    test_virqs();
    test_reset();
    test_dying_domain();
    test_close_forgets_events();
    test_repair();
    test_accounts();
    return 0;
}
