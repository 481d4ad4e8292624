/* The toolstack's hypercalls that programs use: which domains there are, and their states. */
#include "pvdrivers/dropin/hypercall.h"

#include <string.h>

#define XEN_DOMCTL_INTERFACE_VERSION 0x15
#define XEN_SYSCTL_INTERFACE_VERSION 0x15

enum {
    XEN_DOMCTL_destroydomain = 2,
    XEN_DOMCTL_pausedomain = 3,
    XEN_DOMCTL_unpausedomain = 4,
    XEN_DOMCTL_getdomaininfo = 5
};
enum { XEN_SYSCTL_getdomaininfolist = 6 };

#define XEN_DOMINF_dying (1u << 0)
#define XEN_DOMINF_shutdown (1u << 2)
#define XEN_DOMINF_paused (1u << 3)
#define XEN_DOMINF_running (1u << 5)
#define XEN_DOMINF_shutdownshift 16

struct xen_domctl_getdomaininfo {
    domid_t domain;
    uint16_t pad1;
    uint32_t flags;
    uint64_t tot_pages, max_pages, outstanding_pages, shr_pages, paged_pages;
    uint64_t shared_info_frame;
    uint64_t cpu_time;
    uint32_t nr_online_vcpus, max_vcpu_id;
    uint32_t ssidref;
    uint8_t handle[16];
    uint32_t cpupool;
    uint8_t gpaddr_bits;
    uint8_t pad2[7];
    struct {
        uint32_t emulation_flags, misc_flags;
    } arch_config;
};

struct xen_domctl {
    uint32_t cmd, interface_version;
    domid_t domain;
    uint16_t pad[3];
    union {
        struct xen_domctl_getdomaininfo getdomaininfo;
        uint8_t bytes[128];
    } u;
};

struct xen_sysctl {
    uint32_t cmd, interface_version;
    union {
        struct {
            domid_t first_domain;
            uint32_t max_domains;
            struct xen_domctl_getdomaininfo *buffer;
            uint32_t num_domains;
        } getdomaininfolist;
        uint8_t bytes[128];
    } u;
};

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

/* The first domain from `domid` on; -ESRCH when there is none. */
static long next_domain(struct pv_machine *machine, uint32_t domid,
                        struct xen_domctl_getdomaininfo *out)
{
    struct pv_domain_info info;
    while (domid < DOMID_FIRST_RESERVED && pv_domain_info(machine, (domid_t)domid, &info))
        domid++;
    if (domid >= DOMID_FIRST_RESERVED)
        return -ESRCH;
    memset(out, 0, sizeof *out);
    out->domain = (domid_t)domid;
    out->flags = state_flags(&info);
    out->tot_pages = info.pages;
    out->max_pages = info.max_pages;
    out->nr_online_vcpus = info.vcpus;
    out->max_vcpu_id = info.vcpus - 1;
    return 0;
}

static int check_privilege(struct pv_machine *machine, domid_t caller)
{
    struct pv_domain_info info;
    int error = pv_domain_info(machine, caller, &info);
    return error ? error : info.privileged ? 0 : -EPERM;
}

long domctl(struct pv_machine *machine, domid_t caller, struct xen_domctl *op)
{
    if (op->interface_version != XEN_DOMCTL_INTERFACE_VERSION)
        return -EACCES;
    long error = check_privilege(machine, caller);
    if (error)
        return error;
    switch (op->cmd) {
    case XEN_DOMCTL_destroydomain:
        return pv_domain_destroy(machine, op->domain);
    case XEN_DOMCTL_pausedomain:
        return pv_domain_pause(machine, op->domain);
    case XEN_DOMCTL_unpausedomain:
        return pv_domain_unpause(machine, op->domain);
    case XEN_DOMCTL_getdomaininfo:
        error = next_domain(machine, op->domain, &op->u.getdomaininfo);
        if (!error)
            op->domain = op->u.getdomaininfo.domain;
        return error;
    default:
        return -ENOSYS;
    }
}

long sysctl(struct pv_machine *machine, domid_t caller, struct xen_sysctl *op)
{
    if (op->interface_version != XEN_SYSCTL_INTERFACE_VERSION)
        return -EACCES;
    long error = check_privilege(machine, caller);
    if (error || op->cmd != XEN_SYSCTL_getdomaininfolist)
        return error ? error : -ENOSYS;
    uint32_t found = 0, domid = op->u.getdomaininfolist.first_domain;
    struct xen_domctl_getdomaininfo *list = op->u.getdomaininfolist.buffer;
    while (found < op->u.getdomaininfolist.max_domains &&
           !next_domain(machine, domid, &list[found]))
        domid = list[found++].domain + 1u;
    op->u.getdomaininfolist.num_domains = found;
    return 0;
}
