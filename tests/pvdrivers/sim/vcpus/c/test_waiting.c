/* In real time a call that blocks its vcpu sleeps until an event, a timeout or the domain's end;
 * and timers expire by themselves. */
#include "pvdrivers/sim/machine_vcpus.h"
#include "tests/pvdrivers/sim/events/c/event_machine.h"

#include <pthread.h>
#include <time.h>

#define VCPU 1u
#define MS 1000000ull

struct sleeper {
    struct pv_machine *machine;
    domid_t domid;
    const evtchn_port_t *ports;
    uint32_t count;
    uint64_t timeout;
    pthread_t thread;
    int result;
};

static void *run(void *argument)
{
    struct sleeper *s = argument;
    s->result = s->ports
                    ? pv_sched_op_poll(s->machine, s->domid, VCPU, s->ports, s->count, s->timeout)
                    : pv_sched_op_block(s->machine, s->domid, VCPU);
    return NULL;
}

static void start(struct sleeper *s)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    assert(pthread_create(&s->thread, NULL, run, s) == 0);
    while (s->timeout == 0 && pv_vcpu_is_blocked(s->machine, s->domid, VCPU) != 1)
        nanosleep(&moment, NULL);
}

static int result_of(struct sleeper *s)
{
    assert(pthread_join(s->thread, NULL) == 0);
    return s->result;
}

static void test_block(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port;
    assert(pv_evtchn_op_bind_ipi(machine, d, VCPU, &port) == 0);
    struct sleeper s = {.machine = machine, .domid = d};
    start(&s);
    assert(pv_evtchn_op_send(machine, d, port) == 0);
    assert(result_of(&s) == 0 && pv_vcpu_is_blocked(machine, d, VCPU) == 0);
    assert(pv_sched_op_block(machine, d, VCPU) == 0); /* the upcall still waits */
    pv_machine_close(machine);
}

static void test_poll(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t ports[2];
    for (int i = 0; i < 2; i++)
        assert(pv_evtchn_op_bind_ipi(machine, d, 0, &ports[i]) == 0);
    struct sleeper s = {.machine = machine, .domid = d, .ports = &ports[1], .count = 1};
    start(&s);
    assert(pv_evtchn_op_send(machine, d, ports[0]) == 0); /* not the one it polls */
    assert(pv_vcpu_is_blocked(machine, d, VCPU) == 1);
    assert(pv_evtchn_op_send(machine, d, ports[1]) == 0);
    assert(result_of(&s) == 0);
    s = (struct sleeper){.machine = machine, .domid = d, .ports = ports, .count = 2};
    assert(pv_sched_op_poll(machine, d, VCPU, ports, 2, 0) == 0); /* both are pending */
    uint64_t timeout = pv_machine_now(machine) + 5 * MS;
    assert(pv_sched_op_poll(machine, d, VCPU, NULL, 0, timeout) == 0);
    assert(pv_machine_now(machine) >= timeout);
    pv_machine_close(machine);
}

static void test_the_domain_ends(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, PV_ABI_X86_64, 0);
    struct sleeper s = {.machine = machine, .domid = d};
    start(&s);
    assert(pv_domain_destroy(machine, d) == 0);
    assert(result_of(&s) == -ESRCH);
    pv_machine_close(machine);
}

/* A vcpu that blocks is woken by its timer, time after time. */
static void test_timer(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, PV_ABI_X86_64, 0);
    evtchn_port_t port, ports[64];
    struct pv_event_view view = view_of(machine, d, VCPU, NULL);
    assert(pv_evtchn_op_bind_virq(machine, d, VIRQ_TIMER, VCPU, &port) == 0);
    for (int i = 0; i < 3; i++) {
        struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = pv_machine_now(machine) + MS};
        assert(pv_vcpu_op_set_singleshot_timer(machine, d, VCPU, VCPU, &timer) == 0);
        assert(pv_sched_op_block(machine, d, VCPU) == 0);
        assert(pv_machine_now(machine) >= timer.timeout_abs_ns);
        assert(pv_event_scan(&view, ports, 64) == 1 && ports[0] == port);
        assert(pv_event_clear_pending(&view, port));
    }
    pv_machine_close(machine);
}

static void test_watchdog(void)
{
    struct pv_machine *machine = new_machine();
    domid_t d = new_domain(machine, PV_ABI_X86_64, 0);
    struct pv_domain_info info = {0};
    const struct timespec moment = {.tv_nsec = 1000000};
    assert(pv_sched_op_watchdog(machine, d, 0, 0) == 1);
    while (info.state != PV_DOMAIN_SHUTDOWN) {
        nanosleep(&moment, NULL);
        assert(pv_domain_info(machine, d, &info) == 0);
    }
    assert(info.shutdown_reason == SHUTDOWN_watchdog);
    pv_machine_close(machine);
}

int main(void)
{
    test_block();
    test_poll();
    test_the_domain_ends();
    test_timer();
    test_watchdog();
    return 0;
}
