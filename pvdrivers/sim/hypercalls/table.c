/* Hypercalls by number, and how an operation of one gets its argument. */
#include "pvdrivers/sim/hypercalls/internal.h"

#include <string.h>

int check_privilege(const struct hypercall *call)
{
    struct pv_domain_info info;
    int error = pv_domain_info(call->machine, call->caller, &info);
    return error ? error : info.privileged ? 0 : -EPERM;
}

long run_operation(const struct hypercall *call, const struct operation *table, uint32_t count,
                   uint32_t number, uint64_t address)
{
    static_assert(MAX_ARGUMENT % sizeof(uint64_t) == 0, "whole words");
    uint64_t argument[MAX_ARGUMENT / sizeof(uint64_t)];
    if (number >= count || !table[number].run)
        return -ENOSYS;
    const struct operation *operation = &table[number];
    assert(operation->size <= sizeof argument);
    memset(argument, 0, operation->size);
    if (operation->use & IN && copy_from_guest(argument, address, operation->size))
        return -EFAULT;
    long result = operation->run(call, argument);
    if (result >= 0 && operation->use & OUT && copy_to_guest(address, argument, operation->size))
        return -EFAULT;
    return result;
}

long run_toolstack_operation(const struct hypercall *call, const struct operation *table,
                             uint32_t count, uint32_t interface_version)
{
    struct toolstack_header header;
    if (copy_from_guest(&header, call->args[0], sizeof header))
        return -EFAULT;
    if (header.interface_version != interface_version)
        return -EACCES;
    int error = check_privilege(call);
    return error ? error : run_operation(call, table, count, header.cmd, call->args[0]);
}

static long (*const hypercalls[])(const struct hypercall *call) = {
    [__HYPERVISOR_platform_op] = do_platform_op,
    [__HYPERVISOR_memory_op] = do_memory_op,
    [__HYPERVISOR_multicall] = do_multicall,
    [__HYPERVISOR_xen_version] = do_xen_version,
    [__HYPERVISOR_grant_table_op] = do_grant_table_op,
    [__HYPERVISOR_vcpu_op] = do_vcpu_op,
    [__HYPERVISOR_sched_op] = do_sched_op,
    [__HYPERVISOR_event_channel_op] = do_event_channel_op,
    [__HYPERVISOR_sysctl] = do_sysctl,
    [__HYPERVISOR_domctl] = do_domctl,
    [__HYPERVISOR_arch_0] = do_ia64_dom0vp_op,
    [__HYPERVISOR_arch_2] = do_ia64_debug_op,
};

int64_t pv_hypercall(struct pv_machine *machine, domid_t caller, uint32_t op, const uint64_t *args)
{
    struct hypercall call = {.machine = machine, .caller = caller};
    memcpy(call.args, args, sizeof call.args);
    if (op >= sizeof hypercalls / sizeof *hypercalls || !hypercalls[op])
        return -ENOSYS;
    return hypercalls[op](&call);
}
