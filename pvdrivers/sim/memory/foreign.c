/* Memory mapped by frame number: the foreign memory of the seam. */
#include "pvdrivers/sim/core/map.h"
#include "pvdrivers/sim/memory/guest_pages.h"
#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>
#include <sys/mman.h>

/* Its own frames by number (start_info, the xenstore ring), or any domain's for a privileged one.
 */
static bool may_map(const struct domain *caller, const struct domain *d)
{
    return caller->privileged || caller == d;
}

void *sim_foreign_map(struct pv_hypervisor *hypervisor, domid_t domid, const uint64_t *gfns,
                      unsigned count, bool readonly)
{
    struct pv_machine *machine = to_sim(hypervisor)->machine;
    RCU_SECTION(machine);
    struct domain *caller = view_domain(to_sim(hypervisor)), *d = find_domain(machine, domid);
    errno = !caller || !d ? ESRCH : !may_map(caller, d) ? EPERM : 0;
    if (errno)
        return NULL;
    size_t page_size = (size_t)1 << d->page_shift;
    uint8_t *window = mmap(NULL, count * page_size, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window == MAP_FAILED)
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        uint64_t mfn =
            readonly ? gfn_to_readable_mfn(machine, d, gfns[i]) : gfn_to_mfn(machine, d, gfns[i]);
        if (mfn == NO_FRAME ||
            map_memory(machine, window + i * page_size, mfn << FRAME_SHIFT, page_size, readonly)) {
            munmap(window, count * page_size);
            errno = mfn == NO_FRAME ? EFAULT : ENOMEM;
            return NULL;
        }
    }
    account(caller, PV_ACCOUNT_MEMORY_OP, 1);
    return window;
}

int sim_foreign_unmap(struct pv_hypervisor *hypervisor, domid_t domid, void *address,
                      unsigned count)
{
    RCU_SECTION(to_sim(hypervisor)->machine);
    struct domain *d = find_domain(to_sim(hypervisor)->machine, domid);
    size_t page_size = d ? (size_t)1 << d->page_shift : hypervisor->page_size;
    return munmap(address, count * page_size) ? -errno : 0;
}
