/* sched_op. In virtual time a call that blocks its vcpu returns at once; in real time it returns
 * when the vcpu runs again. */
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/events/events.h"
#include "pvdrivers/sim/sched/sched.h"
#include "pvdrivers/sim/vcpus/internal.h"

#include <sched.h>

#define NS_PER_S 1000000000ull
#define MAX_POLLED 128 /* Xen's limit */

int pv_sched_op_yield(struct pv_machine *machine, domid_t caller, uint32_t current)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, current, PV_ACCOUNT_SCHED_OP, &d);
    if (error)
        return error;
    if (machine->shared->virtual_time)
        vcpu_yield(machine, d, current);
    else
        sched_yield();
    return 0;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

struct wait {
    const evtchn_port_t *ports; /* NULL: for any event */
    uint32_t count;
    uint64_t timeout;
    uint64_t generation; /* of the domain that began to wait */
};

/* 1 when it waits. */
static int begin(struct pv_machine *machine, domid_t caller, uint32_t current, struct wait *wait)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, current, PV_ACCOUNT_SCHED_OP, &d);
    if (error)
        return error;
    wait->generation = domain_generation(d);
    if (!wait->ports)
        return wait_for_event(machine, d, current);
    error = wait->timeout ? timekeeper_start(machine) : 0;
    if (error)
        return error;
    timer_set(machine, d, current, TIMER_POLL, 0);
    int waits = wait_for_ports(machine, d, current, wait->ports, wait->count);
    if (waits == 1 && wait->timeout)
        timer_set(machine, d, current, TIMER_POLL, wait->timeout);
    return waits;
}

static int wait_until_it_runs(struct pv_machine *machine, domid_t caller, uint32_t current,
                              struct wait *wait)
{
    int waits = begin(machine, caller, current, wait);
    if (waits != 1)
        return waits;
    if (!machine->shared->virtual_time)
        return vcpu_sleep(domain_window(machine, caller), wait->generation, current);
    timers_expire(machine); /* a timeout that has passed already */
    return 0;
}

int pv_sched_op_block(struct pv_machine *machine, domid_t caller, uint32_t current)
{
    return wait_until_it_runs(machine, caller, current, &(struct wait){0});
}

int pv_sched_op_poll(struct pv_machine *machine, domid_t caller, uint32_t current,
                     const evtchn_port_t *ports, uint32_t count, uint64_t timeout)
{
    if (count > MAX_POLLED)
        return -EINVAL;
    const evtchn_port_t none = 0;
    struct wait wait = {.ports = count ? ports : &none, .count = count, .timeout = timeout};
    return wait_until_it_runs(machine, caller, current, &wait);
}

int pv_vcpu_is_blocked(struct pv_machine *machine, domid_t domid, uint32_t vcpu)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = find_vcpu(machine, domid, vcpu, &d);
    return error ? error : (vcpu_pause_flags(&d->vcpu[vcpu]) & VPF_blocked) != 0;
}

/* ---- The end --------------------------------------------------------------------------------- */

int pv_sched_op_shutdown_code(struct pv_machine *machine, domid_t caller, uint32_t reason)
{
    RCU_SECTION(machine);
    struct domain *d;
    uint32_t none = 0;
    int error = begin_call(machine, caller, 0, PV_ACCOUNT_SCHED_OP, &d);
    if (!error && reason > SHUTDOWN_MAX)
        error = -EINVAL;
    if (!error) /* the first one counts */
        __atomic_compare_exchange_n(&d->shutdown_code, &none, reason + 1, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    return error;
}

int pv_sched_op_remote_shutdown(struct pv_machine *machine, domid_t caller, domid_t domid,
                                uint32_t reason)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, 0, PV_ACCOUNT_SCHED_OP, &d);
    if (error)
        return error;
    if (!find_domain(machine, domid))
        return -ESRCH;
    return d->privileged ? pv_domain_shutdown(machine, domid, reason) : -EPERM;
}

int pv_sched_op_watchdog(struct pv_machine *machine, domid_t caller, uint32_t id, uint32_t timeout)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, 0, PV_ACCOUNT_SCHED_OP, &d);
    if (!error && id > WATCHDOGS)
        error = -EINVAL;
    if (!error)
        error = timekeeper_start(machine);
    if (error)
        return error;
    uint64_t at = pv_machine_now(machine) + timeout * NS_PER_S;
    return watchdog_set(machine, d, id, id && !timeout ? 0 : at ? at : 1);
}
