#include "pvdrivers/sim/core/hypervisor.h"

#include "pvdrivers/sim/grants/internal.h"
#include "pvdrivers/sim/memory/guest_memory.h"
#include "pvdrivers/sim/memory/map.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static void sim_close(struct pv_hypervisor *hypervisor)
{
    grant_table_release_view(to_sim(hypervisor));
    physmap_close(to_sim(hypervisor));
    free(hypervisor);
}

/* ---- Foreign memory -------------------------------------------------------------------------- */

/* Its own frames by number (start_info, the xenstore ring), or anybody's for a privileged one. */
static bool may_map(const struct domain *caller, const struct domain *d)
{
    return caller->privileged || caller == d;
}

static void *sim_foreign_map(struct pv_hypervisor *hypervisor, domid_t domid, const uint64_t *gfns,
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
        uint64_t mfn = gfn_to_mfn(machine, d, gfns[i]);
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

static int sim_foreign_unmap(struct pv_hypervisor *hypervisor, domid_t domid, void *address,
                             unsigned count)
{
    RCU_SECTION(to_sim(hypervisor)->machine);
    struct domain *d = find_domain(to_sim(hypervisor)->machine, domid);
    size_t page_size = d ? (size_t)1 << d->page_shift : hypervisor->page_size;
    return munmap(address, count * page_size) ? -errno : 0;
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct pv_hypervisor_ops sim_ops = {
    .name = "sim",
    .close = sim_close,
    .evtchn_open = sim_evtchn_open,
    .evtchn_close = sim_evtchn_close,
    .evtchn_fd = sim_evtchn_fd,
    .evtchn_bind_unbound_port = sim_evtchn_bind_unbound_port,
    .evtchn_bind_interdomain = sim_evtchn_bind_interdomain,
    .evtchn_bind_virq = sim_evtchn_bind_virq,
    .evtchn_unbind = sim_evtchn_unbind,
    .evtchn_notify = sim_evtchn_notify,
    .evtchn_pending = sim_evtchn_pending,
    .evtchn_unmask = sim_evtchn_unmask,
    .gnttab_map = sim_gnttab_map,
    .gnttab_unmap = sim_gnttab_unmap,
    .gnttab_copy = sim_gnttab_copy,
    .gnttab_map_contiguous = sim_gnttab_map_contiguous,
    .gnttab_unmap_contiguous = sim_gnttab_unmap_contiguous,
    .gnttab_page_size = sim_gnttab_page_size,
    .pages_alloc = sim_pages_alloc,
    .pages_free = sim_pages_free,
    .grant_access = sim_grant_access,
    .grant_end = sim_grant_end,
    .foreign_map = sim_foreign_map,
    .foreign_unmap = sim_foreign_unmap,
};

static uint32_t last_view;

int pv_machine_open_hypervisor(struct pv_machine *machine, domid_t domid,
                               struct pv_hypervisor **out)
{
    RCU_SECTION(machine);
    struct domain *d = find_granter(machine, NULL, domid);
    if (!d)
        return -ESRCH;
    struct sim_hypervisor *hv = calloc(1, sizeof *hv);
    if (!hv)
        return -ENOMEM;
    hv->base = (struct pv_hypervisor){.ops = &sim_ops,
                                      .domid = domid,
                                      .abi = (enum pv_abi)d->abi,
                                      .page_size = 1u << d->page_shift,
                                      .maps_outlive_process = true}; /* pages of a file */
    hv->machine = machine;
    hv->domain = d;
    hv->generation = domain_generation(d);
    hv->view = __atomic_add_fetch(&last_view, 1, __ATOMIC_RELAXED);
    hv->physmap_seen = UINT64_MAX;
    int error = physmap_open(hv, d);
    if (error) {
        free(hv);
        return error;
    }
    *out = &hv->base;
    return 0;
}
