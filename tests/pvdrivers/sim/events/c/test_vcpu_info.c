/* vcpus beyond those of shared_info: where their vcpu_info is, and how events come to them. */
#include "pvdrivers/ring/abi_shared_info.h"
#include "pvdrivers/sim/machine_vcpus.h"
#include "tests/pvdrivers/sim/events/c/event_machine.h"

#define VCPUS 128u
#define FAR 100u /* beyond shared_info on every ABI */
#define GFN 20u
#define OFFSET 64u

static domid_t wide_domain(struct pv_machine *machine, enum pv_abi abi)
{
    struct pv_domain_config config = {.abi = abi, .memory = 1u << 20, .vcpus = VCPUS};
    int domid = pv_domain_create(machine, DOMID_INVALID, &config);
    assert(domid >= 0 && pv_domain_unpause(machine, (domid_t)domid) == 0);
    return (domid_t)domid;
}

static int register_info(struct pv_machine *machine, domid_t d, uint32_t vcpu, uint64_t gfn,
                         uint32_t offset)
{
    struct vcpu_register_vcpu_info info = {.mfn = gfn, .offset = offset};
    return pv_vcpu_op_register_vcpu_info(machine, d, vcpu, vcpu, &info);
}

static uint8_t *guest_page(struct pv_machine *machine, domid_t d, uint64_t gfn)
{
    return frame_address(machine, gfn_to_mfn(machine, find_domain(machine, d), gfn));
}

static evtchn_port_t ipi_of(struct pv_machine *machine, domid_t d, uint32_t vcpu)
{
    evtchn_port_t port;
    assert(pv_evtchn_op_bind_ipi(machine, d, vcpu, &port) == 0);
    return port;
}

/* What is pending for the vcpu, as its guest finds it; 0 when nothing is. */
static evtchn_port_t scan(struct pv_machine *machine, domid_t d, uint32_t vcpu)
{
    uint32_t heads[EVTCHN_FIFO_MAX_QUEUES] = {0};
    evtchn_port_t ports[128];
    struct pv_event_view view = view_of(machine, d, vcpu, heads);
    if (pv_event_scan(&view, ports, 128) == 0)
        return 0;
    pv_event_clear_pending(&view, ports[0]);
    return ports[0];
}

/* What is raised before the guest can see it waits for that. */
static void test_registration(enum pv_abi abi)
{
    struct pv_machine *machine = new_machine();
    domid_t d = wide_domain(machine, abi);
    uint8_t *info = guest_page(machine, d, GFN) + OFFSET;
    evtchn_port_t port = ipi_of(machine, d, FAR);
    const uint8_t *shared = domain_xenheap(machine, find_domain(machine, d), XENHEAP_SHARED_INFO);
    memset(info, 0xff, 64);
    assert(pv_evtchn_op_send(machine, d, port) == 0);
    for (uint32_t i = 0; i < 32 * 64; i++)
        assert(shared[i] == 0); /* another vcpu's it is not */
    assert(register_info(machine, d, FAR, GFN, OFFSET) == 0);
    assert(info[0] == 1 && info[1] == 1); /* an upcall, and the mask under which a vcpu starts */
    assert(scan(machine, d, FAR) == port && info[0] == 0);
    assert(pv_evtchn_op_send(machine, d, port) == 0);
    assert(info[0] == 1 && scan(machine, d, FAR) == port && scan(machine, d, FAR) == 0);
    pv_machine_close(machine);
}

/* One that has a place in shared_info takes what is there along. */
static void test_move(enum pv_abi abi)
{
    struct pv_machine *machine = new_machine();
    domid_t d = wide_domain(machine, abi);
    uint32_t size = pv_event_vcpu_info_size(abi), last = abi == PV_ABI_IA64 ? 63 : 31;
    uint8_t *shared = domain_xenheap(machine, find_domain(machine, d), XENHEAP_SHARED_INFO);
    uint8_t *info = guest_page(machine, d, GFN);
    evtchn_port_t port = ipi_of(machine, d, last);
    shared[last * size + size - 1] = 0x5a; /* in vcpu_time_info */
    assert(pv_evtchn_op_send(machine, d, port) == 0 && shared[last * size] == 1);
    assert(register_info(machine, d, last, GFN, 0) == 0);
    assert(info[size - 1] == 0x5a && info[1] == 0);
    shared[last * size] = 0;
    assert(scan(machine, d, last) == port);
    assert(pv_evtchn_op_send(machine, d, port) == 0);
    assert(info[0] == 1 && shared[last * size] == 0);
    pv_machine_close(machine);
}

static void test_errors(enum pv_abi abi)
{
    struct pv_machine *machine = new_machine();
    domid_t d = wide_domain(machine, abi);
    uint32_t page = abi == PV_ABI_IA64 ? 16384 : 4096, size = pv_event_vcpu_info_size(abi);
    uint32_t word = abi == PV_ABI_X86_32 ? 4 : 8;
    struct vcpu_register_vcpu_info info = {.mfn = GFN};
    assert(register_info(machine, d, FAR, GFN, page - size + word) == -ENXIO);
    assert(register_info(machine, d, FAR, GFN, UINT32_MAX - word + 1) == -ENXIO);
    assert(register_info(machine, d, FAR, GFN, word / 2) == -ENXIO);
    assert(register_info(machine, d, FAR, 1u << 20, 0) == -EINVAL);
    assert(register_info(machine, d, VCPUS, GFN, 0) == -ENOENT);
    assert(register_info(machine, 9, 0, GFN, 0) == -ESRCH);
    assert(pv_vcpu_op_register_vcpu_info(machine, d, 0, FAR, &info) == -EINVAL);
    assert(register_info(machine, d, FAR, GFN, page - size) == 0);
    assert(register_info(machine, d, FAR, GFN + 1, 0) == -EINVAL); /* once only */
    pv_machine_close(machine);
}

