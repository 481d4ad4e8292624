/* What active vcpus earn. Each slice the credits of a pool's CPUs are shared out among its domains,
 * by their weights and up to their caps; what a domain cannot use goes to the others. */
#include "pvdrivers/sim/sched/trace.h"

/* ---- Who is active --------------------------------------------------------------------------- */

void account_start(struct pv_machine *machine, vcpu_ref ref)
{
    struct domain *d = domain_of(machine, ref);
    vcpu_at(machine, ref)->active = true;
    pool_of(machine, d)->weight += d->sched.weight;
    if (d->sched.active_vcpus++ == 0)
        pool_link(machine, d);
    trace_vcpu_word(machine, TRC_CSCHED_ACCOUNT_START, ref, d->sched.active_vcpus);
}

void account_stop(struct pv_machine *machine, vcpu_ref ref)
{
    struct domain *d = domain_of(machine, ref);
    vcpu_at(machine, ref)->active = false;
    pool_of(machine, d)->weight -= d->sched.weight;
    if (--d->sched.active_vcpus == 0)
        pool_unlink(machine, d);
    trace_vcpu_word(machine, TRC_CSCHED_ACCOUNT_STOP, ref, d->sched.active_vcpus);
}

/* ---- A domain's share ------------------------------------------------------------------------ */

/* Of one accounting. */
struct account {
    int64_t total;       /* credits to share out */
    int64_t weight;      /* of all */
    int64_t weight_left; /* of the domains that have not had their share yet */
    int64_t balance;     /* credits of all after it */
    bool wanted;         /* a domain before could have used more than its share */
};

static int64_t divide_up(int64_t value, int64_t by)
{
    return (value + by - 1) / by;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The most that the domain can use: its vcpus on a CPU each, or its cap. */
static int64_t peak(const struct sched_pool *pool, const struct sched_domain *own,
                    const struct account *account)
{
    int64_t slice = credit_of_slice(pool), most = own->active_vcpus * slice;
    if (pool->balance < 0)
        most += divide_up(-pool->balance * own->weight * own->active_vcpus, account->weight);
    return own->cap ? smaller(most, divide_up(own->cap * slice, 100)) : most;
}

/* Credits for each of its vcpus. */
static int64_t share(struct pv_machine *machine, struct domain *d, struct account *account)
{
    struct sched_domain *own = &d->sched;
    struct sched_pool *pool = pool_of(machine, d);
    int64_t weight = (int64_t)own->weight * own->active_vcpus;
    int64_t fair = divide_up(account->total * weight, account->weight);
    int64_t most = peak(pool, own, account);
    account->weight_left -= weight;
    if (fair < most) {
        account->wanted = true;
        return divide_up(fair, own->active_vcpus);
    }
    if (account->weight_left > 0)
        account->total += divide_up((fair - most) * account->weight, account->weight_left);
    if (account->wanted && pool->first_active != d->domain_id) {
        pool_unlink(machine, d); /* so that all get some of what it leaves, next time */
        pool_link(machine, d);
    }
    return divide_up(most, own->active_vcpus);
}

/* ---- A vcpu's credits ------------------------------------------------------------------------ */

static int64_t cap_of_vcpu(const struct sched_pool *pool, const struct sched_domain *own)
{
    return divide_up(divide_up(own->cap * (int64_t)credit_of_slice(pool), 100), own->active_vcpus);
}

static void park(struct pv_machine *machine, vcpu_ref ref, bool parked, uint64_t now)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    if (vcpu->parked == parked)
        return;
    vcpu->parked = parked;
    vcpu_changed(machine, ref, now, false);
}

static void earn(struct pv_machine *machine, vcpu_ref ref, int64_t credits, int64_t cap,
                 uint64_t now)
{
    struct domain *d = domain_of(machine, ref);
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    int32_t slice = credit_of_slice(pool_of(machine, d));
    vcpu->credit += (int32_t)credits;
    if (vcpu->credit < 0) {
        vcpu->priority = OVER;
        if (d->sched.cap && vcpu->credit < -cap)
            park(machine, ref, true, now);
        if (vcpu->credit < -slice)
            vcpu->credit = -slice;
        return;
    }
    vcpu->priority = UNDER;
    park(machine, ref, false, now);
    if (vcpu->credit > slice) {
        account_stop(machine, ref); /* it uses less than it gets */
        vcpu->credit /= 2;
    }
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void account_domain(struct pv_machine *machine, struct domain *d, struct account *account,
                           uint64_t now)
{
    int64_t cap = cap_of_vcpu(pool_of(machine, d), &d->sched);
    int64_t credits = share(machine, d, account);
    for (uint32_t i = 0; i < d->max_vcpus; i++) {
        struct sched_vcpu *vcpu = &d->vcpu[i].sched;
        if (!vcpu->active)
            continue;
        earn(machine, make_ref(d, i), credits, cap, now);
        account->balance += vcpu->credit;
    }
}

static void account_all(struct pv_machine *machine, struct sched_pool *pool, uint64_t now)
{
    struct account account = {.weight = pool->weight, .weight_left = pool->weight};
    account.total = (int64_t)pool->cpu_count * credit_of_slice(pool);
    if (pool->balance < 0)
        account.total -= pool->balance; /* back to 0 in the long run */
    domid_t domid = pool->first_active;
    for (uint32_t left = pool->active_domains; left > 0; left--) {
        struct domain *d = domain_window(machine, domid);
        domid = d->sched.next; /* before it moves in the list or leaves it */
        account_domain(machine, d, &account, now);
    }
    pool->balance = account.balance;
    for (uint32_t cpu = 0; cpu < scheduler(machine)->cpus; cpu++)
        if (mask_test(&pool->cpus, cpu))
            runqueue_sort(machine, queue_of_cpu(machine, cpu));
    pool->timer_at = now + pool->slice_us * NS_PER_US;
}

/* It comes after the ticks of its time, so that all have paid, and before a CPU chooses anew at
 * that time. */
void account_timer(struct pv_machine *machine, struct sched_pool *pool, uint64_t now)
{
    const struct scheduler *sched = scheduler(machine);
    for (uint32_t cpu = 0; cpu < sched->cpus; cpu++) {
        const struct sched_cpu *own = &sched->cpu[cpu];
        if (!mask_test(&pool->cpus, cpu) || own->current == NO_VCPU || own->tick_at > now)
            continue;
        credit_tick(machine, cpu, now);
        cpu_update(machine, cpu);
    }
    account_all(machine, pool, now);
}
