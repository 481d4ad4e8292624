/* Virtual time moves on from one event of a CPU to the next. */
#include "pvdrivers/sim/sched/trace.h"

#include <errno.h>

static void set_now(struct pv_machine *machine, uint64_t now)
{
    __atomic_store_n(&machine->shared->now, now, __ATOMIC_RELAXED);
}

/* Those that were reported when time last stood, and want nothing more, block. */
static void block_done(struct pv_machine *machine, uint64_t now)
{
    struct scheduler *sched = scheduler(machine);
    if (!sched->some_done)
        return;
    sched->some_done = false;
    for (uint32_t cpu = 0; cpu < sched->cpus; cpu++) {
        struct sched_cpu *own = &sched->cpu[cpu];
        if (!own->done)
            continue;
        own->done = false;
        if (vcpu_at(machine, own->current)->demand == 0) {
            trace_vcpu(machine, TRC_SCHED_BLOCK, own->current);
            cpu_schedule(machine, cpu, now);
        } else {
            cpu_update(machine, cpu);
        }
    }
}

/* Whether `current` has had what it wanted. */
static bool report(struct pv_machine *machine, struct sched_cpu *cpu, uint64_t now,
                   struct pv_sched_done *done)
{
    if (cpu->current == NO_VCPU || cpu->done || vcpu_at(machine, cpu->current)->demand > 0)
        return false;
    cpu->done = scheduler(machine)->some_done = true;
    *done = (struct pv_sched_done){
        .time = now, .domid = domid_of(cpu->current), .vcpu = id_of(cpu->current)};
    return true;
}

/* The one whose timer comes next. */
static struct sched_pool *next_pool(struct scheduler *sched)
{
    struct sched_pool *next = &sched->pool[0];
    for (uint32_t slot = 1; slot < sched->pool_end; slot++)
        if (sched->pool[slot].exists && sched->pool[slot].timer_at < next->timer_at)
            next = &sched->pool[slot];
    return next;
}

/* What happens on the CPU at this time. Whether its vcpu is to be reported. */
static bool cpu_event(struct pv_machine *machine, uint32_t cpu, uint64_t now,
                      struct pv_sched_done *done)
{
    struct sched_cpu *own = &scheduler(machine)->cpu[cpu];
    cpu_charge(machine, own, now);
    bool reported = report(machine, own, now, done);
    if (own->tick_at <= now)
        ops_of(pool_of_cpu(machine, cpu))->tick(machine, cpu, now);
    if (!reported && own->slice_end <= now)
        cpu_schedule(machine, cpu, now);
    else
        cpu_update(machine, cpu);
    return reported;
}

/* All that happens up to `until`, or at the first time at which something is to be reported. */
static uint32_t run(struct pv_machine *machine, uint64_t until, struct pv_sched_done *done,
                    uint32_t max)
{
    struct scheduler *sched = scheduler(machine);
    uint32_t count = 0;
    while (count < max) {
        uint32_t cpu = sched->heap[0];
        uint64_t at = sched->cpu[cpu].next;
        struct sched_pool *pool = next_pool(sched);
        bool timer = pool->timer_at <= at;
        at = timer ? pool->timer_at : at;
        if (at > until || (count && at > done[0].time))
            break;
        set_now(machine, at);
        if (timer)
            ops_of(pool)->timer(machine, pool, at);
        else
            count += cpu_event(machine, cpu, at, &done[count]);
    }
    if (count == 0)
        set_now(machine, until);
    return count;
}

/* A VIRQ that was deferred is raised when a section is left. */
static void raise_trace_virq(struct pv_machine *machine)
{
    RCU_SECTION(machine);
}

int pv_sched_run(struct pv_machine *machine, uint64_t until, struct pv_sched_done *done,
                 uint32_t max)
{
    if (!is_scheduled(machine))
        return -ENODEV;
    uint64_t now = pv_machine_now(machine);
    if (max == 0 || until < now || until > INT64_MAX)
        return -EINVAL;
    for (;;) {
        uint64_t event = pv_machine_next_event(machine);
        uint64_t stop = event < until ? event : until;
        sched_lock(machine);
        block_done(machine, now);
        uint32_t count = run(machine, stop < now ? now : stop, done, max);
        sched_unlock(machine);
        if (xentrace_is_on(machine))
            raise_trace_virq(machine);
        if (count || event > until)
            return (int)count;
        now = pv_machine_now(machine);
        machine_pass_time(machine); /* not under the lock: it wakes vcpus */
    }
}
