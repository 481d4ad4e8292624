/* The timers of vcpu_op: what a guest sets. */
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/vcpus/internal.h"

#define MIN_PERIOD 1000000ull   /* ns */
#define MAX_PERIOD (1ull << 56) /* ns, of Xen's STIME_DELTA_MAX the order */

int pv_vcpu_op_set_periodic_timer(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                                  const struct vcpu_set_periodic_timer *timer)
{
    RCU_SECTION(machine);
    uint64_t period = timer->period_ns;
    struct domain *d;
    int error = begin_call(machine, caller, vcpu, PV_ACCOUNT_VCPU_OP, &d);
    if (!error && (period < MIN_PERIOD || period > MAX_PERIOD))
        error = -EINVAL;
    if (!error)
        error = timekeeper_start(machine);
    if (!error)
        timer_set_period(machine, d, vcpu, pv_machine_now(machine) + period, period);
    return error;
}

int pv_vcpu_op_stop_periodic_timer(struct pv_machine *machine, domid_t caller, uint32_t vcpu)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, vcpu, PV_ACCOUNT_VCPU_OP, &d);
    if (!error)
        timer_set_period(machine, d, vcpu, 0, 0);
    return error;
}

int pv_vcpu_op_set_singleshot_timer(struct pv_machine *machine, domid_t caller, uint32_t current,
                                    uint32_t vcpu, const struct vcpu_set_singleshot_timer *timer)
{
    RCU_SECTION(machine);
    uint64_t at = timer->timeout_abs_ns;
    struct domain *d;
    int error = begin_call(machine, caller, vcpu, PV_ACCOUNT_VCPU_OP, &d);
    if (!error && vcpu != current)
        error = -EINVAL;
    if (!error && timer->flags & VCPU_SSHOTTMR_future && at < pv_machine_now(machine))
        error = -ETIME;
    if (!error)
        error = timekeeper_start(machine);
    if (!error)
        timer_set(machine, d, vcpu, TIMER_SINGLESHOT, at ? at : 1); /* both have passed */
    if (!error && machine->shared->virtual_time)
        timers_expire(machine);
    return error;
}

int pv_vcpu_op_stop_singleshot_timer(struct pv_machine *machine, domid_t caller, uint32_t current,
                                     uint32_t vcpu)
{
    RCU_SECTION(machine);
    struct domain *d;
    int error = begin_call(machine, caller, vcpu, PV_ACCOUNT_VCPU_OP, &d);
    if (!error && vcpu != current)
        error = -EINVAL;
    if (!error)
        timer_set(machine, d, vcpu, TIMER_SINGLESHOT, 0);
    return error;
}
