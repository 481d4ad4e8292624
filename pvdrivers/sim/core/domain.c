/* A domain's creation, and what others may know of it. Its life is in life.c, its end in
 * teardown.c. */
#include "pvdrivers/sim/core/machine.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

struct domain *find_domain(struct pv_machine *machine, domid_t domid)
{
    if (domid >= machine->shared->max_domains)
        return NULL;
    struct domain *d = domain_window(machine, domid);
    return domain_is_found(d) ? d : NULL;
}

struct domain *find_live_domain(struct pv_machine *machine, const struct domain *caller,
                                domid_t domid)
{
    struct domain *d =
        find_domain(machine, domid == DOMID_SELF && caller ? caller->domain_id : domid);
    return d && !domain_is_dying(d) ? d : NULL;
}

/* ---- Creation -------------------------------------------------------------------------------- */

static int check_config(const struct pv_machine *machine, const struct pv_domain_config *config)
{
    uint64_t limit = machine->shared->layout.max_domain_pages << FRAME_SHIFT;
    if ((unsigned)config->abi >= PV_ABI_COUNT || config->vcpus == 0 ||
        config->vcpus > PV_MAX_VCPUS || config->online_vcpus > config->vcpus ||
        (config->memory == 0) != config->bare || (config->bare && config->max_memory == 0))
        return -EINVAL;
    if (config->max_memory && config->max_memory < config->memory)
        return -EINVAL;
    return config->memory > limit || config->max_memory > limit ? -E2BIG : 0;
}

/* 0 when no domain has the domid, dying ones included; -EAGAIN when there is none any more, but
 * calls under way may still use it. Under machine.lock. */
static int check_domid(struct pv_machine *machine, uint32_t domid)
{
    const struct domain *d = domain_window(machine, (domid_t)domid);
    if (find_domain(machine, (domid_t)domid) || d->builder)
        return -EEXIST;
    return d->ticket ? -EAGAIN : 0;
}

static int choose_domid(struct pv_machine *machine, domid_t wanted)
{
    if (wanted != DOMID_INVALID && wanted >= machine->shared->max_domains)
        return -EINVAL;
    if (wanted != DOMID_INVALID) {
        int error = check_domid(machine, wanted);
        return error ? error : wanted;
    }
    int result = -ENOSPC;
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        int error = check_domid(machine, domid);
        if (!error)
            return (int)domid;
        if (error == -EAGAIN)
            result = error;
    }
    return result;
}

void domain_set_shape(struct domain *d, const struct pv_domain_config *config)
{
    __atomic_store_n(&d->abi, (uint8_t)config->abi, __ATOMIC_RELAXED); /* senders read it without */
    d->page_shift = config->abi == PV_ABI_IA64 ? 14 : 12;
    d->privileged = config->privileged;
    d->physmap_end = (config->max_memory ? config->max_memory : config->memory) >> d->page_shift;
    d->max_pages = config->bare ? 0 : d->physmap_end;
    memcpy(d->handle, config->handle, sizeof d->handle);
    memset(d->vcpu, 0, d->max_vcpus * sizeof d->vcpu[0]); /* what the domid's last domain had */
    d->max_vcpus = config->vcpus;
    uint32_t online = config->bare           ? 0
                      : config->online_vcpus ? config->online_vcpus
                                             : config->vcpus;
    for (uint32_t i = 0; i < config->vcpus; i++)
        d->vcpu[i] = (struct vcpu){.id = i, .pause_flags = i < online ? 0 : VPF_down};
}

static int create_subsystems(struct pv_machine *machine, struct domain *d,
                             const struct pv_domain_config *config)
{
    RCU_SECTION(machine); /* as all hypercalls: what is deferred is done when it is left */
    FOR_EACH_SUBSYSTEM(id, domain_create)
    {
        int error = subsystems[id]->domain_create(machine, d, config);
        if (error)
            return error;
    }
    return 0;
}

/* Takes a domid, which no one else can then find or take. */
static int claim_domid(struct pv_machine *machine, domid_t wanted)
{
    machine_lock(machine);
    int domid = choose_domid(machine, wanted);
    if (domid >= 0) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        if (d->generation == 0) {
            d->domain_id = (domid_t)domid;
            FOR_EACH_SUBSYSTEM(id, domain_init)
            subsystems[id]->domain_init(d);
        }
        __atomic_store_n(&d->generation, d->generation + 1, __ATOMIC_RELEASE);
        __atomic_store_n(&d->builder, machine->client + 1, __ATOMIC_RELEASE);
    }
    machine_unlock(machine);
    return domid;
}

int pv_domain_create(struct pv_machine *machine, domid_t wanted,
                     const struct pv_domain_config *config)
{
    int error = check_config(machine, config), domid;
    if (error)
        return error;
    while ((domid = claim_domid(machine, wanted)) == -EAGAIN) {
        sched_yield(); /* hypercalls are short, and no hypercall waits for this */
        reap_domains(machine);
    }
    if (domid < 0)
        return domid;
    struct domain *d = domain_window(machine, (domid_t)domid);
    error = create_subsystems(machine, d, config);
    if (error) {
        domain_abandon(machine, d);
        return error;
    }
    account(d, PV_ACCOUNT_DOMCTL, 1);
    d->pause_count = 1;
    domain_set_state(machine, d, PV_DOMAIN_RUNNING);
    __atomic_store_n(&d->builder, 0, __ATOMIC_RELEASE); /* killed before: domain_release_client */
    return domid;
}

/* ---- What others may know -------------------------------------------------------------------- */

int pv_domain_info(struct pv_machine *machine, domid_t domid, struct pv_domain_info *info)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    *info = (struct pv_domain_info){.domid = domid,
                                    .state = domain_state(d),
                                    .abi = (enum pv_abi)d->abi,
                                    .page_size = 1u << d->page_shift,
                                    .vcpus = d->max_vcpus,
                                    .shutdown_reason =
                                        __atomic_load_n(&d->shutdown_reason, __ATOMIC_RELAXED),
                                    .pages = __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED),
                                    .max_pages = __atomic_load_n(&d->max_pages, __ATOMIC_RELAXED),
                                    .outstanding_pages = domain_outstanding_pages(d),
                                    .physmap_pages = d->physmap_end,
                                    .generation = domain_generation(d),
                                    .privileged = d->privileged};
    info->pause_count = __atomic_load_n(&d->pause_count, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t word = __atomic_load_n(&d->handle[i], __ATOMIC_RELAXED);
        memcpy(info->handle + i * sizeof word, &word, sizeof word);
    }
    return 0;
}

int pv_domain_next(struct pv_machine *machine, domid_t from)
{
    RCU_SECTION(machine);
    for (uint32_t domid = from; domid < machine->shared->max_domains; domid++)
        if (find_domain(machine, (domid_t)domid))
            return (int)domid;
    return -ESRCH;
}

int pv_domain_accounts(struct pv_machine *machine, domid_t domid, uint64_t *accounts)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    for (unsigned i = 0; i < PV_ACCOUNT_COUNT; i++)
        accounts[i] = __atomic_load_n(&d->accounts[i], __ATOMIC_RELAXED);
    return 0;
}
