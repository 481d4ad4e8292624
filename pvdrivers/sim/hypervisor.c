/* The seam over the simulated machine: its table of calls, and how a view is opened and closed. */
#include "pvdrivers/sim/core/hypervisor.h"

#include "pvdrivers/sim/events/events.h"
#include "pvdrivers/sim/grants/grants.h"
#include "pvdrivers/sim/memory/guest_pages.h"

#include <errno.h>
#include <stdlib.h>

/* Closes what the subsystems before `end` have of it. */
static void close_view(struct sim_hypervisor *hv, unsigned end)
{
    for (unsigned id = end; id-- > 0;)
        if (subsystems[id]->view_close)
            subsystems[id]->view_close(hv);
    free(hv);
}

static void sim_close(struct pv_hypervisor *hypervisor)
{
    close_view(to_sim(hypervisor), SUBSYSTEM_COUNT);
}

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
    .balloon = sim_balloon,
};

static uint32_t last_view;

int pv_machine_open_hypervisor(struct pv_machine *machine, domid_t domid,
                               struct pv_hypervisor **out)
{
    RCU_SECTION(machine);
    struct domain *d = find_live_domain(machine, NULL, domid);
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
    FOR_EACH_SUBSYSTEM(id, view_open)
    {
        int error = subsystems[id]->view_open(hv, d);
        if (error) {
            close_view(hv, id);
            return error;
        }
    }
    *out = &hv->base;
    return 0;
}
