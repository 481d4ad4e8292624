/* The FIFO ABI: order, priorities, moving between queues, hostile words, pages that come late. */
#include "event_machine.h"

#include <string.h>

#define CONTROL_GFN 20
#define ARRAY_GFN 30

static uint32_t heads[2][EVTCHN_FIFO_MAX_QUEUES];

static domid_t new_fifo_domain(struct pv_machine *machine, uint32_t pages)
{
    domid_t d = new_domain(machine, PV_ABI_X86_64, 0);
    uint8_t link_bits = 0;
    memset(heads, 0, sizeof heads);
    for (uint32_t vcpu = 0; vcpu < 2; vcpu++)
        assert(pv_evtchn_op_init_control(machine, d, CONTROL_GFN, vcpu * 1024, vcpu, &link_bits) ==
               0);
    assert(link_bits == 17);
    for (uint32_t page = 0; page < pages; page++)
        assert(pv_evtchn_op_expand_array(machine, d, ARRAY_GFN + page) == 0);
    return d;
}

static evtchn_port_t new_ipi(struct pv_machine *machine, domid_t d, uint32_t vcpu)
{
    evtchn_port_t port;
    assert(pv_evtchn_op_bind_ipi(machine, d, vcpu, &port) == 0);
    return port;
}

/* Takes everything, clearing it; returns how many. */
static uint32_t take(struct pv_event_view *view, evtchn_port_t *ports, uint32_t capacity)
{
    uint32_t count = pv_event_scan(view, ports, capacity);
    for (uint32_t i = 0; i < count; i++)
        assert(pv_event_clear_pending(view, ports[i]));
    return count;
}

static void test_errors(void)
{
    struct pv_machine *machine = new_machine();
    domid_t ia64 = new_domain(machine, PV_ABI_IA64, 0), d = new_domain(machine, PV_ABI_X86_32, 0);
    uint8_t bits;
    assert(pv_evtchn_op_init_control(machine, ia64, 1, 0, 0, &bits) == -ENOSYS);
    assert(pv_evtchn_op_expand_array(machine, d, ARRAY_GFN) == -EOPNOTSUPP);
    assert(pv_evtchn_op_set_priority(machine, d, 1, 0) == -ENOSYS);
    assert(pv_evtchn_op_init_control(machine, d, 1, 0, 2, &bits) == -ENOENT);
    assert(pv_evtchn_op_init_control(machine, d, 1, 4096 - 64, 0, &bits) == -EINVAL);
    assert(pv_evtchn_op_init_control(machine, d, 1, 4, 0, &bits) == -EINVAL);
    assert(pv_evtchn_op_init_control(machine, d, 1u << 30, 0, 0, &bits) == -EINVAL);
    assert(pv_evtchn_op_init_control(machine, d, 1, 4096 - 72, 0, &bits) == 0);
    assert(pv_evtchn_op_init_control(machine, d, 1, 0, 0, &bits) == -EINVAL);
    for (uint32_t page = 0; page < EVTCHN_FIFO_MAX_PAGES; page++)
        assert(pv_evtchn_op_expand_array(machine, d, ARRAY_GFN + page) == 0);
    assert(pv_evtchn_op_expand_array(machine, d, ARRAY_GFN) == -ENOSPC);
    assert(pv_evtchn_op_expand_array(machine, d, 1u << 30) == -EINVAL);
    assert(pv_evtchn_op_set_priority(machine, d, 1, 16) == -EINVAL);
    assert(pv_evtchn_op_set_priority(machine, d, 131072, 0) == -EINVAL);
    assert(pv_evtchn_op_set_priority(machine, d, 131071, 15) == 0);
    pv_machine_close(machine);
}

