/*
 * What the machine is made of beside its core. A subsystem lies in a room (a folder) of its own and
 * says here what it does when a machine is made or entered, when a process ends, and in a domain's
 * life; the core calls it by this table and knows no subsystem by name. A new one adds a row, and
 * its state to struct domain or struct machine.
 *
 * Rooms include each other downwards only: core, then console, xentrace, memory, events, sched,
 * vcpus, grants, ia64, hypercalls, and what joins them (pvdrivers/sim/subsystems.c, hypervisor.c)
 * on top. Of a room, the others see its header (memory.h, events.h, sched.h, grants.h). Only a
 * room's state.h, which declares its structs and needs none of the core, is included from below, to
 * be a member of struct domain and struct machine.
 */
#ifndef PVDRIVERS_SIM_CORE_SUBSYSTEM_H
#define PVDRIVERS_SIM_CORE_SUBSYSTEM_H

#include <stdbool.h>
#include <stdint.h>

struct domain;
struct machine;
struct machine_layout;
struct pv_domain_config;
struct pv_machine;
struct pv_machine_config;
struct sim_hypervisor;

/*
 * In the order in which a domain is made and taken apart:
 *
 * - guest pages: the allocator of the guest's kernel. First to hand out nothing more.
 *
 * - events: making it gives the domain its shape (ABI, vcpus, pages), under the event lock. Taken
 *   apart before grants: the kernel of a dying domain does not notify granters of
 *   unmaps.
 *
 * - xentrace: records that there is the domain, before those of its vcpus.
 *
 * - sched: the vcpus, whose number is the shape's. Taken apart, they leave their CPUs for good.
 *
 * - vcpus: what their guest has asked for them. Taken apart, no timer expires any more.
 *
 * - grants: the table's size follows from the page size. Taken apart before memory: from then on no
 *   call takes a page into use.
 *
 * - memory: gives the domain its pages, and frees those that no peer uses.
 *
 * - ia64: writes to the pages of a guest of that ABI, and takes those away that are holes in its
 * map.
 *
 * - console: the log says that a domain was made, and was taken apart, when that is so.
 *
 * What a process held goes in the reverse order, since its domain's kernel lives on: maps and
 * grants while its ports can still notify the granters, guest pages when no grant of them is left.
 * A view of a domain is opened in this order and closed in the reverse one.
 */
enum subsystem_id {
    SUBSYSTEM_GUEST_PAGES,
    SUBSYSTEM_EVENTS,
    SUBSYSTEM_XENTRACE,
    SUBSYSTEM_SCHED,
    SUBSYSTEM_VCPUS,
    SUBSYSTEM_GRANTS,
    SUBSYSTEM_MEMORY,
    SUBSYSTEM_IA64,
    SUBSYSTEM_CONSOLE,
    SUBSYSTEM_COUNT
};

/* What a subsystem prints to the console when a key is pressed (`xl debug-keys`). */
struct debug_key {
    char key; /* 0: it has none */
    const char *what;
    /* One of them: what it knows of the machine, under no lock; or of each domain, in a read-side
     * section. */
    void (*dump)(struct pv_machine *machine);
    void (*dump_domain)(struct pv_machine *machine, struct domain *d);
};

/* A hook that is NULL has nothing to do. */
struct subsystem {
    /* ---- The machine ---- */
    /* Its state in the head of a new segment, which is zeros. */
    void (*init)(struct machine *shared, const struct pv_machine_config *config);
    /* What each attached process keeps for itself: 0 or a negative errno. */
    int (*attach)(struct pv_machine *machine);
    void (*detach)(struct pv_machine *machine);
    /* The process is about to leave: ends its threads. */
    void (*stop)(struct pv_machine *machine);
    /* Under machine.lock, whose last holder died: its state may be half changed. */
    void (*repair)(struct pv_machine *machine);
    /* A process has ended: does what a kernel does when it closes the device files. Every domain's
     * lock is taken, since the process may have died with it. */
    void (*client_left)(struct pv_machine *machine, uint32_t client);

    /* What it could not do under the locks that were held (rcu_defer). Under no lock. */
    void (*deferred)(struct pv_machine *machine);

    /* ---- Time; under no lock ---- */
    /* When something happens by itself next, ns; UINT64_MAX: never. */
    uint64_t (*next_event)(struct pv_machine *machine);
    /* Has all happen that is due by now. */
    void (*pass_time)(struct pv_machine *machine);
    /* In real time, in the process that made the machine: other processes may enter from now on. 0
     * or a negative errno. */
    int (*serve)(struct pv_machine *machine);

    /* ---- A domain ---- */
    /* Bytes of its area in each domain's window (domain_area). */
    uint64_t (*area_size)(const struct machine_layout *layout);
    /* Bytes of pages that Xen shares with each domain (domain_shared). */
    uint64_t (*shared_size)(const struct machine_layout *layout);
    /* The first machine frame of a guest's page beyond its physmap, or NO_FRAME: also when it may
     * not be written, and is to be. Any lock may be held. */
    uint64_t (*special_page)(struct pv_machine *machine, const struct domain *d, uint64_t gfn,
                             bool write);
    /* The physmap has other pages there now. Under machine.lock. */
    void (*physmap_changed)(struct pv_machine *machine, struct domain *d, uint64_t gfn,
                            uint64_t pages);
    /* Once per domid, before its first domain: locks, which are never wiped. */
    void (*domain_init)(struct domain *d);
    /* 0 or a negative errno; the domain is then taken apart. */
    int (*domain_create)(struct pv_machine *machine, struct domain *d,
                         const struct pv_domain_config *config);
    /* Its state is another one now. Under machine.lock. */
    void (*domain_state_changed)(struct pv_machine *machine, struct domain *d);
    /* One of its vcpus runs no more, or again (pause_flags). `paused` says which; under the
     * domain's event lock or none. */
    void (*vcpu_paused)(struct pv_machine *machine, struct domain *d, uint32_t vcpu, bool paused);
    /* A domain may run from now on. Under no lock. */
    void (*domain_unpaused)(struct pv_machine *machine);
    /* The domain has shut down or was destroyed. Under no lock. */
    void (*domain_ended)(struct pv_machine *machine);
    /* A bounded step of taking a dying domain apart, which may be repeated: where the next begins
     * (the first from 0), or 0 at the end. Under no lock. A call that saw the domain alive is over
     * when it ends. */
    uint64_t (*domain_destroy)(struct pv_machine *machine, struct domain *d, uint64_t from);
    /* Whether something of a domain that was taken apart is still in use. Under machine.lock. */
    bool (*domain_in_use)(struct domain *d);
    /* The domain is no longer used: leaves zeros, for the domid's next one. Its area and the pages
     * that Xen shares with it are zeros already. Under machine.lock. */
    void (*domain_wipe)(struct domain *d);

    /* ---- A process's view of a domain ---- */
    int (*view_open)(struct sim_hypervisor *hv, const struct domain *d);
    void (*view_close)(struct sim_hypervisor *hv);

    struct debug_key debug_key;
};

extern const struct subsystem *const subsystems[SUBSYSTEM_COUNT];

/* For each subsystem that has the hook. */
#define FOR_EACH_SUBSYSTEM(id, hook)                                                               \
    for (unsigned id = 0; id < SUBSYSTEM_COUNT; id++)                                              \
        if (subsystems[id]->hook)
#define FOR_EACH_SUBSYSTEM_REVERSE(id, hook)                                                       \
    for (unsigned id = SUBSYSTEM_COUNT; id-- > 0;)                                                 \
        if (subsystems[id]->hook)

#endif
