/* How busy runqueues and vcpus have been of late, and which vcpu belongs to which runqueue. */
#include "pvdrivers/sim/sched/credit2.h"
#include "pvdrivers/sim/sched/trace.h"

/* ---- Load ------------------------------------------------------------------------------------ */

/* `value`: the load since the last time. */
static void average(struct sched_load *load, int64_t value, uint64_t now)
{
    uint64_t passed = (now >> 10) - load->at;
    if (passed > 1ull << LOAD_WINDOW_SHIFT)
        load->average = value << LOAD_SHIFT;
    else
        load->average += ((int64_t)passed * (value << LOAD_SHIFT) >> LOAD_WINDOW_SHIFT) -
                         ((int64_t)passed * load->average >> LOAD_WINDOW_SHIFT);
    load->at = now >> 10;
}

static void average_queue(struct sched_queue *queue, uint64_t now)
{
    average(&queue->load, queue->runnable, now);
    average(&queue->expected, queue->runnable, now);
}

static bool is_load(const struct sched_vcpu *vcpu)
{
    return vcpu->state == RUNSTATE_running || vcpu->state == RUNSTATE_runnable;
}

void credit2_add_load(struct sched_queue *queue, struct sched_vcpu *vcpu, int change, uint64_t now)
{
    average_queue(queue, now);
    queue->runnable += change;
    average(&vcpu->load, change ? change < 0 : is_load(vcpu), now);
}

/* ---- Where a vcpu belongs -------------------------------------------------------------------- */

/* The queue's CPUs take turns. */
static void give_cpu(struct pv_machine *machine, vcpu_ref ref, uint16_t id,
                     const struct cpu_mask *allowed)
{
    struct sched_queue *queue = &scheduler(machine)->queue[id];
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct cpu_mask cpus = mask_both(allowed, &queue->cpus);
    queue->bias = mask_find(&cpus, all_cpus(scheduler(machine)), queue->bias + 1);
    if (vcpu->queue != id) {
        credit2_leave_queue(machine, ref);
        credit2_join_queue(machine, ref, id);
    }
    vcpu->cpu = (uint16_t)queue->bias;
}

/* The queue with the least to do that has a CPU of these, not counting the vcpu itself;
 * SCHED_MAX_CPUS: there is none. */
static uint32_t least_loaded(struct pv_machine *machine, const struct sched_vcpu *vcpu,
                             const struct cpu_mask *cpus)
{
    const struct scheduler *sched = scheduler(machine);
    uint32_t best = SCHED_MAX_CPUS;
    int64_t least = INT64_MAX;
    for (uint32_t id = 0; id < sched->cpus; id++) {
        const struct sched_queue *queue = &sched->queue[id];
        if (queue->cpu_count == 0 || !mask_meets(&queue->cpus, cpus))
            continue;
        int64_t load = queue->expected.average - (vcpu->queue == id ? vcpu->load.average : 0);
        if (load < least) {
            least = load < 0 ? 0 : load;
            best = id;
        }
    }
    return best;
}

void credit2_place(struct pv_machine *machine, vcpu_ref ref)
{
    const struct sched_pool *pool = pool_of(machine, domain_of(machine, ref));
    const struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct cpu_mask cpus = mask_both(&vcpu->affinity, &pool->cpus);
    struct cpu_mask preferred = mask_both(&vcpu->preferred, &pool->cpus);
    uint32_t queue = SCHED_MAX_CPUS;
    if (affinity_prefers(pool, vcpu))
        queue = least_loaded(machine, vcpu, &preferred);
    if (queue != SCHED_MAX_CPUS)
        cpus = preferred;
    else
        queue = least_loaded(machine, vcpu, &cpus);
    give_cpu(machine, ref, (uint16_t)queue, &cpus);
}

/* ---- Balance --------------------------------------------------------------------------------- */

struct balance {
    struct sched_pool *pool;
    struct sched_queue *here, *there;
    int64_t difference; /* the least that a move leaves */
    vcpu_ref push, pull;
};

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