static void test_order_and_priority(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_fifo_domain(machine, 1);
    struct pv_event_view view = view_of(machine, d, 0, heads[0]);
    evtchn_port_t ports[64];
    for (evtchn_port_t port = 1; port <= 6; port++)
        assert(new_ipi(machine, d, 0) == port);
    assert(pv_evtchn_op_set_priority(machine, d, 2, 0) == 0);
    assert(pv_evtchn_op_set_priority(machine, d, 5, 15) == 0);
    static const evtchn_port_t sent[] = {5, 6, 1, 2, 1, 4}, expected[] = {2, 6, 1, 4, 5};
    for (size_t i = 0; i < 6; i++)
        assert(pv_evtchn_op_send(machine, d, sent[i]) == 0);
    assert(take(&view, ports, 64) == 5 && memcmp(ports, expected, sizeof expected) == 0);
    assert(take(&view, ports, 64) == 0);
    /* In small bites the order is the same. */
    for (size_t i = 0; i < 6; i++)
        assert(pv_evtchn_op_send(machine, d, sent[i]) == 0);
    for (size_t i = 0; i < 5; i++)
        assert(take(&view, ports, 1) == 1 && ports[0] == expected[i]);
    /* While it is linked a port stays where it is; raised again it goes to its new queue. */
    assert(pv_evtchn_op_send(machine, d, 3) == 0);
    assert(pv_evtchn_op_send(machine, d, 4) == 0);
    assert(pv_evtchn_op_set_priority(machine, d, 4, 0) == 0);
    assert(take(&view, ports, 64) == 2 && ports[0] == 3 && ports[1] == 4);
    assert(pv_evtchn_op_send(machine, d, 3) == 0);
    assert(pv_evtchn_op_send(machine, d, 4) == 0);
    assert(take(&view, ports, 64) == 2 && ports[0] == 4 && ports[1] == 3);
    pv_machine_close(machine);
}

static void test_masked(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_fifo_domain(machine, 1);
    struct pv_event_view view = view_of(machine, d, 0, heads[0]);
    evtchn_port_t port = new_ipi(machine, d, 0), ports[64];
    assert(!pv_event_mask(&view, port));
    assert(pv_evtchn_op_send(machine, d, port) == 0);
    assert(pv_event_scan(&view, ports, 64) == 0 && pv_event_is_pending(&view, port));
    assert(!pv_event_unmask(&view, port)); /* pending: only the hypercall may */
    assert(pv_evtchn_op_unmask(machine, d, port) == 0);
    assert(take(&view, ports, 64) == 1 && ports[0] == port);
    /* Masked while linked: taken out of the queue, still pending. */
    assert(pv_evtchn_op_send(machine, d, port) == 0);
    pv_event_mask(&view, port);
    assert(pv_event_scan(&view, ports, 64) == 0 && pv_event_is_pending(&view, port));
    assert(pv_evtchn_op_unmask(machine, d, port) == 0);
    assert(take(&view, ports, 64) == 1);
    pv_machine_close(machine);
}

/* A port bound to another vcpu leaves no loose end in its old queue. */
static void test_moving_tail(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_fifo_domain(machine, 1), peer = new_domain(machine, PV_ABI_X86_64, 0);
    struct pv_event_view view[2] = {view_of(machine, d, 0, heads[0]),
                                    view_of(machine, d, 1, heads[1])};
    evtchn_port_t port, remote, ports[64], fixed = new_ipi(machine, d, 0);
    connect_ports(machine, d, peer, &port, &remote);
    assert(pv_evtchn_op_send(machine, peer, remote) == 0);
    assert(take(&view[0], ports, 64) == 1 && ports[0] == port);
    assert(pv_evtchn_op_bind_vcpu(machine, d, port, 1) == 0);
    assert(pv_evtchn_op_send(machine, peer, remote) == 0);
    assert(pv_evtchn_op_send(machine, d, fixed) == 0);
    assert(take(&view[0], ports, 64) == 1 && ports[0] == fixed);
    assert(take(&view[1], ports, 64) == 1 && ports[0] == port);
    pv_machine_close(machine);
}

/* XSA-107 and late pages: no block, no event; no word, the event waits. */
static void test_late_pages(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, PV_ABI_X86_64, 0);
    uint8_t bits;
    evtchn_port_t early = new_ipi(machine, d, 0), other = new_ipi(machine, d, 1), ports[64];
    assert(pv_evtchn_op_send(machine, d, early) == 0); /* under the 2-level ABI */
    memset(heads, 0, sizeof heads);
    assert(pv_evtchn_op_init_control(machine, d, CONTROL_GFN, 0, 0, &bits) == 0);
    evtchn_port_t late = new_ipi(machine, d, 0);
    assert(pv_evtchn_op_send(machine, d, late) == 0);
    assert(pv_evtchn_op_send(machine, d, other) == 0);
    struct pv_event_view view = view_of(machine, d, 0, heads[0]);
    assert(pv_event_scan(&view, ports, 64) == 0 && pv_event_is_masked(&view, late));
    assert(pv_evtchn_op_expand_array(machine, d, ARRAY_GFN) == 0);
    view = view_of(machine, d, 0, heads[0]);
    assert(take(&view, ports, 64) == 2 && ports[0] == early && ports[1] == late);
    view = view_of(machine, d, 1, heads[1]);
    assert(!view.control_block && pv_event_is_pending(&view, other));
    assert(pv_event_scan(&view, ports, 64) == 0);
    pv_machine_close(machine);
}

