/* What domctl and sysctl say of a domain. */
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/cpupool.h"
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_vcpus.h"

#include <string.h>

/* The domain's time on CPUs; of the vcpus that are up, whether one has a CPU or all wait for
 * events. Without CPUs a domain that may run is running. */
static void tell_vcpus(const struct hypercall *call, const struct pv_domain_info *info,
                       struct xen_domctl_getdomaininfo *out)
{
    bool running = false, blocked = true;
    for (uint32_t vcpu = 0; vcpu < info->vcpus; vcpu++) {
        struct pv_vcpu_runstate runstate = {.state = RUNSTATE_running};
        pv_vcpu_get_runstate(call->machine, info->domid, vcpu, &runstate);
        out->cpu_time += runstate.time[RUNSTATE_running];
        if (pv_vcpu_op_is_up(call->machine, info->domid, vcpu) != 1)
            continue;
        out->nr_online_vcpus++;
        running |= runstate.state == RUNSTATE_running;
        blocked &= runstate.state == RUNSTATE_blocked;
    }
    if (info->state == PV_DOMAIN_RUNNING)
        out->flags |= running ? XEN_DOMINF_running : blocked ? XEN_DOMINF_blocked : 0;
}

static uint32_t end_flags(const struct pv_domain_info *info)
{
    switch (info->state) {
    case PV_DOMAIN_SHUTDOWN:
    case PV_DOMAIN_CRASHED:
        return XEN_DOMINF_shutdown | info->shutdown_reason << XEN_DOMINF_shutdownshift;
    case PV_DOMAIN_DYING:
        return XEN_DOMINF_dying;
    default:
        return 0;
    }
}

long next_domain(const struct hypercall *call, uint32_t domid, struct xen_domctl_getdomaininfo *out)
{
    struct pv_domain_info info;
    while (domid < DOMID_FIRST_RESERVED && pv_domain_info(call->machine, (domid_t)domid, &info))
        domid++;
    if (domid >= DOMID_FIRST_RESERVED)
        return -ESRCH;
    memset(out, 0, sizeof *out);
    memcpy(out->handle, info.handle, sizeof out->handle);
    out->domain = (domid_t)domid;
    out->flags = end_flags(&info) | (info.pause_count ? XEN_DOMINF_paused : 0);
    uint32_t frames = info.page_size >> FRAME_SHIFT; /* tools count in these, whatever the ABI */
    out->tot_pages = info.pages * frames;
    out->max_pages = info.max_pages * frames;
    out->outstanding_pages = info.outstanding_pages * frames;
    const struct machine_layout *layout = &call->machine->shared->layout;
    out->shared_info_frame =
        (layout->xenheap + domid * layout->xenheap_window + XENHEAP_SHARED_INFO) >> FRAME_SHIFT;
    out->max_vcpu_id = info.vcpus - 1;
    pv_cpupool_of_domain(call->machine, info.domid, &out->cpupool);
    tell_vcpus(call, &info, out);
    return 0;
}
