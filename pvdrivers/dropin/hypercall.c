#include "pvdrivers/dropin/hypercall.h"

#include "pvdrivers/sim/machine_events.h"
#include "pvdrivers/sim/machine_grants.h"

#include <stdio.h>

enum {
    __HYPERVISOR_xen_version = 17,
    __HYPERVISOR_grant_table_op = 20,
    __HYPERVISOR_sched_op = 29,
    __HYPERVISOR_event_channel_op = 32,
    __HYPERVISOR_sysctl = 35,
    __HYPERVISOR_domctl = 36
};

/* ---- xen_version: Xen 4.17, whose interface versions are understood here --------------------- */

enum { XENVER_version, XENVER_extraversion, XENVER_capabilities = 3, XENVER_pagesize = 7 };
#define XEN_MAJOR 4
#define XEN_MINOR 17
#define EXTRAVERSION_SIZE 16
#define CAPABILITIES_SIZE 1024

static long xen_version(unsigned cmd, void *arg)
{
    switch (cmd) {
    case XENVER_version:
        return XEN_MAJOR << 16 | XEN_MINOR;
    case XENVER_extraversion:
        snprintf(arg, EXTRAVERSION_SIZE, ".0-pvdrivers");
        return 0;
    case XENVER_capabilities:
        snprintf(arg, CAPABILITIES_SIZE, "xen-3.0-x86_64 xen-3.0-x86_32p ");
        return 0;
    case XENVER_pagesize:
        return XC_PAGE_SIZE;
    default:
        return -ENOSYS;
    }
}

/* ---- event_channel_op ------------------------------------------------------------------------ */

static long bind_op(struct pv_machine *machine, domid_t self, unsigned cmd, void *arg)
{
    struct evtchn_alloc_unbound *unbound = arg;
    struct evtchn_bind_interdomain *interdomain = arg;
    struct evtchn_bind_virq *virq = arg;
    struct evtchn_bind_ipi *ipi = arg;
    struct evtchn_bind_vcpu *vcpu = arg;
    switch (cmd) {
    case EVTCHNOP_alloc_unbound:
        return pv_evtchn_op_alloc_unbound(machine, self, unbound->dom, unbound->remote_dom,
                                          &unbound->port);
    case EVTCHNOP_bind_interdomain:
        return pv_evtchn_op_bind_interdomain(machine, self, interdomain->remote_dom,
                                             interdomain->remote_port, &interdomain->local_port);
    case EVTCHNOP_bind_virq:
        return pv_evtchn_op_bind_virq(machine, self, virq->virq, virq->vcpu, &virq->port);
    case EVTCHNOP_bind_ipi:
        return pv_evtchn_op_bind_ipi(machine, self, ipi->vcpu, &ipi->port);
    case EVTCHNOP_bind_vcpu:
        return pv_evtchn_op_bind_vcpu(machine, self, vcpu->port, vcpu->vcpu);
    default:
        return -ENOSYS;
    }
}

static long event_channel_op(struct pv_machine *machine, domid_t self, unsigned cmd, void *arg)
{
    switch (cmd) {
    case EVTCHNOP_close:
        return pv_evtchn_op_close(machine, self, ((struct evtchn_close *)arg)->port);
    case EVTCHNOP_send:
        return pv_evtchn_op_send(machine, self, ((struct evtchn_send *)arg)->port);
    case EVTCHNOP_status:
        return pv_evtchn_op_status(machine, self, arg);
    case EVTCHNOP_unmask:
        return pv_evtchn_op_unmask(machine, self, ((struct evtchn_unmask *)arg)->port);
    case EVTCHNOP_reset:
        return pv_evtchn_op_reset(machine, self, ((struct evtchn_reset *)arg)->dom);
    default:
        return bind_op(machine, self, cmd, arg);
    }
}

/* ---- Others ---------------------------------------------------------------------------------- */

static long grant_table_op(struct pv_machine *machine, domid_t self, unsigned cmd, void *arg)
{
    switch (cmd) {
    case GNTTABOP_query_size:
        return pv_gnttab_op_query_size(machine, self, arg);
    case GNTTABOP_get_version:
        return pv_gnttab_op_get_version(machine, self, arg);
    default:
        return -ENOSYS;
    }
}

#define SCHEDOP_remote_shutdown 4

struct sched_remote_shutdown {
    domid_t domain_id;
    uint32_t reason;
};

static long sched_op(struct pv_machine *machine, domid_t self, unsigned cmd, const void *arg)
{
    const struct sched_remote_shutdown *op = arg;
    struct pv_domain_info info;
    if (cmd != SCHEDOP_remote_shutdown)
        return -ENOSYS;
    int error = pv_domain_info(machine, self, &info);
    if (error || !info.privileged)
        return error ? error : -EPERM;
    return pv_domain_shutdown(machine, op->domain_id, op->reason);
}

long hypercall(xencall_handle *handle, unsigned op, uint64_t arg1, uint64_t arg2)
{
    struct pv_machine *machine = handle->base.machine;
    domid_t self = handle->base.hypervisor->domid;
    void *arg = (void *)(uintptr_t)arg2;
    unsigned cmd = (unsigned)arg1;
    switch (op) {
    case __HYPERVISOR_xen_version:
        return xen_version(cmd, arg);
    case __HYPERVISOR_grant_table_op:
        return grant_table_op(machine, self, cmd, arg);
    case __HYPERVISOR_sched_op:
        return sched_op(machine, self, cmd, arg);
    case __HYPERVISOR_event_channel_op:
        return event_channel_op(machine, self, cmd, arg);
    case __HYPERVISOR_sysctl:
        return sysctl(machine, self, (struct xen_sysctl *)(uintptr_t)arg1);
    case __HYPERVISOR_domctl:
        return domctl(machine, self, (struct xen_domctl *)(uintptr_t)arg1);
    default:
        return -ENOSYS;
    }
}
