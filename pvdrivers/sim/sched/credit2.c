/* Xen's credit2 scheduler: CPUs share runqueues, in which vcpus stand by their credits; when nobody
 * has any left, all get new ones. Who sleeps keeps his, and so comes first when he wakes. */
#include "pvdrivers/sim/sched/credit2.h"
#include "pvdrivers/sim/sched/trace.h"

#define COMPENSATION 50000 /* ns, for one that another CPU has taken */
#define IDLES (1u << 8)    /* in a trace record */

/* ---- The pool -------------------------------------------------------------------------------- */

static uint64_t no_timer(const struct sched_pool *pool, uint64_t now)
{
    (void)pool;
    (void)now;
    return NEVER;
}

static uint64_t no_ticks(const struct sched_pool *pool)
{
    (void)pool;
    return NEVER;
}

/* ---- A domain -------------------------------------------------------------------------------- */

static void join(struct pv_machine *machine, struct domain *d, uint64_t now)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        struct sched_vcpu *vcpu = &d->vcpu[id].sched;
        vcpu->priority = CREDIT2_INIT;
        vcpu->residual = 0;
        vcpu->active = vcpu->parked = false;
        vcpu->budget = INT64_MAX;
        vcpu->load = (struct sched_load){.average = 1 << (LOAD_SHIFT - 1), .at = now >> 10};
        credit2_join_queue(machine, make_ref(d, id), scheduler(machine)->cpu[vcpu->cpu].queue);
    }
}

static void leave(struct pv_machine *machine, struct domain *d)
{
    if (d->sched.cap)
        pool_unlink(machine, d);
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        credit2_leave_queue(machine, make_ref(d, id));
}

static void set_domain(struct pv_machine *machine, struct domain *d, uint16_t weight, uint16_t cap,
                       uint64_t now)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        if (d->vcpu[id].sched.state == RUNSTATE_running)
            credit2_burn(machine, make_ref(d, id), now);
    d->sched.weight = weight;
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        d->vcpu[id].sched.residual = 0;
        credit2_find_max_weight(machine, queue_of(machine, &d->vcpu[id].sched));
    }
    credit2_set_cap(machine, d, cap, now);
}

/* ---- A vcpu ---------------------------------------------------------------------------------- */

static void wake(struct pv_machine *machine, vcpu_ref ref, uint64_t now, bool event)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    (void)event;
    credit2_add_load(queue_of(machine, vcpu), vcpu, 1, now);
    runqueue_insert(machine, ref);
    credit2_tickle(machine, ref, now);
}

static void lie_down(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    runqueue_remove(machine, ref);
    credit2_add_load(queue_of(machine, vcpu), vcpu, -1, now);
}

/* ---- A CPU ----------------------------------------------------------------------------------- */

static bool is_limited(const struct sched_pool *pool, const struct sched_vcpu *current,
                       uint64_t now)
{
    return now - current->state_since < pool->ratelimit_us * NS_PER_US;
}

/* Whether the vcpu in the queue is to be taken, rather than one with so many credits. An idle CPU
 * takes whoever waits. */
static bool is_wanted(struct pv_machine *machine, uint32_t cpu, vcpu_ref ref, int32_t credit)
{
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    if (!mask_test(&vcpu->affinity, cpu))
        return false;
    return vcpu->cpu == cpu || credit == CREDIT2_IDLE || vcpu->priority >= credit + CREDIT2_RESIST;
}

/* One of the queue, still in it, with more credits than the CPU's own, unless that yields. */
static vcpu_ref candidate(struct pv_machine *machine, uint32_t cpu, vcpu_ref own, uint64_t now)
{
    bool yields = own != NO_VCPU && vcpu_at(machine, own)->yields;
    int32_t credit = own == NO_VCPU ? CREDIT2_IDLE : vcpu_at(machine, own)->priority;
    vcpu_ref next;
    for (vcpu_ref ref = queue_of_cpu(machine, cpu)->first; ref != NO_VCPU; ref = next) {
        struct sched_vcpu *vcpu = vcpu_at(machine, ref);
        next = vcpu->next;
        if (vcpu->priority <= credit && !yields)
            break;
        if (!is_wanted(machine, cpu, ref, credit))
            continue;
        if (!has_cap(machine, ref) || credit2_grab(machine, ref))
            return ref;
        lie_down(machine, ref, now); /* parked */
        vcpu_set_state(machine, ref, RUNSTATE_offline, now);
    }
    return own;
}

