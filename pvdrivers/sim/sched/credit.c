/* Xen's credit scheduler: a vcpu that runs burns credits, and one that has none left waits behind
 * those that have. The numbers are Xen's (sched/credit.c). */
#include "pvdrivers/sim/sched/trace.h"

#define CREDITS_PER_MS 10u
#define TICKS_PER_SLICE 3u
#define IDLES (1u << 24) /* in a trace record */

static void join(struct pv_machine *machine, struct domain *d, uint64_t now)
{
    (void)machine;
    (void)now;
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        struct sched_vcpu *vcpu = &d->vcpu[id].sched;
        vcpu->priority = UNDER;
        vcpu->credit = 0;
        vcpu->residual = 0;
        vcpu->active = vcpu->parked = false;
    }
}

static void leave(struct pv_machine *machine, struct domain *d)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        if (d->vcpu[id].sched.active)
            account_stop(machine, make_ref(d, id));
}

static void set_domain(struct pv_machine *machine, struct domain *d, uint16_t weight, uint16_t cap,
                       uint64_t now)
{
    (void)now;
    pool_of(machine, d)->weight += (weight - d->sched.weight) * d->sched.active_vcpus;
    d->sched.weight = weight;
    d->sched.cap = cap;
}

int32_t credit_of_slice(const struct sched_pool *pool)
{
    return (int32_t)(pool->slice_us / 1000 * CREDITS_PER_MS);
}

static uint64_t tick_time(const struct sched_pool *pool)
{
    uint32_t ticks = pool->slice_us / 1000 < TICKS_PER_SLICE ? 1 : TICKS_PER_SLICE;
    return pool->slice_us * NS_PER_US / ticks;
}

/* Whole credits; the rest of a ms is remembered. */
static void burn(struct sched_vcpu *vcpu, uint64_t now)
{
    uint64_t cost = (now - vcpu->burned_until) * CREDITS_PER_MS + vcpu->residual;
    vcpu->residual = cost % NS_PER_MS;
    vcpu->credit -= (int32_t)(cost / NS_PER_MS);
    vcpu->burned_until = now;
}

/* One that has credits left goes before all that compute, until a tick finds it running. */
static void boost(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    if (vcpu->priority != UNDER)
        return;
    trace_vcpu(machine, TRC_CSCHED_BOOST_START, ref);
    vcpu->priority = BOOST;
    scheduler(machine)->boosts++;
}

/* Only a vcpu that a tick has found running earns, and counts with its weight. From the second tick
 * on one goes where it had better be, when it can run there at once. */
void credit_tick(struct pv_machine *machine, uint32_t cpu, uint64_t now)
{
    struct sched_cpu *own = &scheduler(machine)->cpu[cpu];
    struct sched_vcpu *vcpu = vcpu_at(machine, own->current);
    if (vcpu->priority == BOOST) {
        vcpu->priority = UNDER;
        trace_vcpu(machine, TRC_CSCHED_BOOST_END, own->current);
    }
    burn(vcpu, now);
    bool active = vcpu->active;
    if (!active)
        account_start(machine, own->current);
    own->tick_at = now + tick_time(pool_of_cpu(machine, cpu));
    if (active && vcpu->demand > 0 && place_is_better_elsewhere(machine, own->current))
        vcpu_move(machine, own->current, now);
    else if (active)
        trace_vcpu_word(machine, TRC_CSCHED_PICKED_CPU, own->current, cpu);
}

/* ns that `current` runs on because it has run for less than the limit; 0: it may be preempted. */
static uint64_t rate_limited(const struct sched_pool *pool, const struct sched_vcpu *current,
                             uint64_t now)
{
    uint64_t limit = pool->ratelimit_us * NS_PER_US, ran = now - current->state_since;
    return ran < limit ? limit - ran : 0;
}

static vcpu_ref choose(struct pv_machine *machine, uint32_t cpu, uint64_t now, uint64_t *slice)
{
    const struct sched_cpu *own = &scheduler(machine)->cpu[cpu];
    const struct sched_pool *pool = pool_of_cpu(machine, cpu);
    vcpu_ref current = own->current;
    *slice = pool->slice_us * NS_PER_US;
    XENTRACE(machine, cpu, TRC_CSCHED_SCHEDULE, cpu | (current == NO_VCPU ? IDLES : 0));
    if (current != NO_VCPU) {
        struct sched_vcpu *vcpu = vcpu_at(machine, current);
        bool runnable = vcpu_is_runnable(domain_of(machine, current), vcpu);
        uint64_t rest = vcpu->yields ? 0 : rate_limited(pool, vcpu, now);
        burn(vcpu, now);
        vcpu->left_at = now;
        if (runnable && rest) {
            trace_ratelimit(machine, TRC_CSCHED_RATELIMIT, current, now);
            *slice = rest;
            return current;
        }
        if (runnable)
            runqueue_insert(machine, current);
    }
    vcpu_ref chosen = queue_of_cpu(machine, cpu)->first;
    int priority = chosen == NO_VCPU ? IDLE : vcpu_at(machine, chosen)->priority;
    if (priority <= OVER) {
        vcpu_ref stolen = steal(machine, cpu, priority, now);
        if (stolen != NO_VCPU)
            return stolen;
    }
    if (chosen != NO_VCPU)
        runqueue_remove(machine, chosen);
    return chosen;
}

static void wake(struct pv_machine *machine, vcpu_ref ref, uint64_t now, bool event)
{
    if (event)
        boost(machine, ref);
    runqueue_insert(machine, ref);
    uint32_t cpu = place_tickled(machine, ref);
    if (cpu == SCHED_MAX_CPUS)
        return;
    XENTRACE(machine, vcpu_at(machine, ref)->cpu, TRC_CSCHED_TICKLE, cpu);
    cpu_schedule(machine, cpu, now);
}

static void lie_down(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    (void)now;
    runqueue_remove(machine, ref);
}

static void place(struct pv_machine *machine, vcpu_ref ref)
{
    vcpu_at(machine, ref)->cpu = (uint16_t)place_choose(machine, ref);
    trace_vcpu_word(machine, TRC_CSCHED_PICKED_CPU, ref, vcpu_at(machine, ref)->cpu);
}

/* One that had to leave its CPU to a vcpu that may run nowhere else. */
static void left(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    uint32_t idle = vcpu_at(machine, ref)->queued ? place_idle(machine, ref) : SCHED_MAX_CPUS;
    if (idle != SCHED_MAX_CPUS)
        cpu_schedule(machine, idle, now);
}

static uint32_t queue_for(const struct scheduler *sched, const struct sched_pool *pool,
                          uint32_t cpu)
{
    (void)pool;
    (void)cpu;
    return runqueue_unused(sched);
}

static uint64_t first_timer(const struct sched_pool *pool, uint64_t now)
{
    return now + pool->slice_us * NS_PER_US;
}

const struct sched_ops credit_ops = {
    .name = "credit",
    .queue_for = queue_for,
    .first_timer = first_timer,
    .timer = account_timer,
    .tick_time = tick_time,
    .tick = credit_tick,
    .join = join,
    .leave = leave,
    .set_domain = set_domain,
    .wake = wake,
    .sleep = lie_down,
    .place = place,
    .choose = choose,
    .left = left,
};
