/* A process is killed inside calls about its vcpu: the timers expire all the same, the vcpu
 * wakes, and the pages that its runstate was on are free in the end. */
#include "pvdrivers/sim/machine_events.h"
#include "pvdrivers/sim/machine_vcpus.h"
#include "tests/pvdrivers/sim/core/c/stepping.h"

#define MS 1000000ull
#define TRIED 20 /* instants, at equal distances */

static void *make_machine(void)
{
    struct pv_machine *machine;
    const struct pv_memory_extent extent = {.size = 64u << 20};
    const struct pv_machine_config config = {.extents = &extent,
                                             .extent_count = 1,
                                             .max_domains = 2,
                                             .max_domain_memory = 1u << 20,
                                             .virtual_time = true,
                                             .cpus = 1};
    const struct pv_domain_config domain = {.memory = 1u << 16, .vcpus = 2};
    evtchn_port_t port;
    assert(pv_machine_create(&config, &machine) == 0);
    for (domid_t domid = 0; domid < 2; domid++) {
        assert(pv_domain_create(machine, domid, &domain) == domid);
        assert(pv_domain_unpause(machine, domid) == 0);
        for (uint32_t vcpu = 0; vcpu < 2; vcpu++)
            assert(pv_evtchn_op_bind_virq(machine, domid, VIRQ_TIMER, vcpu, &port) == 0);
        assert(pv_sched_op_watchdog(machine, domid, 0, 10) == 1);
    }
    return machine;
}

/* The domain whose process is killed is 0; 1 has timers beside it. */
static int live(void *argument)
{
    struct pv_machine *machine = argument;
    const struct vcpu_set_periodic_timer ticks = {MS};
    const struct vcpu_set_singleshot_timer once = {.timeout_abs_ns = 3 * MS};
    const evtchn_port_t port = 2;
    const struct vcpu_register_runstate_memory_area across = {2 * 4096 - 8}, nowhere = {0};
    pv_vcpu_op_register_runstate_memory_area(machine, 0, 1, &across);
    pv_vcpu_op_set_periodic_timer(machine, 0, 0, &ticks);
    pv_vcpu_op_set_singleshot_timer(machine, 0, 1, 1, &once);
    pv_sched_op_block(machine, 0, 1);
    pv_machine_advance(machine, 3 * MS);
    pv_sched_op_poll(machine, 0, 1, &port, 1, 4 * MS);
    pv_machine_advance(machine, MS);
    pv_vcpu_op_down(machine, 0, 1);
    pv_vcpu_op_up(machine, 0, 1);
    pv_vcpu_op_stop_periodic_timer(machine, 0, 0);
    pv_vcpu_op_register_runstate_memory_area(machine, 0, 1, &nowhere);
    return 0;
}

static void check(void *argument)
{
    struct pv_machine *machine = argument;
    struct pv_domain_info info;
    const struct vcpu_set_singleshot_timer soon = {.timeout_abs_ns = pv_machine_now(machine) + MS};
    assert(pv_sched_op_block(machine, 1, 0) == 0 && pv_vcpu_is_blocked(machine, 1, 0) == 1);
    assert(pv_vcpu_op_set_singleshot_timer(machine, 1, 0, 0, &soon) == 0);
    pv_machine_advance(machine, MS);
    assert(pv_vcpu_is_blocked(machine, 1, 0) == 0);
    assert(pv_vcpu_op_stop_periodic_timer(machine, 0, 0) == 0);
    pv_machine_advance(machine, 10000 * MS);
    for (domid_t domid = 0; domid < 2; domid++) {
        assert(pv_domain_info(machine, domid, &info) == 0);
        assert(info.state == PV_DOMAIN_SHUTDOWN && info.shutdown_reason == SHUTDOWN_watchdog);
        assert(pv_domain_destroy(machine, domid) == 0);
    }
    assert(pv_machine_free_memory(machine) == pv_machine_total_memory(machine));
}

static void close_machine(void *machine)
{
    pv_machine_close(machine);
}

int main(void)
{
    kill_at_instants(&(struct killed_call){make_machine, live, check, close_machine}, TRIED);
    return 0;
}
