/* createdomain: a domain that has nothing yet. Its builder gives it memory by max_mem and
 * memory_op, and a vcpu by setvcpucontext, before it lets it run. */
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/hypercalls/internal.h"

/* What this machine has of what may be asked for: paravirtual domains of the x86_64 ABI. */
static bool is_possible(const struct xen_domctl_createdomain *op)
{
    return !(op->flags & ~XEN_DOMCTL_CDF_oos_off) && op->iommu_opts == 0 && op->vmtrace_size == 0 &&
           op->arch.emulation_flags == 0 && !(op->arch.misc_flags & ~XEN_X86_MSR_RELAXED) &&
           (op->grant_opts == 1 || op->grant_opts == 2) && op->max_grant_frames != 0 &&
           op->max_maptrack_frames != 0;
}

/* A negative limit stands for the hypervisor's own, as 0 does here. */
static uint32_t limit(int32_t frames)
{
    return frames < 0 ? 0 : (uint32_t)frames;
}

static struct pv_domain_config config_of(const struct hypercall *call,
                                         const struct xen_domctl_createdomain *op)
{
    struct pv_domain_config config = {
        .abi = PV_ABI_X86_64,
        .bare = true,
        .max_memory = call->machine->shared->layout.max_domain_pages << FRAME_SHIFT,
        .vcpus = op->max_vcpus,
        .max_event_channels = op->max_evtchn_port + 1, /* UINT32_MAX: the ABI's limit */
        .max_grant_frames = limit(op->max_grant_frames),
        .max_maptrack_frames = limit(op->max_maptrack_frames),
        .max_grant_version = (uint8_t)op->grant_opts,
        .cpupool = op->cpupool_id};
    memcpy(config.handle, op->handle, sizeof config.handle);
    return config;
}

long domctl_createdomain(const struct hypercall *call, void *argument)
{
    struct xen_domctl *domctl = argument;
    bool is_chosen = domctl->domain > 0 && domctl->domain < DOMID_FIRST_RESERVED;
    if (!is_possible(&domctl->u.createdomain))
        return -EINVAL;
    struct pv_domain_config config = config_of(call, &domctl->u.createdomain);
    int domid =
        pv_domain_create(call->machine, is_chosen ? domctl->domain : DOMID_INVALID, &config);
    if (domid < 0)
        return domid == -ENOSPC ? -ENOMEM : domid;
    domctl->domain = (domid_t)domid;
    return 0;
}