static uint64_t slice_of(struct pv_machine *machine, uint32_t cpu, vcpu_ref ref, int32_t waiting,
                         uint64_t now)
{
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    uint64_t limit = pool_of_cpu(machine, cpu)->ratelimit_us * NS_PER_US;
    if (vcpu->state == RUNSTATE_running) /* it goes on */
        limit =
            is_limited(pool_of_cpu(machine, cpu), vcpu, now) ? vcpu->state_since + limit - now : 0;
    int64_t least = limit > CREDIT2_MIN_RUN ? (int64_t)limit : CREDIT2_MIN_RUN;
    vcpu_ref first = queue_of_cpu(machine, cpu)->first;
    if (first != NO_VCPU && vcpu_at(machine, first)->priority > waiting)
        waiting = vcpu_at(machine, first)->priority;
    int64_t credit = vcpu->priority - (waiting > 0 ? waiting : 0);
    int64_t time = credit > 0 ? credit2_time(machine, ref, credit) : 0;
    if (has_cap(machine, ref) && vcpu->budget < time)
        time = vcpu->budget;
    if (time < least)
        return (uint64_t)least;
    return (uint64_t)(time > CREDIT2_INIT ? CREDIT2_INIT : time);
}

static vcpu_ref find_next(struct pv_machine *machine, uint32_t cpu, vcpu_ref current, bool runnable,
                          uint64_t now)
{
    const struct sched_pool *pool = pool_of_cpu(machine, cpu);
    if (!mask_test(&pool->cpus, cpu))
        return NO_VCPU; /* it is about to leave */
    if (runnable && !vcpu_at(machine, current)->yields &&
        is_limited(pool, vcpu_at(machine, current), now)) {
        trace_ratelimit(machine, TRC_CSCHED2_RATELIMIT, current, now);
        return current;
    }
    bool elsewhere = runnable && affinity_prefers(pool, vcpu_at(machine, current)) &&
                     !mask_test(&vcpu_at(machine, current)->preferred, cpu) &&
                     credit2_find_idle(machine, current, &vcpu_at(machine, current)->preferred) !=
                         SCHED_MAX_CPUS;
    vcpu_ref next = candidate(machine, cpu, runnable && !elsewhere ? current : NO_VCPU, now);
    XENTRACE(machine, cpu, TRC_CSCHED2_RUNQ_CANDIDATE, trace_word_or_idle(next, cpu), UINT32_MAX,
             next == NO_VCPU ? (uint32_t)CREDIT2_IDLE : (uint32_t)vcpu_at(machine, next)->priority);
    return next;
}

static vcpu_ref choose(struct pv_machine *machine, uint32_t cpu, uint64_t now, uint64_t *slice)
{
    vcpu_ref current = scheduler(machine)->cpu[cpu].current;
    struct sched_queue *queue = queue_of_cpu(machine, cpu);
    bool runnable = false;
    XENTRACE(machine, cpu, TRC_CSCHED2_SCHEDULE,
             cpu | (uint32_t)scheduler(machine)->cpu[cpu].queue << 16,
             current == NO_VCPU ? IDLES : 0);
    if (current != NO_VCPU) {
        credit2_burn(machine, current, now);
        if (has_cap(machine, current))
            credit2_grab(machine, current);
        runnable = vcpu_is_runnable(domain_of(machine, current), vcpu_at(machine, current));
    }
    vcpu_ref next = find_next(machine, cpu, current, runnable, now);
    *slice = CREDIT2_INIT;
    if (next == NO_VCPU)
        return next;
    struct sched_vcpu *vcpu = vcpu_at(machine, next);
    if (next != current)
        runqueue_remove(machine, next);
    else
        credit2_add_load(queue, vcpu, 0, now);
    int32_t top = queue->first == NO_VCPU ? CREDIT2_IDLE : vcpu_at(machine, queue->first)->priority;
    if (top <= 0 && vcpu->priority <= 0) {
        credit2_reset(machine, queue, next, now);
        queue->unbalanced = true;
    }
    if (vcpu->cpu != cpu) {
        vcpu->cpu = (uint16_t)cpu;
        vcpu->priority += COMPENSATION;
        scheduler(machine)->steals++;
    }
    bool back = next != current && runnable;
    *slice = slice_of(machine, cpu, next, back ? vcpu_at(machine, current)->priority : 0, now);
    return next;
}

static void left(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    if (vcpu_is_runnable(domain_of(machine, ref), vcpu)) {
        runqueue_insert(machine, ref);
        credit2_tickle(machine, ref, now);
    } else {
        credit2_add_load(queue_of(machine, vcpu), vcpu, -1, now);
    }
    if (has_cap(machine, ref) && vcpu->state != RUNSTATE_running)
        credit2_return(machine, ref, now);
}

static void chosen(struct pv_machine *machine, uint32_t cpu, uint64_t now)
{
    struct sched_pool *pool = pool_of_cpu(machine, cpu);
    struct sched_queue *queue = queue_of_cpu(machine, cpu);
    if (!queue->unbalanced || !mask_test(&pool->cpus, cpu))
        return;
    queue->unbalanced = false;
    credit2_balance(machine, pool, queue, now);
}

const struct sched_ops credit2_ops = {
    .name = "credit2",
    .queue_for = credit2_queue_for,
    .first_timer = no_timer,
    .timer = credit2_replenish,
    .tick_time = no_ticks,
    .join = join,
    .leave = leave,
    .set_domain = set_domain,
    .wake = wake,
    .sleep = lie_down,
    .place = credit2_place,
    .choose = choose,
    .left = left,
    .chosen = chosen,
};
