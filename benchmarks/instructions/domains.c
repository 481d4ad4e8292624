#include "benchmarks/instructions/domains.h"

#include <stdio.h>
#include <stdlib.h>

void require(bool met, const char *what)
{
    if (met)
        return;
    perror(what);
    exit(1);
}

static struct pv_hypervisor *add_domain(struct pv_machine *machine, domid_t domid, uint64_t memory)
{
    struct pv_hypervisor *view;
    const struct pv_domain_config config = {
        .abi = PV_ABI_X86_64, .memory = memory, .vcpus = 1, .privileged = domid == 0};
    require(pv_domain_create(machine, domid, &config) == domid &&
                pv_domain_unpause(machine, domid) == 0 &&
                pv_machine_open_hypervisor(machine, domid, &view) == 0,
            "domain");
    return view;
}

void make_domains(struct domains *domains, uint64_t memory)
{
    const struct pv_memory_extent extent = {.size = 2 * memory};
    const struct pv_machine_config config = {
        .extents = &extent, .extent_count = 1, .max_domains = 4, .max_domain_memory = memory};
    require(pv_machine_create(&config, &domains->machine) == 0, "machine");
    domains->back_view = add_domain(domains->machine, 0, 1u << 20);
    domains->front_view = add_domain(domains->machine, 1, memory);
    domains->back_events = domains->back_view->ops->evtchn_open(domains->back_view);
    domains->front_events = domains->front_view->ops->evtchn_open(domains->front_view);
}

void close_domains(struct domains *domains)
{
    domains->back_view->ops->evtchn_close(domains->back_events);
    domains->front_view->ops->evtchn_close(domains->front_events);
    domains->front_view->ops->close(domains->front_view);
    domains->back_view->ops->close(domains->back_view);
    pv_machine_close(domains->machine);
}
