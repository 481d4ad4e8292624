/* What the files of the grants room share. */
#ifndef PVDRIVERS_SIM_GRANTS_INTERNAL_H
#define PVDRIVERS_SIM_GRANTS_INTERNAL_H

#include "pvdrivers/sim/core/hypervisor.h"
#include "pvdrivers/sim/grants/grants.h"
#include "pvdrivers/sim/memory/memory.h"

static inline struct grant_area *domain_grant_area(struct pv_machine *machine,
                                                   const struct domain *d)
{
    return domain_area(machine, d, SUBSYSTEM_GRANTS);
}

/* Names an open view of a domain: the client in the low bits, so that a dead process's views are
 * found together. Never 0. */
#define GRANT_OWNER_CLIENT_BITS 11
static inline uint32_t grant_owner(uint32_t client, uint32_t view)
{
    return view << GRANT_OWNER_CLIENT_BITS | (client + 1);
}

static inline uint32_t grant_owner_client(uint32_t owner)
{
    return (owner & ((1u << GRANT_OWNER_CLIENT_BITS) - 1)) - 1;
}

static inline uint32_t view_owner(const struct sim_hypervisor *hv)
{
    return grant_owner(hv->machine->client, hv->view);
}

/* ---- table.c ---- */
/* Takes a domain's grant lock, repairing what a dead holder left. */
void grant_lock(struct pv_machine *machine, struct domain *d);
void grant_unlock(struct domain *d);
/* The table as the guest sees it. Under the grant lock or refs_lock. */
struct pv_grant_entries grant_entries(struct pv_machine *machine, const struct domain *d);
int16_t grant_grow(struct domain *d, uint32_t frames);

/* Counters written under the grant lock and read without it. */
static inline void grant_count(uint32_t *counter, int32_t change)
{
    __atomic_store_n(counter, *counter + (uint32_t)change, __ATOMIC_RELEASE);
}

/* Says which page's references and users may disagree from here on; NO_FRAME: none. Release: what
 * was done to either before is done by then. */
static inline void grant_page_pending_repair(struct domain *d, uint64_t mfn)
{
    __atomic_store_n(&d->grant_table.page_pending_repair, mfn + 1, __ATOMIC_RELEASE);
}

/* ---- entry.c: under the grant lock ---- */
/* A domain's table, found once for all that is done to it under one hold of its lock. */
struct locked_table {
    struct pv_machine *machine;
    struct domain *d;
    struct active_grant_entry *active;
    struct pv_grant_entries entries;
};
static inline struct locked_table locked_table(struct pv_machine *machine, struct domain *d)
{
    return (struct locked_table){machine, d, domain_grant_area(machine, d)->active,
                                 grant_entries(machine, d)};
}
struct grant_use {
    domid_t domid; /* who asks */
    uint32_t pins; /* GNTPIN_*_inc to add */
    bool readonly;
    bool mapping; /* sub-page and transitive entries are for copies only */
};
#define GRANT_IS_TRANSITIVE 1 /* not a status: the caller follows the entry */
int16_t grant_pin(const struct locked_table *table, grant_ref_t ref, const struct grant_use *use);
/* Gives pins back; the last one clears the entry's marks and releases the page. */
void grant_unpin(const struct locked_table *table, grant_ref_t ref, uint32_t pins);
/* Clears those of the entry's marks that no pin needs. */
void grant_clear_marks(const struct locked_table *table, grant_ref_t ref);
bool grant_pins_saturated(uint32_t pin, uint32_t add);
void grant_drop_page(struct pv_machine *machine, struct domain *d, struct active_grant_entry *act);

/* ---- maptrack.c ---- */
void maptrack_init(struct domain *d, uint32_t frames);
/* Reserves up to `count` handles for `owner`; returns how many. */
unsigned maptrack_reserve(struct pv_machine *machine, struct domain *d, uint32_t owner,
                          grant_handle_t *handles, unsigned count);
/* Repairs what a process that died in here has left, if one did. */
void maptrack_repair(struct pv_machine *machine, struct domain *d);
void maptrack_free(struct pv_machine *machine, struct domain *d, const grant_handle_t *handles,
                   unsigned count);
struct maptrack_entry *maptrack_entry(struct pv_machine *machine, struct domain *d,
                                      grant_handle_t handle);
/* The fields of an entry as they are now; without the granting domain's lock they may have changed
 * by the next moment. */
static inline uint16_t maptrack_flags(const struct maptrack_entry *entry)
{
    return __atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE);
}

static inline domid_t maptrack_domid(const struct maptrack_entry *entry)
{
    return __atomic_load_n(&entry->domid, __ATOMIC_RELAXED);
}

/* The pins a mapping with these GNTMAP_* flags takes. */
uint32_t map_pins(uint16_t flags);

/* ---- map.c ---- */
void grant_map_batch(struct pv_machine *machine, struct domain *ld, uint32_t owner,
                     struct pv_grant_map *maps, unsigned count);
/* The flags say which mappings of a handle go; `none_is_all`: when they say none, all of them. */
void grant_unmap_batch(struct pv_machine *machine, struct domain *ld, struct pv_grant_map *maps,
                       unsigned count, bool none_is_all);
/* Unmaps a handle, whichever process holds it; nothing when it is unmapped already. */
void grant_force_unmap(struct pv_machine *machine, struct domain *ld, grant_handle_t handle);
/* Frees a handle that `owner`, which is gone, had reserved; nothing when it is free already. */
void grant_free_reserved(struct pv_machine *machine, struct domain *ld, grant_handle_t handle,
                         uint32_t owner);

/* ---- copy.c ---- */
void grant_copy_batch(struct pv_machine *machine, struct domain *ld, uint32_t owner,
                      struct pv_grant_copy *copies, unsigned count, bool local_pages);
/* Releases the pins and pages of a copy. Under the grant lock. */
void copy_run_release(struct pv_machine *machine, struct domain *d, struct copy_run *run);

/* ---- copy_short.c ---- */
#define GRANT_SHORT_COPY 2048 /* bytes: a packet that is no jumbo frame */
/* Works on the leading elements, of COPY_RUN at most, as long as they are short and their grants
 * plain, between the caller's memory and grants of `d`; returns how many are done. */
unsigned grant_copy_short(struct pv_machine *machine, struct domain *ld, struct domain *d,
                          bool to_grant, struct pv_grant_copy *copies, unsigned count);

/* ---- dump.c ---- */
void grants_dump(struct pv_machine *machine, struct domain *d);

/* ---- transfer.c ---- */
/* Finishes, or takes back, what a process that was killed had committed to. Under the grant lock.
 */
void grant_repair_transfers(struct pv_machine *machine, struct domain *d);

/* ---- window.c ---- */
/* Forgets the windows of a view that is closed; their handles are released with its others. */
void grant_windows_forget(const struct sim_hypervisor *hv);

/* ---- access.c ---- */
/* Waits for calls that saw the domain alive: they are over once this has had refs_lock. */
void grant_refs_wait(struct pv_machine *machine, struct domain *d);
/* Ends the grants whose owner matches under `mask`. */
void grant_access_release(struct pv_machine *machine, struct domain *d, uint32_t owner,
                          uint32_t mask);

#endif
