/* sched_op. A program is taken to be on its domain's first vcpu. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_vcpus.h"

#define VCPU 0
#define MAX_POLLED 128

static long yield(const struct hypercall *call, void *argument)
{
    (void)argument;
    return pv_sched_op_yield(call->machine, call->caller, VCPU);
}

static long block(const struct hypercall *call, void *argument)
{
    (void)argument;
    return pv_sched_op_block(call->machine, call->caller, VCPU);
}

static long shut_down(const struct hypercall *call, void *argument)
{
    const struct sched_shutdown *op = argument;
    return pv_domain_shutdown(call->machine, call->caller, op->reason);
}

static long shutdown_code(const struct hypercall *call, void *argument)
{
    const struct sched_shutdown *op = argument;
    return pv_sched_op_shutdown_code(call->machine, call->caller, op->reason);
}

static long poll(const struct hypercall *call, void *argument)
{
    const struct sched_poll_x86_64 *op = argument;
    evtchn_port_t ports[MAX_POLLED];
    if (op->nr_ports > MAX_POLLED)
        return -EINVAL;
    if (op->nr_ports && copy_from_guest(ports, op->ports, op->nr_ports * sizeof ports[0]))
        return -EFAULT;
    return pv_sched_op_poll(call->machine, call->caller, VCPU, ports, op->nr_ports, op->timeout);
}

static long remote_shutdown(const struct hypercall *call, void *argument)
{
    const struct sched_remote_shutdown *op = argument;
    return pv_sched_op_remote_shutdown(call->machine, call->caller, op->domain_id, op->reason);
}

static long watchdog(const struct hypercall *call, void *argument)
{
    const struct sched_watchdog *op = argument;
    return pv_sched_op_watchdog(call->machine, call->caller, op->id, op->timeout);
}

static const struct operation operations[] = {
    [SCHEDOP_yield] = {.run = yield},
    [SCHEDOP_block] = {.run = block},
    [SCHEDOP_shutdown] = {sizeof(struct sched_shutdown), IN, shut_down},
    [SCHEDOP_poll] = {sizeof(struct sched_poll_x86_64), IN, poll},
    [SCHEDOP_remote_shutdown] = {sizeof(struct sched_remote_shutdown), IN, remote_shutdown},
    [SCHEDOP_shutdown_code] = {sizeof(struct sched_shutdown), IN, shutdown_code},
    [SCHEDOP_watchdog] = {sizeof(struct sched_watchdog), IN, watchdog},
};

long do_sched_op(const struct hypercall *call)
{
    return RUN_OPERATION(call, operations, (uint32_t)call->args[0], call->args[1]);
}
