/* Run queues, for the debug key 'r'. */
#include "pvdrivers/sim/console/console.h"
#include "pvdrivers/sim/core/rcu.h"
#include "pvdrivers/sim/sched/internal.h"

#include <inttypes.h>

static void dump_vcpu(struct pv_machine *machine, const char *role, vcpu_ref ref)
{
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    console_print(machine->shared, "  %s: [%u.%u] pri=%d flags=%s credit=%" PRId32 " cpu=%u", role,
                  domid_of(ref), id_of(ref), vcpu->priority, vcpu->active ? "active" : "idle",
                  vcpu->credit, vcpu->cpu);
}

/* As Xen names them: the CPU's core and its socket. */
static void dump_place(struct pv_machine *machine, uint32_t id)
{
    const struct scheduler *sched = scheduler(machine);
    const struct sched_cpu *cpu = &sched->cpu[id];
    struct cpu_range sibling = core_of(sched, id), core = socket_of(sched, id);
    console_print(machine->shared,
                  "CPU[%02" PRIu32 "] %s runq=%" PRIu32 " sibling={%" PRIu32 "-%" PRIu32
                  "} core={%" PRIu32 "-%" PRIu32 "} node=%" PRIu32,
                  id, cpu->current == NO_VCPU ? "idle" : "runs", cpu->queue, sibling.first,
                  sibling.end - 1, core.first, core.end - 1, node_of(sched, id));
}

static void dump_cpu(struct pv_machine *machine, uint32_t id)
{
    const struct sched_cpu *cpu = &scheduler(machine)->cpu[id];
    dump_place(machine, id);
    if (cpu->current != NO_VCPU)
        dump_vcpu(machine, "run", cpu->current);
    for (vcpu_ref ref = queue_of_cpu(machine, id)->first; ref != NO_VCPU;
         ref = vcpu_at(machine, ref)->next)
        dump_vcpu(machine, "waits", ref);
}

static void dump_cpus(struct pv_machine *machine, uint16_t pool)
{
    const struct scheduler *sched = scheduler(machine);
    for (uint32_t cpu = 0; cpu < sched->cpus; cpu++)
        if (sched->cpu[cpu].pool == pool)
            dump_cpu(machine, cpu);
}

static void dump_pool(struct pv_machine *machine, const struct sched_pool *pool)
{
    console_print(machine->shared, "Cpupool %" PRIu32 ":", pool->id);
    console_print(machine->shared,
                  "Scheduler: %s, tslice %" PRIu32 "us, ratelimit %" PRIu32 "us, weight %" PRIu32
                  ", balance %" PRId64,
                  ops_of(pool)->name, pool->slice_us, pool->ratelimit_us, pool->weight,
                  pool->balance);
    dump_cpus(machine, (uint16_t)(pool - scheduler(machine)->pool));
}

void sched_dump(struct pv_machine *machine)
{
    const struct scheduler *sched = scheduler(machine);
    if (sched->cpus == 0) {
        console_print(machine->shared, "No CPUs: domains run at any time");
        return;
    }
    sched_lock(machine);
    for (uint32_t slot = 0; slot < sched->pool_end; slot++)
        if (sched->pool[slot].exists)
            dump_pool(machine, &sched->pool[slot]);
    console_print(machine->shared, "Free CPUs:");
    dump_cpus(machine, NO_POOL);
    sched_unlock(machine);
}
