/* What becomes of a domain while it is there: paused, shut down, resumed. */
#include "pvdrivers/sim/core/machine.h"

#include <errno.h>
#include <string.h>

void domain_set_state(struct pv_machine *machine, struct domain *d, enum pv_domain_state state)
{
    __atomic_store_n(&d->state, state, __ATOMIC_SEQ_CST);
    trace(machine, PV_TRACE_DOMAIN_STATE, d->domain_id, domain_state(d), 0, 0);
}

#define MAX_PAUSE_COUNT 255 /* Xen's limit */

static bool is_live(const struct domain *d)
{
    return domain_stored_state(d) == PV_DOMAIN_RUNNING;
}

/* Under machine.lock. */
static void change_state(struct pv_machine *machine, struct domain *d, enum pv_domain_state to)
{
    domain_set_state(machine, d, to);
    FOR_EACH_SUBSYSTEM(id, domain_state_changed)
    subsystems[id]->domain_state_changed(machine, d);
    account(d, PV_ACCOUNT_DOMCTL, 1);
}

static int change_pause_count(struct pv_machine *machine, domid_t domid, uint32_t full, int change,
                              int error_when_full)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    machine_lock(machine);
    bool allowed = d->pause_count != full;
    if (allowed) {
        enum pv_domain_state before = domain_state(d);
        __atomic_store_n(&d->pause_count, d->pause_count + (uint32_t)change, __ATOMIC_RELAXED);
        if (domain_state(d) != before)
            change_state(machine, d, PV_DOMAIN_RUNNING); /* as stored before: others are told */
    }
    machine_unlock(machine);
    return allowed ? 0 : error_when_full;
}

int pv_domain_pause(struct pv_machine *machine, domid_t domid)
{
    return change_pause_count(machine, domid, MAX_PAUSE_COUNT, 1, -EOVERFLOW);
}

int pv_domain_unpause(struct pv_machine *machine, domid_t domid)
{
    int error = change_pause_count(machine, domid, 0, -1, -EINVAL);
    if (error)
        return error;
    FOR_EACH_SUBSYSTEM(id, domain_unpaused)
    subsystems[id]->domain_unpaused(machine);
    return 0;
}

int pv_domain_resume(struct pv_machine *machine, domid_t domid)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    machine_lock(machine);
    bool dying = domain_is_dying(d);
    if (!dying && !is_live(d)) {
        __atomic_store_n(&d->shutdown_reason, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&d->shutdown_code, 0, __ATOMIC_RELAXED);
        change_state(machine, d, PV_DOMAIN_RUNNING);
    }
    machine_unlock(machine);
    return dying ? -ESRCH : 0;
}

void domain_ended(struct pv_machine *machine)
{
    FOR_EACH_SUBSYSTEM(id, domain_ended)
    subsystems[id]->domain_ended(machine);
}

/* What SCHEDOP_shutdown_code has said before counts. */
static uint32_t latched_reason(const struct domain *d, uint32_t reason)
{
    uint32_t code = __atomic_load_n(&d->shutdown_code, __ATOMIC_RELAXED);
    return code ? code - 1 : reason;
}

static int shut_down(struct pv_machine *machine, domid_t domid, uint32_t reason)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    machine_lock(machine);
    bool allowed = is_live(d);
    if (allowed) {
        reason = latched_reason(d, reason);
        __atomic_store_n(&d->shutdown_reason, reason, __ATOMIC_RELAXED);
        change_state(machine, d, reason == SHUTDOWN_crash ? PV_DOMAIN_CRASHED : PV_DOMAIN_SHUTDOWN);
    }
    machine_unlock(machine);
    return allowed ? 0 : -EINVAL;
}

int pv_domain_shutdown(struct pv_machine *machine, domid_t domid, uint32_t reason)
{
    if (reason > SHUTDOWN_MAX)
        return -EINVAL;
    int error = shut_down(machine, domid, reason);
    if (!error)
        domain_ended(machine);
    return error;
}

int pv_domain_set_handle(struct pv_machine *machine, domid_t domid, const uint8_t *handle)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t word;
        memcpy(&word, handle + i * sizeof word, sizeof word);
        __atomic_store_n(&d->handle[i], word, __ATOMIC_RELAXED);
    }
    return 0;
}
