#include "pvdrivers/sim/machine.h"

#include "pvdrivers/machine_events.h"
#include "pvdrivers/sim/memory.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct domain *find_domain(struct pv_machine *machine, domid_t domid)
{
    if (domid >= machine->shared->max_domains)
        return NULL;
    struct domain *d = domain_window(machine, domid);
    /* Acquire: pairs with the store that makes a new domain's fields visible. */
    return __atomic_load_n(&d->state, __ATOMIC_ACQUIRE) == PV_DOMAIN_ABSENT ? NULL : d;
}

static void set_state(struct pv_machine *machine, struct domain *d, enum pv_domain_state state)
{
    __atomic_store_n(&d->state, state, __ATOMIC_RELEASE);
    trace(machine, PV_TRACE_DOMAIN_STATE, d->domain_id, state, 0, 0);
}

/* ---- Creation -------------------------------------------------------------------------------- */

static int check_config(const struct pv_machine *machine, const struct pv_domain_config *config)
{
    uint64_t limit = machine->shared->layout.max_domain_pages << FRAME_SHIFT;
    if ((unsigned)config->abi >= PV_ABI_COUNT || config->vcpus == 0 || config->vcpus > MAX_VCPUS ||
        config->memory == 0 || config->max_grant_version > 2)
        return -EINVAL;
    return config->memory > limit ? -E2BIG : 0;
}

/* A domid no domain has, dying ones included. Under machine.lock. */
static int choose_domid(struct pv_machine *machine, domid_t wanted)
{
    if (wanted != DOMID_INVALID) {
        if (wanted >= machine->shared->max_domains)
            return -EINVAL;
        return find_domain(machine, wanted) ? -EEXIST : wanted;
    }
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++)
        if (!find_domain(machine, (domid_t)domid))
            return (int)domid;
    return -ENOSPC;
}

static void init_locks(struct domain *d)
{
    sim_lock_init(&d->guest.lock);
    sim_lock_init(&d->event_channels.lock);
    sim_lock_init(&d->grant_table.lock);
    sim_lock_init(&d->maptrack.lock);
}

/* Everything but the lock, which some other domain's hypercall may be holding. */
#define WIPE(part)                                                                                 \
    do {                                                                                           \
        static_assert(offsetof(typeof(part), lock) == 0, "the lock comes first");                  \
        memset((uint8_t *)&(part) + sizeof((part).lock), 0, sizeof(part) - sizeof((part).lock));   \
    } while (0)

/* A domid's next life starts from zeros, whatever its last domain left behind (XSA-322, 483). */
static void wipe_window(struct pv_machine *machine, domid_t domid)
{
    const struct machine_layout *layout = &machine->shared->layout;
    struct domain *d = domain_window(machine, domid);
    punch_segment(machine, layout->domains + domid * layout->domain_stride + layout->window_grants,
                  layout->domain_stride - layout->window_grants);
    punch_memory(machine, layout->xenheap + (uint64_t)domid * XENHEAP_WINDOW, XENHEAP_WINDOW);
    WIPE(d->guest);
    WIPE(d->event_channels);
    WIPE(d->grant_table);
    WIPE(d->maptrack);
    memset(d->vcpu, 0, sizeof d->vcpu);
    memset(d->accounts, 0, sizeof d->accounts);
    d->tot_pages = 0;
    d->shutdown_reason = 0;
}

static int populate(struct pv_machine *machine, struct domain *d)
{
    for (uint64_t gfn = 0; gfn < d->max_pages; gfn++)
        if (!populate_page(machine, d, gfn))
            return -ENOMEM;
    return 0;
}

static void set_shape(struct domain *d, const struct pv_domain_config *config)
{
    d->abi = (uint8_t)config->abi;
    d->page_shift = config->abi == PV_ABI_IA64 ? 14 : 12;
    d->privileged = config->privileged;
    d->max_vcpus = config->vcpus;
    d->max_pages = config->memory >> d->page_shift;
    for (uint32_t i = 0; i < config->vcpus; i++)
        d->vcpu[i] = (struct vcpu){.id = i, .online = true};
}

static int build(struct pv_machine *machine, struct domain *d,
                 const struct pv_domain_config *config)
{
    int error = event_channels_init(machine, d, config);
    if (!error)
        error = grant_table_init(machine, d, config);
    return error ? error : populate(machine, d);
}

