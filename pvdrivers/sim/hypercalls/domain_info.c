/* What domctl and sysctl say of a domain. */
#include "pvdrivers/sim/hypercalls/internal.h"

#include <string.h>

static uint32_t state_flags(const struct pv_domain_info *info)
{
    switch (info->state) {
    case PV_DOMAIN_PAUSED:
        return XEN_DOMINF_paused;
    case PV_DOMAIN_SHUTDOWN:
    case PV_DOMAIN_CRASHED:
        return XEN_DOMINF_shutdown | info->shutdown_reason << XEN_DOMINF_shutdownshift;
    case PV_DOMAIN_DYING:
        return XEN_DOMINF_dying;
    default:
        return XEN_DOMINF_running;
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
    out->domain = (domid_t)domid;
    out->flags = state_flags(&info);
    uint32_t frames = info.page_size / 4096; /* tools count in these, whatever the domain's ABI */
    out->tot_pages = info.pages * frames;
    out->max_pages = info.max_pages * frames;
    out->nr_online_vcpus = info.vcpus;
    out->max_vcpu_id = info.vcpus - 1;
    return 0;
}
