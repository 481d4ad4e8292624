/* event_channel_op and grant_table_op: what is done is functions of other rooms. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_events.h"
#include "pvdrivers/sim/machine_grants.h"

/* ---- event_channel_op ------------------------------------------------------------------------ */

static long alloc_unbound(const struct hypercall *call, void *argument)
{
    struct evtchn_alloc_unbound *op = argument;
    return pv_evtchn_op_alloc_unbound(call->machine, call->caller, op->dom, op->remote_dom,
                                      &op->port);
}

static long bind_interdomain(const struct hypercall *call, void *argument)
{
    struct evtchn_bind_interdomain *op = argument;
    return pv_evtchn_op_bind_interdomain(call->machine, call->caller, op->remote_dom,
                                         op->remote_port, &op->local_port);
}

static long bind_virq(const struct hypercall *call, void *argument)
{
    struct evtchn_bind_virq *op = argument;
    return pv_evtchn_op_bind_virq(call->machine, call->caller, op->virq, op->vcpu, &op->port);
}

static long bind_ipi(const struct hypercall *call, void *argument)
{
    struct evtchn_bind_ipi *op = argument;
    return pv_evtchn_op_bind_ipi(call->machine, call->caller, op->vcpu, &op->port);
}

static long bind_vcpu(const struct hypercall *call, void *argument)
{
    const struct evtchn_bind_vcpu *op = argument;
    return pv_evtchn_op_bind_vcpu(call->machine, call->caller, op->port, op->vcpu);
}

static long close_port(const struct hypercall *call, void *argument)
{
    return pv_evtchn_op_close(call->machine, call->caller, ((struct evtchn_close *)argument)->port);
}

static long send_port(const struct hypercall *call, void *argument)
{
    return pv_evtchn_op_send(call->machine, call->caller, ((struct evtchn_send *)argument)->port);
}

static long status(const struct hypercall *call, void *argument)
{
    return pv_evtchn_op_status(call->machine, call->caller, argument);
}

static long unmask(const struct hypercall *call, void *argument)
{
    return pv_evtchn_op_unmask(call->machine, call->caller,
                               ((struct evtchn_unmask *)argument)->port);
}

static long reset(const struct hypercall *call, void *argument)
{
    return pv_evtchn_op_reset(call->machine, call->caller, ((struct evtchn_reset *)argument)->dom);
}

static const struct operation event_channel_ops[] = {
    [EVTCHNOP_bind_interdomain] = {sizeof(struct evtchn_bind_interdomain), BOTH, bind_interdomain},
    [EVTCHNOP_bind_virq] = {sizeof(struct evtchn_bind_virq), BOTH, bind_virq},
    [EVTCHNOP_close] = {sizeof(struct evtchn_close), IN, close_port},
    [EVTCHNOP_send] = {sizeof(struct evtchn_send), IN, send_port},
    [EVTCHNOP_status] = {sizeof(struct evtchn_status), BOTH, status},
    [EVTCHNOP_alloc_unbound] = {sizeof(struct evtchn_alloc_unbound), BOTH, alloc_unbound},
    [EVTCHNOP_bind_ipi] = {sizeof(struct evtchn_bind_ipi), BOTH, bind_ipi},
    [EVTCHNOP_bind_vcpu] = {sizeof(struct evtchn_bind_vcpu), IN, bind_vcpu},
    [EVTCHNOP_unmask] = {sizeof(struct evtchn_unmask), IN, unmask},
    [EVTCHNOP_reset] = {sizeof(struct evtchn_reset), IN, reset},
};

long do_event_channel_op(const struct hypercall *call)
{
    return RUN_OPERATION(call, event_channel_ops, (uint32_t)call->args[0], call->args[1]);
}

/* ---- grant_table_op -------------------------------------------------------------------------- */

static long query_size(const struct hypercall *call, void *argument)
{
    return pv_gnttab_op_query_size(call->machine, call->caller, argument);
}

static long get_version(const struct hypercall *call, void *argument)
{
    return pv_gnttab_op_get_version(call->machine, call->caller, argument);
}

static const struct operation grant_table_ops[] = {
    [GNTTABOP_query_size] = {sizeof(struct gnttab_query_size), BOTH, query_size},
    [GNTTABOP_get_version] = {sizeof(struct gnttab_get_version), BOTH, get_version},
};

long do_grant_table_op(const struct hypercall *call)
{
    if (call->args[2] != 1) /* neither operation takes an array */
        return -EINVAL;
    return RUN_OPERATION(call, grant_table_ops, (uint32_t)call->args[0], call->args[1]);
}
