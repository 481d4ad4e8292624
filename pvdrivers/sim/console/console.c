/* The subsystem: what the log says of the machine and of its domains' lives. Last in the order of
 * the subsystems, so that a domain is made when the log says so, and taken apart. */
#include "pvdrivers/sim/console/console.h"

#include "pvdrivers/sim/hypercall.h"

#include <inttypes.h>

static void print_memory_map(struct machine *shared, const struct pv_machine_config *config)
{
    uint64_t total = 0;
    console_print(shared, "Physical RAM map:");
    for (uint32_t i = 0; i < config->extent_count; i++) {
        const struct pv_memory_extent *extent = &config->extents[i];
        console_print(shared, " [%016" PRIx64 ", %016" PRIx64 "] (%s)", extent->start,
                      extent->start + extent->size - 1, extent->absent ? "absent" : "usable");
        total += extent->absent ? 0 : extent->size;
    }
    console_print(shared, "System RAM: %" PRIu64 "MB (%" PRIu64 "kB)", total >> 20, total >> 10);
}

static void init(struct machine *shared, const struct pv_machine_config *config)
{
    sim_lock_init(&shared->console.lock);
    console_print(shared, "Xen version %d.%d%s", PV_XEN_MAJOR, PV_XEN_MINOR, PV_XEN_EXTRAVERSION);
    print_memory_map(shared, config);
    if (config->cpus) {
        console_print(shared, "Using scheduler: SMP Credit Scheduler %s",
                      config->scheduler == SCHED_CREDIT2 ? "rev2 (credit2)" : "(credit)");
        console_print(shared, "Brought up %" PRIu32 " CPUs", config->cpus);
    }
}

static int created(struct pv_machine *machine, struct domain *d,
                   const struct pv_domain_config *config)
{
    static const char *const abis[] = {"x86_64", "x86_32", "ia64"};
    console_print(machine->shared, "d%u created: %s, %" PRIu64 "kB, %" PRIu32 " vcpus%s",
                  d->domain_id, abis[config->abi], config->memory >> 10, config->vcpus,
                  config->privileged ? ", privileged" : "");
    return 0;
}

static void state_changed(struct pv_machine *machine, struct domain *d)
{
    static const char *const reasons[] = {[SHUTDOWN_poweroff] = "poweroff",
                                          [SHUTDOWN_reboot] = "reboot",
                                          [SHUTDOWN_suspend] = "suspend",
                                          [SHUTDOWN_watchdog] = "watchdog",
                                          [SHUTDOWN_soft_reset] = "soft reset"};
    switch (domain_state(d)) {
    case PV_DOMAIN_CRASHED:
        console_print(machine->shared, "d%u crashed", d->domain_id);
        break;
    case PV_DOMAIN_SHUTDOWN:
        console_print(machine->shared, "d%u shut down: %s", d->domain_id,
                      reasons[d->shutdown_reason]);
        break;
    default:
        break;
    }
}

static uint64_t destroyed(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    (void)from;
    if (domain_state(d) == PV_DOMAIN_DYING) /* and not one that could not be made */
        console_print(machine->shared, "d%u destroyed", d->domain_id);
    return 0;
}

const struct subsystem console_subsystem = {
    .init = init,
    .domain_create = created,
    .domain_state_changed = state_changed,
    .domain_destroy = destroyed,
    .debug_key = {'q', "dump domain info", .dump_domain = console_dump_domain},
};
