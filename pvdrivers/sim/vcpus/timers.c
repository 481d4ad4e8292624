/*
 * Timers of vcpus and watchdogs of domains: when each expires is in its own word (0: never), and
 * the first of each domain's in a tree, at whose root is the first of all. One that expires is
 * cleared after it has acted: a process that is killed in between lets it expire twice rather than
 * never.
 */
#include "pvdrivers/sim/events/events.h"
#include "pvdrivers/sim/machine_events.h"
#include "pvdrivers/sim/vcpus/internal.h"

static struct timers *timers(struct pv_machine *machine)
{
    return &machine->shared->timers;
}

void timers_init(struct machine *shared)
{
    sim_lock_init(&shared->timers.lock);
}

uint64_t timers_next(struct pv_machine *machine)
{
    uint64_t at = __atomic_load_n(&timers(machine)->first[1], __ATOMIC_ACQUIRE);
    return at ? at : UINT64_MAX;
}

static bool is_earlier(uint64_t a, uint64_t b)
{
    return a - 1 < b - 1; /* 0 comes last */
}

/* ---- The first one: under the lock ----------------------------------------------------------- */

struct expiry {
    struct domain *domain;
    uint32_t id; /* of the vcpu, or of the watchdog */
    enum timer_kind kind;
    bool watchdog;
    uint64_t at;
};

static uint64_t *word_of(const struct expiry *e)
{
    return e->watchdog ? &e->domain->timers.watchdog_at[e->id]
                       : &e->domain->vcpu[e->id].timers.at[e->kind];
}

static void consider(struct expiry *first, struct expiry e)
{
    e.at = *word_of(&e);
    if (is_earlier(e.at, first->at))
        *first = e;
}

static struct expiry first_of_domain(struct domain *d)
{
    struct expiry first = {0};
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        for (int kind = 0; kind < VCPU_TIMERS; kind++)
            consider(&first, (struct expiry){d, id, (enum timer_kind)kind, false, 0});
    for (uint32_t id = 0; id < WATCHDOGS; id++)
        consider(&first, (struct expiry){d, id, VCPU_TIMERS, true, 0});
    return first;
}

/* The domain whose timer is the first, by domid among equals, or NULL. */
static struct domain *first_domain(struct pv_machine *machine)
{
    const uint64_t *first = timers(machine)->first;
    uint32_t i = 1;
    while (i < TIMER_LEAVES)
        i = 2 * i + is_earlier(first[2 * i + 1], first[2 * i]);
    return first[1] ? domain_window(machine, (domid_t)(i - TIMER_LEAVES)) : NULL;
}

static void set_first(struct pv_machine *machine, domid_t domid, uint64_t at)
{
    uint64_t *first = timers(machine)->first;
    uint32_t i = TIMER_LEAVES + domid;
    first[i] = at;
    while (i /= 2, i > 0) {
        at = is_earlier(first[2 * i + 1], first[2 * i]) ? first[2 * i + 1] : first[2 * i];
        __atomic_store_n(&first[i], at, __ATOMIC_RELEASE); /* the root is read without the lock */
    }
}

/* A timer of the domain's has changed. */
static void update(struct pv_machine *machine, struct domain *d)
{
    set_first(machine, d->domain_id, first_of_domain(d).at);
}

/* ---- The lock -------------------------------------------------------------------------------- */

static void lock(struct pv_machine *machine)
{
    if (!sim_lock(&timers(machine)->lock))
        return;
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = find_domain(machine, (domid_t)domid);
        set_first(machine, (domid_t)domid, d ? first_of_domain(d).at : 0);
    }
}

static void unlock(struct pv_machine *machine)
{
    sim_unlock(&timers(machine)->lock);
}

/* Unlocks, and has the timekeeper look when something is due earlier than before. */
static void unlock_changed(struct pv_machine *machine, uint64_t next)
{
    bool earlier = timers_next(machine) < next;
    unlock(machine);
    if (earlier)
        timekeeper_wake(machine);
}

