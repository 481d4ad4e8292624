/* Memory mapped by frame number: the foreign memory of the seam. */
#include "pvdrivers/sim/core/map.h"
#include "pvdrivers/sim/memory/guest_pages.h"
#include "pvdrivers/sim/memory/memory.h"
#include "pvdrivers/sim/xentrace/xentrace.h"

#include <errno.h>
#include <sys/mman.h>

/* Its own frames by number (start_info, the xenstore ring), or any domain's for a privileged one,
 * and some of the hypervisor's own (`d` NULL). */
static int check(const struct domain *caller, domid_t domid, const struct domain *d)
{
    if (!caller || (!d && domid != DOMID_XEN))
        return ESRCH;
    return caller->privileged || caller == d ? 0 : EPERM;
}

/* The trace buffers; and to read, the machine-to-physical table. */
static bool may_map_xens(struct pv_machine *machine, uint64_t mfn, bool readonly)
{
    return xentrace_shares(machine, mfn, readonly) || (readonly && m2p_share(machine, mfn));
}

static uint64_t find_frame(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                           bool readonly)
{
    if (!d)
        return may_map_xens(machine, gfn, readonly) ? gfn : NO_FRAME;
    return readonly ? gfn_to_readable_mfn(machine, d, gfn) : gfn_to_mfn(machine, d, gfn);
}

static size_t page_size_of(const struct domain *d)
{
    return d ? (size_t)1 << d->page_shift : FRAME_SIZE;
}

void *sim_foreign_map(struct pv_hypervisor *hypervisor, domid_t domid, const uint64_t *gfns,
                      unsigned count, bool readonly)
{
    struct pv_machine *machine = to_sim(hypervisor)->machine;
    RCU_SECTION(machine);
    struct domain *caller = view_domain(to_sim(hypervisor)), *d = find_domain(machine, domid);
    errno = check(caller, domid, d);
    if (errno)
        return NULL;
    size_t page_size = page_size_of(d);
    uint8_t *window = mmap(NULL, count * page_size, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window == MAP_FAILED)
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        uint64_t mfn = find_frame(machine, d, gfns[i], readonly);
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
    size_t page_size = d || domid == DOMID_XEN ? page_size_of(d) : hypervisor->page_size;
    return munmap(address, count * page_size) ? -errno : 0;
}