/* Words are the guest's: garbage in them costs bounded work and harms only that guest. */
static void test_hostile_words(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_fifo_domain(machine, 1), other = new_fifo_domain(machine, 1);
    struct pv_event_view view = view_of(machine, d, 0, heads[0]);
    evtchn_port_t ports[64];
    for (evtchn_port_t port = 1; port <= 4; port++)
        new_ipi(machine, d, 0);
    assert(pv_evtchn_op_send(machine, d, 1) == 0);
    assert(pv_evtchn_op_send(machine, d, 2) == 0);
    *pv_event_fifo_word(&view, 2) = EVENT_WORD_LINKED | 2; /* a knot */
    *pv_event_fifo_word(&view, 1) |= 0x1ffff;              /* a port without a word */
    assert(pv_evtchn_op_send(machine, d, 3) == 0);
    view.control_block->ready = UINT32_MAX;
    view.control_block->head[0] = UINT32_MAX;
    pv_event_scan(&view, ports, 64);
    memset(pv_event_fifo_word(&view, 0), 0xff, 4096);
    assert(pv_evtchn_op_send(machine, d, 4) == 0);
    assert(pv_evtchn_op_unmask(machine, d, 4) == 0);
    assert(new_ipi(machine, other, 0) == 1);
    memset(heads, 0, sizeof heads);
    view = view_of(machine, other, 0, heads[0]);
    assert(pv_evtchn_op_send(machine, other, 1) == 0);
    assert(take(&view, ports, 64) == 1);
    pv_machine_close(machine);
}

/* XSA-342, 505: FIFO ports up to the last; reset goes back to 2-level and frees the pages. */
static void test_reset(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_fifo_domain(machine, EVTCHN_FIFO_MAX_PAGES);
    struct domain *domain = find_domain(machine, d);
    evtchn_port_t port = 0, ports[64];
    for (uint32_t n = 1; n < EVTCHN_FIFO_NR_CHANNELS; n++)
        assert((port = new_ipi(machine, d, 0)) == n);
    assert(pv_evtchn_op_bind_ipi(machine, d, 0, &port) == -ENOSPC);
    assert(pv_evtchn_op_send(machine, d, 131071) == 0);
    struct pv_event_view view = view_of(machine, d, 0, heads[0]);
    assert(take(&view, ports, 64) == 1 && ports[0] == 131071);
    uint64_t mfn = gfn_to_mfn(machine, domain, ARRAY_GFN);
    assert(page_state(machine, mfn).count == 2);
    assert(pv_evtchn_op_reset(machine, d, DOMID_SELF) == 0);
    assert(page_state(machine, mfn).count == 1);
    assert(new_ipi(machine, d, 1) == 1);
    view = view_of(machine, d, 1, NULL);
    assert(!view.fifo && pv_evtchn_op_send(machine, d, 1) == 0);
    assert(pv_event_scan(&view, ports, 64) == 1 && ports[0] == 1);
    assert(pv_evtchn_op_send(machine, d, 4096) == -EINVAL);
    /* And forward again, destroyed with everything in place. */
    uint8_t bits;
    assert(pv_evtchn_op_init_control(machine, d, CONTROL_GFN, 0, 0, &bits) == 0);
    assert(pv_evtchn_op_expand_array(machine, d, ARRAY_GFN) == 0);
    uint64_t free_memory = pv_machine_free_memory(machine);
    assert(pv_domain_destroy(machine, d) == 0);
    assert(pv_machine_free_memory(machine) == free_memory + (1u << 20));
    pv_machine_close(machine);
}

int main(void)
{
    test_errors();
    test_order_and_priority();
    test_masked();
    test_moving_tail();
    test_late_pages();
    test_hostile_words();
    test_reset();
    return 0;
}
