/* A CPU: whom it runs, and when something happens on it by itself. */
#include "pvdrivers/sim/sched/trace.h"

/* ---- The order of the CPUs' next events ------------------------------------------------------ */

/* By time, then by number, so that equal times have an order. */
static bool before(const struct scheduler *sched, uint16_t a, uint16_t b)
{
    uint64_t at = sched->cpu[a].next, bt = sched->cpu[b].next;
    return at < bt || (at == bt && a < b);
}

static void put(struct scheduler *sched, uint32_t place, uint16_t cpu)
{
    sched->heap[place] = cpu;
    sched->cpu[cpu].heap_place = place;
}

static void sift(struct scheduler *sched, uint16_t cpu)
{
    uint32_t place = sched->cpu[cpu].heap_place;
    for (uint32_t parent; place > 0; place = parent) {
        parent = (place - 1) / 2;
        if (!before(sched, cpu, sched->heap[parent]))
            break;
        put(sched, place, sched->heap[parent]);
    }
    for (uint32_t child; (child = 2 * place + 1) < sched->cpus; place = child) {
        if (child + 1 < sched->cpus && before(sched, sched->heap[child + 1], sched->heap[child]))
            child++;
        if (!before(sched, sched->heap[child], cpu))
            break;
        put(sched, place, sched->heap[child]);
    }
    put(sched, place, cpu);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void cpu_update(struct pv_machine *machine, uint32_t cpu)
{
    struct scheduler *sched = scheduler(machine);
    struct sched_cpu *own = &sched->cpu[cpu];
    own->next = NEVER;
    if (own->current != NO_VCPU && !own->done) {
        uint64_t demand = vcpu_at(machine, own->current)->demand;
        own->next = earlier(own->slice_end, own->tick_at);
        if (demand > 0 && demand < NEVER - own->since)
            own->next = earlier(own->next, own->since + demand);
    }
    sift(sched, (uint16_t)cpu);
}

/* ---- Running --------------------------------------------------------------------------------- */

void cpu_charge(struct pv_machine *machine, struct sched_cpu *cpu, uint64_t now)
{
    if (cpu->current == NO_VCPU) {
        cpu->idle_time += now - cpu->since;
    } else {
        struct sched_vcpu *vcpu = vcpu_at(machine, cpu->current);
        uint64_t ran = now - cpu->since;
        vcpu->demand -= ran < vcpu->demand ? ran : vcpu->demand;
    }
    cpu->since = now;
}

static void leave(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    uint8_t state = vcpu_rest_state(domain_of(machine, ref), vcpu_at(machine, ref));
    vcpu_set_state(machine, ref, state, now);
}

static void enter(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    vcpu_set_state(machine, ref, RUNSTATE_running, now);
    vcpu->burned_until = now;
}

/* Ticks stop while a CPU idles. */
static uint64_t first_tick(const struct sched_pool *pool, uint64_t now)
{
    uint64_t tick = ops_of(pool)->tick_time(pool);
    return tick == NEVER ? NEVER : now - now % tick + tick;
}

static void end_idling(struct pv_machine *machine, uint32_t cpu, uint64_t now)
{
    scheduler(machine)->cpu[cpu].tick_at = first_tick(pool_of_cpu(machine, cpu), now);
    trace_runstate(machine, cpu, NO_VCPU, RUNSTATE_running, RUNSTATE_runnable);
}

static void begin_idling(struct pv_machine *machine, uint32_t cpu, uint64_t now)
{
    scheduler(machine)->cpu[cpu].idle_since = now;
    trace_runstate(machine, cpu, NO_VCPU, RUNSTATE_runnable, RUNSTATE_running);
}

void cpu_schedule(struct pv_machine *machine, uint32_t cpu, uint64_t now)
{
    struct scheduler *sched = scheduler(machine);
    struct sched_cpu *own = &sched->cpu[cpu];
    struct sched_pool *pool = pool_of_cpu(machine, cpu);
    uint64_t slice;
    cpu_charge(machine, own, now);
    vcpu_ref before = own->current, next = ops_of(pool)->choose(machine, cpu, now, &slice);
    sched->decisions++;
    own->slice_end = now + slice;
    if (xentrace_is_on(machine))
        trace_choice(machine, cpu, next, now);
    if (next != before) {
        sched->switches++;
        if (before != NO_VCPU)
            leave(machine, before, now);
        else
            end_idling(machine, cpu, now);
        if (next != NO_VCPU)
            enter(machine, next, now);
        else
            begin_idling(machine, cpu, now);
        own->current = next;
        own->done = false;
        mask_put(&pool->idlers, cpu, next == NO_VCPU && mask_test(&pool->cpus, cpu));
    }
    cpu_update(machine, cpu);
    if (next != before && before != NO_VCPU)
        ops_of(pool)->left(machine, before, now);
    if (ops_of(pool)->chosen)
        ops_of(pool)->chosen(machine, cpu, now);
}
