/* vcpu_op. A program may run on any vcpu of its domain: it is taken to be on the one it asks about.
 */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_vcpus.h"

static uint32_t vcpu_of(const struct hypercall *call)
{
    return (uint32_t)call->args[1];
}

static long register_vcpu_info(const struct hypercall *call, void *argument)
{
    return pv_vcpu_op_register_vcpu_info(call->machine, call->caller, vcpu_of(call), vcpu_of(call),
                                         argument);
}

static const struct operation operations[] = {
    [VCPUOP_register_vcpu_info] = {sizeof(struct vcpu_register_vcpu_info), ARGUMENT_IN,
                                   register_vcpu_info},
};

long do_vcpu_op(const struct hypercall *call)
{
    return RUN_OPERATION(call, operations, (uint32_t)call->args[0], call->args[2]);
}