/* ---- Setting --------------------------------------------------------------------------------- */

void timer_set(struct pv_machine *machine, struct domain *d, uint32_t vcpu, enum timer_kind kind,
               uint64_t at)
{
    uint64_t *word = &d->vcpu[vcpu].timers.at[kind];
    lock(machine);
    uint64_t next = timers_next(machine);
    if (*word != at && !domain_is_dying(d)) {
        *word = at;
        update(machine, d);
    }
    unlock_changed(machine, next);
}

void timer_set_period(struct pv_machine *machine, struct domain *d, uint32_t vcpu, uint64_t at,
                      uint64_t period)
{
    lock(machine);
    d->vcpu[vcpu].timers.period = period;
    unlock(machine);
    timer_set(machine, d, vcpu, TIMER_PERIODIC, at);
}

static int set_watchdog(struct domain *d, uint32_t id, uint64_t at)
{
    uint64_t *watchdogs = d->timers.watchdog_at;
    if (id > 0 && !watchdogs[id - 1])
        return -EINVAL;
    if (id > 0) {
        watchdogs[id - 1] = at;
        return 0;
    }
    while (id < WATCHDOGS && watchdogs[id])
        id++;
    if (id == WATCHDOGS)
        return -ENOSPC;
    watchdogs[id] = at;
    return (int)id + 1;
}

int watchdog_set(struct pv_machine *machine, struct domain *d, uint32_t id, uint64_t at)
{
    lock(machine);
    uint64_t next = timers_next(machine);
    int result = domain_is_dying(d) ? -EINVAL : set_watchdog(d, id, at);
    if (result >= 0)
        update(machine, d);
    unlock_changed(machine, next);
    return result;
}

void timers_forget(struct pv_machine *machine, struct domain *d)
{
    lock(machine);
    d->timers = (struct domain_timers){0};
    for (uint32_t id = 0; id < d->max_vcpus; id++)
        for (int kind = 0; kind < VCPU_TIMERS; kind++)
            d->vcpu[id].timers.at[kind] = 0;
    update(machine, d);
    unlock(machine);
}

/* ---- Expiring -------------------------------------------------------------------------------- */

/* A tick that finds its vcpu blocked or down is left out: Xen sends none to one that does not run.
 */
static void act(struct pv_machine *machine, const struct expiry *e)
{
    struct domain *d = e->domain;
    if (e->watchdog)
        pv_domain_shutdown(machine, d->domain_id, SHUTDOWN_watchdog);
    else if (e->kind == TIMER_POLL)
        end_poll(machine, d, e->id);
    else if (e->kind == TIMER_SINGLESHOT || !vcpu_pause_flags(&d->vcpu[e->id]))
        pv_machine_send_virq(machine, d->domain_id, VIRQ_TIMER, e->id);
}

/* One that was set to another time meanwhile stays so. */
static void settle(struct pv_machine *machine, const struct expiry *e, uint64_t now)
{
    uint64_t *word = word_of(e);
    lock(machine);
    uint64_t period = e->watchdog ? 0 : e->domain->vcpu[e->id].timers.period;
    if (*word == e->at)
        *word = !e->watchdog && e->kind == TIMER_PERIODIC && period ? now + period : 0;
    update(machine, e->domain);
    unlock(machine);
}

/* False when nothing is due. In a read-side section, so that the domain is no other meanwhile. */
static bool expire_first(struct pv_machine *machine, uint64_t now)
{
    RCU_SECTION(machine);
    struct expiry first = {0};
    lock(machine);
    struct domain *d = first_domain(machine);
    if (d)
        first = first_of_domain(d);
    unlock(machine);
    if (first.at == 0 || first.at > now)
        return false;
    act(machine, &first);
    settle(machine, &first, now);
    return true;
}

void timers_expire(struct pv_machine *machine)
{
    uint64_t now = pv_machine_now(machine);
    while (timers_next(machine) <= now && expire_first(machine, now))
        ;
}