static bool find_other(struct pv_machine *machine, struct balance *balance, uint64_t now)
{
    struct scheduler *sched = scheduler(machine);
    for (uint32_t id = 0; id < sched->cpus; id++) {
        struct sched_queue *queue = &sched->queue[id];
        if (queue == balance->here || queue->cpu_count == 0 ||
            !mask_meets(&queue->cpus, &balance->pool->cpus))
            continue;
        average_queue(queue, now);
        int64_t delta = distance(balance->here->expected.average, queue->expected.average);
        if (delta > balance->difference) {
            balance->difference = delta;
            balance->there = queue;
        }
    }
    return balance->there != NULL;
}

/* Below the capacity by a whole vcpu, above it by an eighth. */
static bool is_worth_it(const struct balance *balance)
{
    int64_t a = balance->here->expected.average, b = balance->there->expected.average;
    uint32_t cpus = balance->here->cpu_count > balance->there->cpu_count
                        ? balance->here->cpu_count
                        : balance->there->cpu_count;
    bool full = (a > b ? a : b) >= (int64_t)cpus << LOAD_SHIFT;
    return balance->difference >= 1ll << (LOAD_SHIFT - (full ? 3 : 0));
}

static void consider(struct pv_machine *machine, struct balance *balance, vcpu_ref push,
                     vcpu_ref pull)
{
    int64_t moved = push == NO_VCPU ? 0 : vcpu_at(machine, push)->load.average;
    moved -= pull == NO_VCPU ? 0 : vcpu_at(machine, pull)->load.average;
    int64_t delta =
        distance(balance->here->expected.average - moved, balance->there->expected.average + moved);
    if (delta >= balance->difference)
        return;
    balance->difference = delta;
    balance->push = push;
    balance->pull = pull;
}

static bool may_move(struct pv_machine *machine, vcpu_ref ref, const struct sched_queue *to)
{
    return mask_meets(&vcpu_at(machine, ref)->affinity, &to->cpus);
}

static void consider_all(struct pv_machine *machine, struct balance *balance, uint64_t now)
{
    for (vcpu_ref push = balance->here->members; push != NO_VCPU;
         push = vcpu_at(machine, push)->next_member) {
        average(&vcpu_at(machine, push)->load, is_load(vcpu_at(machine, push)), now);
        if (!may_move(machine, push, balance->there))
            continue;
        for (vcpu_ref pull = balance->there->members; pull != NO_VCPU;
             pull = vcpu_at(machine, pull)->next_member)
            if (may_move(machine, pull, balance->here))
                consider(machine, balance, push, pull);
        consider(machine, balance, push, NO_VCPU);
    }
    for (vcpu_ref pull = balance->there->members; pull != NO_VCPU;
         pull = vcpu_at(machine, pull)->next_member) {
        average(&vcpu_at(machine, pull)->load, is_load(vcpu_at(machine, pull)), now);
        if (may_move(machine, pull, balance->here))
            consider(machine, balance, NO_VCPU, pull);
    }
}

static void migrate(struct pv_machine *machine, vcpu_ref ref, const struct sched_queue *to,
                    uint64_t now)
{
    if (ref == NO_VCPU)
        return;
    XENTRACE(machine, vcpu_at(machine, ref)->cpu, TRC_CSCHED2_MIGRATE, trace_word(ref),
             vcpu_at(machine, ref)->queue | (uint32_t)(to - scheduler(machine)->queue) << 16);
    vcpu_take_off(machine, ref, now);
    give_cpu(machine, ref, (uint16_t)(to - scheduler(machine)->queue),
             &vcpu_at(machine, ref)->affinity);
    vcpu_put_back(machine, ref, now);
    scheduler(machine)->steals++;
}

void credit2_balance(struct pv_machine *machine, struct sched_pool *pool, struct sched_queue *queue,
                     uint64_t now)
{
    struct balance balance = {.pool = pool, .here = queue, .push = NO_VCPU, .pull = NO_VCPU};
    average_queue(queue, now);
    if (!find_other(machine, &balance, now) || !is_worth_it(&balance))
        return;
    consider_all(machine, &balance, now);
    migrate(machine, balance.push, balance.there, now);
    migrate(machine, balance.pull, balance.here, now);
}
