/* Caps. Each period a domain's budget is filled up to its cap; a vcpu takes a part of it before it
 * runs, and gives back what is left. Who finds none is parked until there is some. */
#include "pvdrivers/sim/sched/credit2.h"

#define NO_CAP INT64_MAX

bool credit2_grab(struct pv_machine *machine, vcpu_ref ref)
{
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    struct sched_domain *own = &domain_of(machine, ref)->sched;
    if (vcpu->budget > 0)
        return true;
    own->budget += vcpu->budget; /* less, if it overran */
    vcpu->budget = own->budget < vcpu->quota ? own->budget : vcpu->quota;
    if (vcpu->budget > 0) {
        own->budget -= vcpu->budget;
        return true;
    }
    vcpu->budget = 0;
    vcpu->parked = true;
    return false;
}

static void unpark(struct pv_machine *machine, struct domain *d, uint64_t now)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        struct sched_vcpu *vcpu = &d->vcpu[id].sched;
        if (!vcpu->parked)
            continue;
        vcpu->parked = false;
        vcpu_changed(machine, make_ref(d, id), now, false);
    }
}

void credit2_return(struct pv_machine *machine, vcpu_ref ref, uint64_t now)
{
    struct domain *d = domain_of(machine, ref);
    struct sched_vcpu *vcpu = vcpu_at(machine, ref);
    if (vcpu->budget <= 0)
        return; /* it pays when it takes some again */
    d->sched.budget += vcpu->budget;
    vcpu->budget = 0;
    if (d->sched.budget > 0)
        unpark(machine, d, now);
}

/* ---- The cap --------------------------------------------------------------------------------- */

static void begin(struct pv_machine *machine, struct domain *d, uint64_t now)
{
    struct sched_pool *pool = pool_of(machine, d);
    d->sched.budget = d->sched.whole_budget;
    d->sched.replenish_at = now + CREDIT2_PERIOD;
    if (d->sched.replenish_at < pool->timer_at)
        pool->timer_at = d->sched.replenish_at;
    pool_link(machine, d);
}

static void set_quota(struct domain *d)
{
    int64_t quota = d->sched.whole_budget / d->max_vcpus;
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        d->vcpu[id].sched.quota = quota < CREDIT2_MIN_RUN ? CREDIT2_MIN_RUN : quota;
}

/* Those that run pay for what was before. */
static void set_budgets(struct pv_machine *machine, struct domain *d, int64_t budget, uint64_t now)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++) {
        if (d->vcpu[id].sched.state == RUNSTATE_running)
            credit2_burn(machine, make_ref(d, id), now);
        d->vcpu[id].sched.budget = budget;
    }
}

static void choose_anew(struct pv_machine *machine, const struct domain *d, uint64_t now)
{
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        if (d->vcpu[id].sched.state == RUNSTATE_running)
            cpu_schedule(machine, d->vcpu[id].sched.cpu, now);
}

void credit2_set_cap(struct pv_machine *machine, struct domain *d, uint16_t cap, uint64_t now)
{
    uint16_t before = d->sched.cap;
    d->sched.whole_budget = (int64_t)CREDIT2_PERIOD * cap / 100;
    set_quota(d);
    if (cap && !before) {
        set_budgets(machine, d, 0, now);
        begin(machine, d, now);
    } else if (before && !cap) {
        pool_unlink(machine, d);
        set_budgets(machine, d, NO_CAP, now);
    }
    d->sched.cap = cap;
    if (cap && !before)
        choose_anew(machine, d, now);
    if (!cap)
        unpark(machine, d, now);
}

static void replenish(struct pv_machine *machine, struct domain *d, uint64_t now)
{
    struct sched_domain *own = &d->sched;
    own->replenish_at += CREDIT2_PERIOD;
    own->budget += own->whole_budget;
    if (own->budget > own->whole_budget)
        own->budget = own->whole_budget;
    if (own->budget > 0)
        unpark(machine, d, now);
}

void credit2_replenish(struct pv_machine *machine, struct sched_pool *pool, uint64_t now)
{
    domid_t domid = pool->first_active;
    pool->timer_at = NEVER;
    for (uint32_t left = pool->active_domains; left > 0; left--) {
        struct domain *d = domain_window(machine, domid);
        domid = d->sched.next;
        if (d->sched.replenish_at <= now)
            replenish(machine, d, now);
        if (d->sched.replenish_at < pool->timer_at)
            pool->timer_at = d->sched.replenish_at;
    }
}
