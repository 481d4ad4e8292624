/*
 * How long a `struct domain *` may be used. A hypercall is a read-side section: a domain that it
 * found in there is not wiped, and its domid not used again, before the section is left. The domain
 * may begin to die at any moment; a call that must not meet that reads its state under the lock
 * that its teardown takes after it has set the state.
 *
 * Readers are counted per client, so that those of a killed process can be forgotten, and in two
 * slots, by the epoch in which they entered. The epoch advances when the other slot is empty; two
 * epochs after a domain could last be found it is no longer used. No hypercall waits for that: the
 * process that leaves a section last calls reap_domains().
 *
 * Events through a handle are too frequent for two locked instructions. They look at the state
 * under the domain's event lock, or read nothing but single words (sim_evtchn_notify).
 */
#ifndef PVDRIVERS_SIM_CORE_RCU_H
#define PVDRIVERS_SIM_CORE_RCU_H

#include <stdbool.h>
#include <stdint.h>

struct machine;
struct pv_machine;

/* In struct machine. */
struct rcu {
    uint64_t epoch;
    uint32_t callbacks; /* RCU_ flags: what is to be done when a section is left */
};
#define RCU_WANTED 1u   /* when a section is left next: a domain may be done with dying */
#define RCU_WAITING 2u  /* when a slot becomes empty: a domain's last users were still there */
#define RCU_DEFERRED 4u /* when a section is left next: the subsystems have deferred something */

/* A section that is entered, and the process it was entered in. */
struct rcu_section {
    struct pv_machine *machine;
    uint64_t *readers;
};

struct rcu_section rcu_enter(struct pv_machine *machine);
void rcu_leave(struct rcu_section *section);

/* From here to the end of the block. No lock is held where it is entered or left. */
#define RCU_SECTION(machine)                                                                       \
    __attribute__((cleanup(rcu_leave), unused)) struct rcu_section rcu_section_ = rcu_enter(machine)

/* Has reap_domains() called when the caller's section, or an earlier one, is left. */
void rcu_want_callbacks(struct pv_machine *machine);

/* Has the subsystems' `deferred` called when a section is left next, by whichever process. Under
 * any lock. */
void rcu_defer(struct machine *shared);

/* ---- For reap_domains, under machine.lock ---- */
/* A ticket for what can no longer be found. */
uint64_t rcu_ticket(struct pv_machine *machine);
/* Whether all readers that may have found it have left. */
bool rcu_has_passed(struct pv_machine *machine, uint64_t ticket);
/* Forgets the readers of a process that is gone. */
void rcu_forget_client(struct pv_machine *machine, uint32_t client);

#endif
