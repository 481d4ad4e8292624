/* A domain, from its creation to the end of its teardown. */
#ifndef PVDRIVERS_SIM_CORE_DOMAIN_H
#define PVDRIVERS_SIM_CORE_DOMAIN_H

#include "pvdrivers/sim/events/state.h"
#include "pvdrivers/sim/grants/state.h"
#include "pvdrivers/sim/ia64/state.h"
#include "pvdrivers/sim/machine.h"
#include "pvdrivers/sim/memory/state.h"
#include "pvdrivers/sim/sched/state.h"
#include "pvdrivers/sim/vcpus/state.h"

#include <stddef.h>
#include <string.h>

/* Why a vcpu does not run: Xen's VPF_*. */
#define VPF_blocked 1u /* it waits for an event */
#define VPF_down 2u

struct vcpu {
    uint32_t id;
    uint32_t pause_flags; /* VPF_*; 0: it runs. vcpu_set_paused changes it */
    uint64_t info;        /* machine address of its vcpu_info */
    uint64_t upcalls;
    uint32_t initialised; /* whether it has a context: vcpus/vcpus.c */
    struct vcpu_timers timers;
    struct sched_vcpu sched;
};

/* The big per-domain tables follow it in the domain's window (domain_window). */
struct domain {
    domid_t domain_id;
    uint8_t abi, page_shift;
    bool privileged;
    uint32_t builder; /* client + 1 that is making it: ABSENT until it is made, the domid taken */
    uint32_t state;   /* enum pv_domain_state, of one that is PAUSED RUNNING: domain_state */
    bool dead;        /* DYING and taken apart: only what others still hold of it keeps it */
    uint64_t ticket;  /* rcu_ticket() + 1 of one that is ABSENT but not wiped yet; 0: none */
    uint32_t shutdown_reason;
    uint32_t
        pause_count; /* of toolstacks: Xen's controller_pause_count; changes under machine.lock */
    uint32_t shutdown_code; /* + 1: the reason that counts when it shuts down; 0: none yet */
    uint32_t max_vcpus;
    uint64_t generation;
    uint64_t handle[2];            /* its UUID, read without a lock */
    uint64_t tot_pages, max_pages; /* of this domain's page size */
    uint64_t claimed_pages;        /* it will have so many, by a claim; 0: there is none */
    uint64_t loose_page;           /* plus one: the first of its pages without a gfn */
    uint64_t physmap_end;          /* no gfn is higher: what max_pages was at first */
    uint32_t node;                 /* whose memory it prefers */
    uint64_t physmap_changes;      /* so that a process knows when its view of the physmap is old */
    struct vcpu vcpu[PV_MAX_VCPUS];
    uint64_t accounts[PV_ACCOUNT_COUNT];

    /* One for each subsystem that has state here, declared in its room. */
    struct guest_allocator guest;
    struct event_channels event_channels;
    struct sched_domain sched;
    struct domain_timers timers;
    struct grant_table grant_table;
    struct maptrack maptrack;
    struct ia64_domain ia64;
};

static inline enum pv_domain_state domain_stored_state(const struct domain *d)
{
    return (enum pv_domain_state)__atomic_load_n(&d->state, __ATOMIC_ACQUIRE);
}

/* One word says whether a live domain is paused, the count: a process that is killed while it
 * changes that has changed it or not. */
static inline enum pv_domain_state domain_state(const struct domain *d)
{
    enum pv_domain_state state = domain_stored_state(d);
    bool paused =
        state == PV_DOMAIN_RUNNING && __atomic_load_n(&d->pause_count, __ATOMIC_RELAXED) > 0;
    return paused ? PV_DOMAIN_PAUSED : state;
}

/* In a read-side section: acquire, for the store that makes a new domain's fields visible; and
 * after the section is on record, for the store that takes the domain from sight (rcu.c). */
static inline bool domain_is_found(const struct domain *d)
{
    return __atomic_load_n(&d->state, __ATOMIC_SEQ_CST) != PV_DOMAIN_ABSENT;
}

