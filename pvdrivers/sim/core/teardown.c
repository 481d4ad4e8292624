/* How a domain ends: taken apart in steps, then taken from sight, then wiped. */
#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/core/map.h"

#include <errno.h>
#include <string.h>

/* ---- Taking apart: each step may be repeated. When a process is killed in the middle, the next
 * one that destroys the domain does the rest.
 * ------------------------------------------------------ */

int domain_teardown_begin(struct pv_machine *machine, domid_t domid, struct teardown *teardown)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    *teardown = (struct teardown){.domid = domid, .generation = domain_generation(d)};
    machine_lock(machine);
    domain_set_state(machine, d, PV_DOMAIN_DYING);
    machine_unlock(machine);
    pv_mb(); /* said before its handles are looked at: see unmap_if_dying */
    return 0;
}

static uint64_t destroy_step(struct pv_machine *machine, struct domain *d, unsigned id,
                             uint64_t from)
{
    return subsystems[id]->domain_destroy ? subsystems[id]->domain_destroy(machine, d, from) : 0;
}

bool domain_teardown_step(struct pv_machine *machine, struct teardown *teardown)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, teardown->domid);
    if (!d || domain_generation(d) != teardown->generation)
        return false; /* another process has destroyed it too, and finished first */
    teardown->next = destroy_step(machine, d, teardown->subsystem, teardown->next);
    if (teardown->next || ++teardown->subsystem < SUBSYSTEM_COUNT)
        return true;
    __atomic_store_n(&d->dead, true, __ATOMIC_RELEASE);
    return false;
}

int pv_domain_destroy(struct pv_machine *machine, domid_t domid)
{
    struct teardown teardown;
    int error = domain_teardown_begin(machine, domid, &teardown);
    if (error)
        return error;
    while (domain_teardown_step(machine, &teardown))
        ;
    reap_domains(machine);
    domain_ended(machine);
    return 0;
}

/* ---- Wiping: under machine.lock -------------------------------------------------------------- */

/* A domid's next domain starts from zeros, whatever the last one left behind (XSA-322, 483). Its
 * event channels end and begin under their own lock. */
static void wipe_window(struct pv_machine *machine, struct domain *d)
{
    const struct machine_layout *layout = &machine->shared->layout;
    uint64_t window = layout->domains + d->domain_id * layout->domain_stride;
    punch_segment(machine, window + layout->window_areas,
                  layout->domain_stride - layout->window_areas);
    punch_memory(machine, layout->xenheap + (uint64_t)d->domain_id * layout->xenheap_window,
                 layout->xenheap_window);
    FOR_EACH_SUBSYSTEM(id, domain_wipe)
    subsystems[id]->domain_wipe(d);
    for (unsigned i = 0; i < PV_ACCOUNT_COUNT; i++)
        __atomic_store_n(&d->accounts[i], 0, __ATOMIC_RELAXED);
    d->shutdown_reason = d->shutdown_code = 0;
    d->dead = false;
    d->ticket = 0;
}

static bool is_done(struct domain *d)
{
    if (domain_state(d) != PV_DOMAIN_DYING || !__atomic_load_n(&d->dead, __ATOMIC_ACQUIRE))
        return false;
    FOR_EACH_SUBSYSTEM(id, domain_in_use)
    if (subsystems[id]->domain_in_use(d))
        return false;
    return true;
}

void reap_domains(struct pv_machine *machine)
{
    struct machine *shared = machine->shared;
    bool waiting = false;
    machine_lock(machine);
    __atomic_fetch_or(&shared->rcu.callbacks, RCU_WAITING, __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&shared->rcu.callbacks, ~RCU_WANTED, __ATOMIC_SEQ_CST);
    pv_mb(); /* after the domain is dead: see maptrack_free */
    for (uint32_t domid = 0; domid < shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        if (is_done(d)) {
            domain_set_state(machine, d, PV_DOMAIN_ABSENT);
            d->ticket = rcu_ticket(machine) + 1;
        }
        if (d->ticket && rcu_has_passed(machine, d->ticket - 1))
            wipe_window(machine, d);
        waiting |= d->ticket != 0;
    }
    if (!waiting)
        __atomic_fetch_and(&shared->rcu.callbacks, ~RCU_WAITING, __ATOMIC_SEQ_CST);
    machine_unlock(machine);
}

/* ---- Domains that were never made ------------------------------------------------------------ */

void domain_abandon(struct pv_machine *machine, struct domain *d)
{
    for (unsigned id = 0; id < SUBSYSTEM_COUNT; id++)
        for (uint64_t next = destroy_step(machine, d, id, 0); next;)
            next = destroy_step(machine, d, id, next);
    machine_lock(machine);
    wipe_window(machine, d);
    __atomic_store_n(&d->builder, 0, __ATOMIC_RELEASE);
    machine_unlock(machine);
}

void domain_release_client(struct pv_machine *machine, uint32_t client)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        if (__atomic_load_n(&d->builder, __ATOMIC_ACQUIRE) != client + 1)
            continue;
        if (find_domain(machine, (domid_t)domid))
            __atomic_store_n(&d->builder, 0, __ATOMIC_RELEASE); /* it had just been finished */
        else
            domain_abandon(machine, d);
    }
}