int pv_domain_create(struct pv_machine *machine, domid_t wanted,
                     const struct pv_domain_config *config)
{
    int error = check_config(machine, config);
    if (error)
        return error;
    machine_lock(machine);
    int domid = choose_domid(machine, wanted);
    struct domain *d = domid < 0 ? NULL : domain_window(machine, (domid_t)domid);
    if (d) {
        if (d->generation++ == 0)
            init_locks(d);
        d->domain_id = (domid_t)domid;
        set_shape(d, config);
        /* Taken, but of no use to anybody yet: every operation refuses a dying domain. */
        d->builder = machine->client + 1;
        set_state(machine, d, PV_DOMAIN_DYING);
    }
    machine_unlock(machine);
    if (!d)
        return domid;
    error = build(machine, d, config);
    __atomic_store_n(&d->builder, 0, __ATOMIC_RELEASE);
    if (error) {
        pv_domain_destroy(machine, (domid_t)domid);
        return error;
    }
    set_state(machine, d, PV_DOMAIN_PAUSED);
    account(d, PV_ACCOUNT_DOMCTL, 1);
    return domid;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static int change_state(struct pv_machine *machine, domid_t domid, unsigned from_mask,
                        enum pv_domain_state to, uint32_t reason)
{
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    machine_lock(machine);
    bool allowed = from_mask & 1u << d->state;
    if (allowed) {
        d->shutdown_reason = reason;
        set_state(machine, d, to);
        account(d, PV_ACCOUNT_DOMCTL, 1);
    }
    machine_unlock(machine);
    return allowed ? 0 : -EINVAL;
}

#define LIVE (1u << PV_DOMAIN_PAUSED | 1u << PV_DOMAIN_RUNNING)

int pv_domain_pause(struct pv_machine *machine, domid_t domid)
{
    return change_state(machine, domid, LIVE, PV_DOMAIN_PAUSED, 0);
}

int pv_domain_unpause(struct pv_machine *machine, domid_t domid)
{
    return change_state(machine, domid, LIVE, PV_DOMAIN_RUNNING, 0);
}

int pv_domain_shutdown(struct pv_machine *machine, domid_t domid, uint32_t reason)
{
    if (reason > SHUTDOWN_crash)
        return -EINVAL;
    enum pv_domain_state state = reason == SHUTDOWN_crash ? PV_DOMAIN_CRASHED : PV_DOMAIN_SHUTDOWN;
    int error = change_state(machine, domid, LIVE, state, reason);
    if (!error)
        send_global_virq(machine, VIRQ_DOM_EXC); /* xenstored and toolstacks listen */
    return error;
}

int pv_domain_destroy(struct pv_machine *machine, domid_t domid)
{
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    machine_lock(machine);
    set_state(machine, d, PV_DOMAIN_DYING);
    machine_unlock(machine);
    /* Each step may be repeated: a process killed in the middle leaves the rest to the next. */
    event_channels_destroy(machine, d);
    grant_table_destroy(machine, d);
    release_domain_memory(machine, d);
    reap_domains(machine);
    send_global_virq(machine, VIRQ_DOM_EXC);
    return 0;
}

/* A dying domain that still has pages is in the middle of pv_domain_destroy. */
static bool is_done(struct pv_machine *machine, struct domain *d)
{
    return d->state == PV_DOMAIN_DYING && !__atomic_load_n(&d->builder, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED) == 0 && !grant_table_in_use(machine, d);
}

void reap_domains(struct pv_machine *machine)
{
    machine_lock(machine);
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = find_domain(machine, (domid_t)domid);
        if (d && is_done(machine, d)) {
            wipe_window(machine, (domid_t)domid);
            set_state(machine, d, PV_DOMAIN_ABSENT);
        }
    }
    machine_unlock(machine);
}

void domain_release_client(struct pv_machine *machine, uint32_t client)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = find_domain(machine, (domid_t)domid);
        uint32_t builder = client + 1;
        if (d && __atomic_compare_exchange_n(&d->builder, &builder, 0, false, __ATOMIC_ACQ_REL,
                                             __ATOMIC_RELAXED))
            pv_domain_destroy(machine, (domid_t)domid);
    }
}

/* ---- What others may know -------------------------------------------------------------------- */

int pv_domain_info(struct pv_machine *machine, domid_t domid, struct pv_domain_info *info)
{
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    *info = (struct pv_domain_info){
        .domid = domid,
        .state = (enum pv_domain_state)__atomic_load_n(&d->state, __ATOMIC_ACQUIRE),
        .abi = (enum pv_abi)d->abi,
        .page_size = 1u << d->page_shift,
        .vcpus = d->max_vcpus,
        .shutdown_reason = d->shutdown_reason,
        .pages = __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED),
        .max_pages = d->max_pages,
        .generation = d->generation,
        .privileged = d->privileged};
    return 0;
}

int pv_domain_accounts(struct pv_machine *machine, domid_t domid, uint64_t *accounts)
{
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    for (unsigned i = 0; i < PV_ACCOUNT_COUNT; i++)
        accounts[i] = __atomic_load_n(&d->accounts[i], __ATOMIC_RELAXED);
    return 0;
}

int64_t pv_domain_gfn_to_mfn(struct pv_machine *machine, domid_t domid, uint64_t gfn)
{
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    uint64_t mfn = gfn_to_mfn(machine, d, gfn);
    return mfn == NO_FRAME ? -EFAULT : (int64_t)mfn;
}
