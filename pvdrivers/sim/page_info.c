/* A page as Xen's page_info has it: what the frame table says, and who writes to it. */
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/grants/grants.h"
#include "pvdrivers/sim/machine_pages.h"
#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>

/* The type is not stored, since the grants know it: a count for each page would have a grant change
 * two. */
static uint32_t writers(struct pv_machine *machine, const struct pv_page_info *info, uint64_t mfn)
{
    if (info->xen_heap)
        return info->count;
    RCU_SECTION(machine);
    struct domain *owner = find_domain(machine, info->owner);
    return owner ? grant_writers(machine, owner, mfn) : 0;
}

int pv_page_info(struct pv_machine *machine, uint64_t mfn, struct pv_page_info *info)
{
    if (pv_machine_check_frame(machine, mfn))
        return -EFAULT;
    page_facts(machine, mfn, info);
    info->type_count += writers(machine, info, mfn);
    info->type = info->type_count ? PV_PAGE_WRITABLE : PV_PAGE_NONE;
    return 0;
}
