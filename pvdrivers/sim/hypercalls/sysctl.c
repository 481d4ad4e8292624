/* sysctl: what a toolstack asks of the machine. */
#include "pvdrivers/sim/console.h"
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/sched.h"
#include "pvdrivers/sim/xentrace.h"

#include <stdlib.h>

#define MAX_CONSOLE_READ 65536u /* more than this is not in the ring */
#define MAX_DEBUG_KEYS 1024u

static long readconsole(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_readconsole *op = &((struct xen_sysctl *)argument)->u.readconsole;
    struct pv_console_read read = {.clear = op->clear,
                                   .incremental = op->incremental,
                                   .index = op->index,
                                   .count =
                                       op->count < MAX_CONSOLE_READ ? op->count : MAX_CONSOLE_READ};
    char *buffer = malloc(read.count + 1);
    if (!buffer)
        return -ENOMEM;
    pv_console_read(call->machine, &read, buffer);
    int error = copy_to_guest(op->buffer, buffer, read.count);
    free(buffer);
    op->index = read.index;
    op->count = read.count;
    return error;
}

static int set_trace_cpus(const struct hypercall *call, const struct xenctl_bitmap *mask)
{
    uint64_t cpus[PV_SCHED_MAX_CPUS / 64];
    int error = cpus_from_guest(cpus, mask);
    return error ? error : pv_xentrace_set_cpu_mask(call->machine, cpus);
}

static long tbuf_op(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_tbuf_op *op = &((struct xen_sysctl *)argument)->u.tbuf_op;
    struct pv_xentrace_info info;
    int error;
    switch (op->cmd) {
    case XEN_SYSCTL_TBUFOP_get_info:
        error = pv_xentrace_get_info(call->machine, &info);
        if (!error) {
            op->evt_mask = info.event_mask;
            op->buffer_mfn = info.buffer_mfn;
            op->size = info.info_size;
        }
        return error;
    case XEN_SYSCTL_TBUFOP_set_cpu_mask:
        return set_trace_cpus(call, &op->cpu_mask);
    case XEN_SYSCTL_TBUFOP_set_evt_mask:
        return pv_xentrace_set_event_mask(call->machine, op->evt_mask);
    case XEN_SYSCTL_TBUFOP_set_size:
        return pv_xentrace_set_size(call->machine, op->size);
    case XEN_SYSCTL_TBUFOP_enable:
    case XEN_SYSCTL_TBUFOP_disable:
        return pv_xentrace_enable(call->machine, op->cmd == XEN_SYSCTL_TBUFOP_enable);
    default:
        return -EINVAL;
    }
}

static long debug_keys(const struct hypercall *call, void *argument)
{
    const struct xen_sysctl_debug_keys *op = &((struct xen_sysctl *)argument)->u.debug_keys;
    char keys[MAX_DEBUG_KEYS];
    if (op->nr_keys > sizeof keys)
        return -E2BIG;
    if (copy_from_guest(keys, op->keys, op->nr_keys))
        return -EFAULT;
    pv_console_debug_keys(call->machine, keys, op->nr_keys);
    return 0;
}

static long getdomaininfolist(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_getdomaininfolist *op = &((struct xen_sysctl *)argument)->u.getdomaininfolist;
    struct xen_domctl_getdomaininfo info;
    uint32_t found = 0, domid = op->first_domain;
    for (; found < op->max_domains && !next_domain(call, domid, &info); found++) {
        if (copy_to_guest(op->buffer + found * sizeof info, &info, sizeof info))
            return -EFAULT;
        domid = info.domain + 1u;
    }
    op->num_domains = found;
    return 0;
}

#define ROW(use, run) {sizeof(struct xen_sysctl), use, run}

static const struct operation sysctls[] = {
    [XEN_SYSCTL_readconsole] = ROW(BOTH, readconsole),
    [XEN_SYSCTL_tbuf_op] = ROW(BOTH, tbuf_op),
    [XEN_SYSCTL_physinfo] = ROW(BOTH, sysctl_physinfo),
    [XEN_SYSCTL_sched_id] = ROW(BOTH, sysctl_sched_id),
    [XEN_SYSCTL_getdomaininfolist] = ROW(BOTH, getdomaininfolist),
    [XEN_SYSCTL_debug_keys] = ROW(IN, debug_keys),
    [XEN_SYSCTL_getcpuinfo] = ROW(BOTH, sysctl_getcpuinfo),
    [XEN_SYSCTL_availheap] = ROW(BOTH, sysctl_availheap),
    [XEN_SYSCTL_page_offline_op] = ROW(IN, sysctl_page_offline_op),
    [XEN_SYSCTL_cputopoinfo] = ROW(BOTH, sysctl_cputopoinfo),
    [XEN_SYSCTL_numainfo] = ROW(BOTH, sysctl_numainfo),
    [XEN_SYSCTL_cpupool_op] = ROW(BOTH, sysctl_cpupool_op),
    [XEN_SYSCTL_scheduler_op] = ROW(BOTH, sysctl_scheduler_op),
    [XEN_SYSCTL_pcitopoinfo] = ROW(BOTH, sysctl_pcitopoinfo),
};

long do_sysctl(const struct hypercall *call)
{
    return RUN_TOOLSTACK_OPERATION(call, sysctls, XEN_SYSCTL_INTERFACE_VERSION);
}
