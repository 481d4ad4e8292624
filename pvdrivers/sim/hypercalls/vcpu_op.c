/* vcpu_op. A program may run on any vcpu of its domain: it is taken to be on the one it asks about.
 */
#include "pvdrivers/sim/hypercalls/internal.h"

static uint32_t vcpu_of(const struct hypercall *call)
{
    return (uint32_t)call->args[1];
}

static long register_vcpu_info(const struct hypercall *call, void *argument)
{
    return pv_vcpu_op_register_vcpu_info(call->machine, call->caller, vcpu_of(call), vcpu_of(call),
                                         argument);
}

static long get_runstate_info(const struct hypercall *call, void *argument)
{
    return pv_vcpu_op_get_runstate_info(call->machine, call->caller, vcpu_of(call), argument);
}

static long register_runstate_memory_area(const struct hypercall *call, void *argument)
{
    return pv_vcpu_op_register_runstate_memory_area(call->machine, call->caller, vcpu_of(call),
                                                    argument);
}

/* Too large an argument to be copied like the others. */
static long initialise(const struct hypercall *call, void *argument)
{
    union vcpu_context context;
    struct pv_domain_info info;
    (void)argument;
    int error = pv_domain_info(call->machine, call->caller, &info);
    if (error)
        return error;
    if (copy_from_guest(&context, call->args[2], pv_vcpu_context_size(info.abi)))
        return -EFAULT;
    return pv_vcpu_op_initialise(call->machine, call->caller, vcpu_of(call), &context);
}

static long up(const struct hypercall *call, void *argument)
{
    (void)argument;
    return pv_vcpu_op_up(call->machine, call->caller, vcpu_of(call));
}

static long down(const struct hypercall *call, void *argument)
{
    (void)argument;
    return pv_vcpu_op_down(call->machine, call->caller, vcpu_of(call));
}

static long is_up(const struct hypercall *call, void *argument)
{
    (void)argument;
    return pv_vcpu_op_is_up(call->machine, call->caller, vcpu_of(call));
}

static long set_periodic_timer(const struct hypercall *call, void *argument)
{
    return pv_vcpu_op_set_periodic_timer(call->machine, call->caller, vcpu_of(call), argument);
}

static long stop_periodic_timer(const struct hypercall *call, void *argument)
{
    (void)argument;
    return pv_vcpu_op_stop_periodic_timer(call->machine, call->caller, vcpu_of(call));
}

static long set_singleshot_timer(const struct hypercall *call, void *argument)
{
    return pv_vcpu_op_set_singleshot_timer(call->machine, call->caller, vcpu_of(call),
                                           vcpu_of(call), argument);
}

static long stop_singleshot_timer(const struct hypercall *call, void *argument)
{
    (void)argument;
    return pv_vcpu_op_stop_singleshot_timer(call->machine, call->caller, vcpu_of(call),
                                            vcpu_of(call));
}

static const struct operation operations[] = {
    [VCPUOP_initialise] = {.run = initialise},
    [VCPUOP_up] = {.run = up},
    [VCPUOP_down] = {.run = down},
    [VCPUOP_is_up] = {.run = is_up},
    [VCPUOP_get_runstate_info] = {sizeof(struct vcpu_runstate_info), OUT, get_runstate_info},
    [VCPUOP_register_runstate_memory_area] = {sizeof(struct vcpu_register_runstate_memory_area), IN,
                                              register_runstate_memory_area},
    [VCPUOP_set_periodic_timer] = {sizeof(struct vcpu_set_periodic_timer), IN, set_periodic_timer},
    [VCPUOP_stop_periodic_timer] = {.run = stop_periodic_timer},
    [VCPUOP_set_singleshot_timer] = {sizeof(struct vcpu_set_singleshot_timer), IN,
                                     set_singleshot_timer},
    [VCPUOP_stop_singleshot_timer] = {.run = stop_singleshot_timer},
    [VCPUOP_register_vcpu_info] = {sizeof(struct vcpu_register_vcpu_info), IN, register_vcpu_info},
};

long do_vcpu_op(const struct hypercall *call)
{
    return RUN_OPERATION(call, operations, (uint32_t)call->args[0], call->args[2]);
}