/* What is left of its claim. */
static inline uint64_t domain_outstanding_pages(const struct domain *d)
{
    uint64_t claimed = __atomic_load_n(&d->claimed_pages, __ATOMIC_RELAXED);
    uint64_t has = __atomic_load_n(&d->tot_pages, __ATOMIC_RELAXED);
    return claimed > has ? claimed - has : 0;
}

/* Senders read it without a lock. */
static inline enum pv_abi domain_abi(const struct domain *d)
{
    return (enum pv_abi)__atomic_load_n(&d->abi, __ATOMIC_RELAXED);
}

/* Tells the domains apart that have had a domid. */
static inline uint64_t domain_generation(const struct domain *d)
{
    return __atomic_load_n(&d->generation, __ATOMIC_ACQUIRE);
}

/* Whether a domain of that generation lives. The state first: a later life's shows only after that
 * life's generation. */
static inline bool domain_is_life(const struct domain *d, uint64_t generation)
{
    enum pv_domain_state state = domain_stored_state(d);
    return state != PV_DOMAIN_DYING && state != PV_DOMAIN_ABSENT &&
           domain_generation(d) == generation;
}

/* Being taken apart, or gone. */
static inline bool domain_is_dying(const struct domain *d)
{
    enum pv_domain_state state = domain_stored_state(d);
    return state == PV_DOMAIN_DYING || state == PV_DOMAIN_ABSENT;
}

/* Zeros what follows `field`. A lock stays, since another domain's call may be holding it. */
#define WIPE_AFTER(part, field)                                                                    \
    memset(&(part).field + 1, 0, sizeof(part) - offsetof(typeof(part), field) - sizeof(part).field)

static inline void account(struct domain *d, enum pv_account kind, uint64_t n)
{
    __atomic_fetch_add(&d->accounts[kind], n, __ATOMIC_RELAXED);
}

/* The domain, when it exists (any state but ABSENT), else NULL. DOMID_SELF is not resolved. In a
 * read-side section (rcu.h), to the end of which the result may be used. */
struct domain *find_domain(struct pv_machine *machine, domid_t domid);
/* The domain that `caller` (may be NULL) names by a domid or DOMID_SELF; NULL also when it is
 * dying. */
struct domain *find_live_domain(struct pv_machine *machine, const struct domain *caller,
                                domid_t domid);
void domain_set_state(struct pv_machine *machine, struct domain *d, enum pv_domain_state state);
/* Tells the subsystems that a domain has shut down or was destroyed. Under no lock. */
void domain_ended(struct pv_machine *machine);
/* What the configuration says of a new domain itself. Under its event lock. */
void domain_set_shape(struct domain *d, const struct pv_domain_config *config);

/* ---- vcpu.c ---- */
static inline uint32_t vcpu_pause_flags(const struct vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->pause_flags, __ATOMIC_ACQUIRE);
}

/* Sets or clears one of the VPF_ flags, and tells the subsystems; whether it was otherwise. In a
 * read-side section; takes the scheduler's lock. */
bool vcpu_set_paused(struct pv_machine *machine, struct domain *d, uint32_t vcpu, uint32_t flag,
                     bool paused);
/* In real time, in no section and under no lock: sleeps while the vcpu is blocked and the domain of
 * that generation lives. 0, or -ESRCH when that has ended. */
int vcpu_sleep(const struct domain *d, uint64_t generation, uint32_t vcpu);

/* ---- teardown.c ---- */
/* The end of a domain, in steps: each is bounded, and neither a lock nor a read-side section lasts
 * from one to the next (XSA-344, 380). */
struct teardown {
    domid_t domid;
    uint64_t generation;
    unsigned subsystem;
    uint64_t next; /* where in what that takes apart */
};
/* From here on the domain is DYING. 0, or -ESRCH. */
int domain_teardown_begin(struct pv_machine *machine, domid_t domid, struct teardown *teardown);
/* True while there is more to do. */
bool domain_teardown_step(struct pv_machine *machine, struct teardown *teardown);
/* Takes apart a domain that was not finished. */
void domain_abandon(struct pv_machine *machine, struct domain *d);
/* The same with what a dead process was making. */
void domain_release_client(struct pv_machine *machine, uint32_t client);

/* Wipes dying domains whose last page has come back, once no call uses them. Under no lock. */
void reap_domains(struct pv_machine *machine);

#endif