/* However many vcpus have it there, the page has one more user until the domain ends. */
static void test_page(enum pv_abi abi)
{
    struct pv_machine *machine = new_machine();
    uint64_t free = pv_machine_free_memory(machine);
    domid_t d = wide_domain(machine, abi);
    uint64_t mfn = gfn_to_mfn(machine, find_domain(machine, d), GFN);
    for (uint32_t vcpu = 0; vcpu < 32; vcpu++)
        assert(register_info(machine, d, vcpu, GFN, vcpu * 64) == 0);
    assert(page_state(machine, mfn).count == 2);
    assert(pv_evtchn_op_reset(machine, d, DOMID_SELF) == 0);
    assert(page_state(machine, mfn).count == 2);
    assert(pv_domain_destroy(machine, d) == 0);
    assert(pv_machine_free_memory(machine) == free);
    assert(wide_domain(machine, abi) == d); /* whose vcpus have theirs in shared_info again */
    assert(register_info(machine, d, 0, GFN, 0) == 0);
    pv_machine_close(machine);
}

static void test_upcall_and_bind_vcpu(enum pv_abi abi)
{
    struct pv_machine *machine = new_machine();
    domid_t dom0 = new_domain(machine, PV_ABI_X86_64, 0), d = wide_domain(machine, abi);
    evtchn_port_t port, peer;
    struct pv_upcall *upcall;
    connect_ports(machine, d, dom0, &port, &peer);
    assert(register_info(machine, d, FAR, GFN, OFFSET) == 0);
    assert(pv_upcall_open(machine, d, FAR, &upcall) == 0);
    pv_upcall_take(upcall); /* of the registration */
    while (scan(machine, d, FAR))
        ;
    assert(pv_evtchn_op_send(machine, dom0, peer) == 0);
    assert(!is_readable(pv_upcall_fd(upcall)) && scan(machine, d, 0) == port);
    assert(pv_evtchn_op_bind_vcpu(machine, d, port, VCPUS) == -ENOENT);
    assert(pv_evtchn_op_bind_vcpu(machine, d, port, FAR) == 0);
    assert(status_of(machine, d, port).vcpu == FAR);
    assert(pv_evtchn_op_send(machine, dom0, peer) == 0);
    assert(is_readable(pv_upcall_fd(upcall)) && pv_upcall_take(upcall) == 1);
    struct pv_event_view view = view_of(machine, d, FAR, NULL);
    assert(scan(machine, d, FAR) == port);
    pv_event_mask(&view, port);
    assert(pv_evtchn_op_send(machine, dom0, peer) == 0 && !is_readable(pv_upcall_fd(upcall)));
    assert(pv_evtchn_op_unmask(machine, d, port) == 0 && is_readable(pv_upcall_fd(upcall)));
    pv_upcall_close(upcall);
    pv_machine_close(machine);
}

/* A domain whose processes use handles has a kernel that needs no place in the guest's memory. */
static void test_handle(enum pv_abi abi)
{
    struct pv_machine *machine = new_machine();
    domid_t dom0 = new_domain(machine, PV_ABI_X86_64, 0), d = wide_domain(machine, abi);
    struct pv_hypervisor *hypervisor;
    evtchn_port_t peer;
    assert(pv_machine_open_hypervisor(machine, d, &hypervisor) == 0);
    struct pv_evtchn *handle = sim_evtchn_open(hypervisor);
    int port = sim_evtchn_bind_unbound_port(handle, dom0);
    assert(pv_evtchn_op_bind_interdomain(machine, dom0, d, (evtchn_port_t)port, &peer) == 0);
    for (uint32_t vcpu = 30; vcpu < VCPUS; vcpu += 7) {
        assert(pv_evtchn_op_bind_vcpu(machine, d, (evtchn_port_t)port, vcpu) == 0);
        assert(pv_evtchn_op_send(machine, dom0, peer) == 0);
        assert(sim_evtchn_pending(handle) == port);
        assert(sim_evtchn_unmask(handle, (evtchn_port_t)port) == 0);
    }
    sim_evtchn_close(handle);
    hypervisor->ops->close(hypervisor);
    pv_machine_close(machine);
}

/* The control block is the vcpu's own; the upcall is in its vcpu_info. */
static void test_fifo(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = wide_domain(machine, PV_ABI_X86_64);
    evtchn_port_t port = ipi_of(machine, d, FAR);
    uint8_t link_bits;
    assert(pv_evtchn_op_init_control(machine, d, GFN + 1, 0, FAR, &link_bits) == 0);
    assert(pv_evtchn_op_expand_array(machine, d, GFN + 2) == 0);
    assert(pv_evtchn_op_send(machine, d, port) == 0);
    assert(register_info(machine, d, FAR, GFN, OFFSET) == 0);
    assert(guest_page(machine, d, GFN)[OFFSET] == 1);
    assert(scan(machine, d, FAR) == port && guest_page(machine, d, GFN)[OFFSET] == 0);
    assert(pv_evtchn_op_send(machine, d, port) == 0);
    assert(guest_page(machine, d, GFN)[OFFSET] == 1);
    pv_machine_close(machine);
}

int main(void)
{
    for (int abi = 0; abi < PV_ABI_COUNT; abi++) {
        test_registration((enum pv_abi)abi);
        test_move((enum pv_abi)abi);
        test_errors((enum pv_abi)abi);
        test_page((enum pv_abi)abi);
        test_upcall_and_bind_vcpu((enum pv_abi)abi);
        test_handle((enum pv_abi)abi);
    }
    test_fifo();
    return 0;
}
