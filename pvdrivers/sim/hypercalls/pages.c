/* Hypercalls about single pages: taking them out of use, and what a domain's are. */
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_pages.h"
#include "pvdrivers/sim/memory/memory.h"

#define MOST_FRAMES (1u << 18) /* of one call */
#define MOST_GFNS 1024u

/* ---- Offlining ------------------------------------------------------------------------------- */

static int change_page(const struct hypercall *call, uint32_t cmd, uint64_t mfn, uint32_t *status)
{
    switch (cmd) {
    case sysctl_page_offline:
        return pv_page_offline(call->machine, mfn, false, status);
    case sysctl_page_online:
        return pv_page_online(call->machine, mfn, status);
    case sysctl_query_page_offline:
        return pv_page_query_offline(call->machine, mfn, status);
    default:
        return -EINVAL;
    }
}

/* Up to the first that cannot be; those behind it are INVALID. */
long sysctl_page_offline_op(const struct hypercall *call, void *argument)
{
    const struct xen_sysctl_page_offline_op *op = &((struct xen_sysctl *)argument)->u.page_offline;
    if (op->end < op->start)
        return -EINVAL;
    if (op->end - op->start >= MOST_FRAMES)
        return -ENOMEM;
    int error = 0;
    for (uint64_t mfn = op->start; mfn <= op->end; mfn++) {
        uint32_t status = PG_OFFLINE_INVALID;
        if (!error)
            error = change_page(call, op->cmd, mfn, &status);
        if (copy_to_guest(op->status + (mfn - op->start) * sizeof status, &status, sizeof status))
            return -EFAULT;
    }
    return error;
}

/* ---- What a domain's pages are --------------------------------------------------------------- */

static uint64_t frame_type(struct pv_machine *machine, domid_t domid, uint64_t gfn)
{
    struct pv_page_info info = {.xen_heap = true};
    int64_t mfn = pv_domain_gfn_to_mfn(machine, domid, gfn);
    if (mfn >= 0)
        page_facts(machine, (uint64_t)mfn, &info);
    if (info.xen_heap)
        return XEN_DOMCTL_PFINFO_XTAB;
    return info.broken ? XEN_DOMCTL_PFINFO_BROKEN : XEN_DOMCTL_PFINFO_NOTAB;
}

/* No page is a page table: a domain's are its own affair. */
long domctl_getpageframeinfo3(const struct hypercall *call, void *argument)
{
    const struct xen_domctl *op = argument;
    struct pv_domain_info info;
    int error = pv_domain_info(call->machine, op->domain, &info);
    if (error)
        return error;
    if (op->u.getpageframeinfo3.num > MOST_GFNS)
        return -E2BIG;
    for (uint64_t i = 0; i < op->u.getpageframeinfo3.num; i++) {
        uint64_t word, at = op->u.getpageframeinfo3.array + i * sizeof word;
        if (copy_from_guest(&word, at, sizeof word))
            return -EFAULT;
        word = frame_type(call->machine, op->domain, word);
        if (copy_to_guest(at, &word, sizeof word))
            return -EFAULT;
    }
    return 0;
}
