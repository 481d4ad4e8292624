/* A process is killed inside the scheduler: whoever comes next repairs it, and every vcpu gets what
 * it wants. */
#include "pvdrivers/sim/cpupool.h"
#include "tests/pvdrivers/sim/core/c/stepping.h"

#include <errno.h>

#define DOMAINS 4
#define CPUS 2
#define MS 1000000ull
#define TRIED 24 /* instants, at equal distances */

static struct pv_machine *make_machine(void)
{
    struct pv_machine *machine;
    const struct pv_memory_extent extent = {.size = 64u << 20};
    const struct pv_machine_config config = {.extents = &extent,
                                             .extent_count = 1,
                                             .max_domains = DOMAINS,
                                             .max_domain_memory = 1u << 20,
                                             .virtual_time = true,
                                             .cpus = CPUS};
    const struct pv_domain_config domain = {.memory = 1u << 16, .vcpus = 1};
    assert(pv_machine_create(&config, &machine) == 0);
    for (domid_t domid = 0; domid < DOMAINS; domid++) {
        assert(pv_domain_create(machine, domid, &domain) == domid);
        assert(pv_domain_unpause(machine, domid) == 0);
    }
    return machine;
}

static void run(struct pv_machine *machine, uint64_t ns)
{
    struct pv_sched_done done[DOMAINS];
    uint64_t end = pv_machine_now(machine) + ns;
    while (pv_machine_now(machine) < end)
        assert(pv_sched_run(machine, end, done, DOMAINS) >= 0);
}

/* One computes, two have waited for it, and the last one still sleeps. */
static void *make_busy_machine(void)
{
    struct pv_machine *machine = make_machine();
    for (domid_t domid = 0; domid < DOMAINS - 1; domid++)
        assert(pv_vcpu_demand(machine, domid, 0, 100 * MS) == 0);
    run(machine, 45 * MS);
    return machine;
}

/* Of one CPU, with the other scheduler, and back. */
static void use_another_pool(struct pv_machine *machine)
{
    uint32_t pool = PV_CPUPOOL_ANY;
    pv_cpupool_create(machine, &pool, PV_SCHEDULER_CREDIT2);
    pv_cpupool_remove_cpu(machine, 0, CPUS - 1);
    pv_cpupool_add_cpu(machine, pool, CPUS - 1);
    pv_cpupool_move_domain(machine, pool, 1);
    pv_cpupool_move_domain(machine, 0, 1);
    pv_cpupool_remove_cpu(machine, pool, CPUS - 1);
    pv_cpupool_add_cpu(machine, 0, CPUS - 1);
    pv_cpupool_destroy(machine, pool);
}

static int use_all(void *argument)
{
    struct pv_machine *machine = argument;
    use_another_pool(machine);
    pv_vcpu_demand(machine, DOMAINS - 1, 0, 20 * MS);
    pv_domain_pause(machine, 0);
    pv_domain_unpause(machine, 0);
    run(machine, 12 * MS);
    return 0;
}

/* Each domain is in one pool, and each CPU in one or free. */
static void check_pools(struct pv_machine *machine)
{
    uint32_t domains = 0;
    uint64_t cpus[4];
    struct pv_cpupool_info info = {0};
    assert(pv_cpupool_get_free(machine, cpus) == 0);
    uint64_t seen = cpus[0];
    for (uint32_t id = 0; pv_cpupool_get_info(machine, id, &info) == 0; id = info.pool + 1) {
        assert((seen & info.cpus[0]) == 0);
        assert(info.cpus[0] || !info.domains);
        seen |= info.cpus[0];
        domains += info.domains;
    }
    assert(seen == (1u << CPUS) - 1 && domains == DOMAINS);
}

static void check(void *argument)
{
    struct pv_machine *machine = argument;
    pv_vcpu_demand(machine, DOMAINS - 1, 0, MS);
    for (domid_t domid = 0; domid < DOMAINS; domid++)
        pv_domain_unpause(machine, domid);
    run(machine, 1000 * MS);
    for (domid_t domid = 0; domid < DOMAINS; domid++) {
        struct pv_vcpu_runstate state;
        assert(pv_vcpu_get_runstate(machine, domid, 0, &state) == 0);
        assert(state.state == RUNSTATE_blocked);
        assert(state.time[RUNSTATE_running] >= (domid < DOMAINS - 1 ? 100 : 1) * MS);
    }
    check_pools(machine);
}

/* ---- Whether a domain is paused: its count says so ------------------------------------------- */

static void *make_running(void)
{
    struct pv_machine *machine = make_machine();
    assert(pv_vcpu_demand(machine, 0, 0, MS) == 0);
    return machine;
}

static int pause_it(void *machine)
{
    return pv_domain_pause(machine, 0);
}

static void *make_paused(void)
{
    struct pv_machine *machine = make_running();
    assert(pause_it(machine) == 0);
    return machine;
}

static int unpause_it(void *machine)
{
    return pv_domain_unpause(machine, 0);
}

static bool has_run(struct pv_machine *machine)
{
    struct pv_vcpu_runstate state;
    run(machine, 10 * MS);
    assert(pv_vcpu_get_runstate(machine, 0, 0, &state) == 0);
    return state.time[RUNSTATE_running] == MS;
}

static void check_paused(void *argument)
{
    struct pv_machine *machine = argument;
    struct pv_domain_info info;
    assert(pv_domain_pause(machine, 1) == 0); /* whoever comes next */
    assert(pv_domain_info(machine, 0, &info) == 0);
    assert(info.state == (info.pause_count ? PV_DOMAIN_PAUSED : PV_DOMAIN_RUNNING));
    assert(has_run(machine) == (info.pause_count == 0));
    assert(pv_domain_unpause(machine, 0) == (info.pause_count ? 0 : -EINVAL));
    assert(has_run(machine));
}

static void close_machine(void *machine)
{
    pv_machine_close(machine);
}

int main(void)
{
    kill_at_instants(&(struct killed_call){make_busy_machine, use_all, check, close_machine},
                     TRIED);
    kill_at_instants(&(struct killed_call){make_running, pause_it, check_paused, close_machine},
                     TRIED);
    kill_at_instants(&(struct killed_call){make_paused, unpause_it, check_paused, close_machine},
                     TRIED);
    return 0;
}
