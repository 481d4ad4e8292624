/* Debug keys: each subsystem may have one, by which it prints what it knows. */
#include "pvdrivers/sim/console.h"
#include "pvdrivers/sim/console/console.h"
#include "pvdrivers/sim/core/rcu.h"

#include <ctype.h>
#include <inttypes.h>

static void print_key(struct machine *shared, char key, const char *what)
{
    console_print(shared, " key '%c' (ascii '%02x') => %s", key, (unsigned char)key, what);
}

static void show_time(struct pv_machine *machine)
{
    uint64_t next = pv_machine_next_event(machine);
    console_print(machine->shared, "    %s time: %" PRIu64 " ns",
                  machine->shared->virtual_time ? "virtual" : "real", pv_machine_now(machine));
    if (next == UINT64_MAX)
        console_print(machine->shared, "    no timer is set");
    else
        console_print(machine->shared, "    next timer: %" PRIu64 " ns", next);
}

static void show_help(struct pv_machine *machine);

/* Of the core. */
static const struct debug_key own_keys[] = {
    {'h', "showing installed handlers", .dump = show_help},
    {'t', "display clock info", .dump = show_time},
};
#define OWN_KEYS (sizeof own_keys / sizeof own_keys[0])

static void show_help(struct pv_machine *machine)
{
    for (unsigned i = 0; i < OWN_KEYS; i++)
        print_key(machine->shared, own_keys[i].key, own_keys[i].what);
    for (unsigned id = 0; id < SUBSYSTEM_COUNT; id++)
        if (subsystems[id]->debug_key.key)
            print_key(machine->shared, subsystems[id]->debug_key.key,
                      subsystems[id]->debug_key.what);
}

static struct debug_key find_key(char key)
{
    for (unsigned id = 0; id < SUBSYSTEM_COUNT; id++)
        if (key && subsystems[id]->debug_key.key == key)
            return subsystems[id]->debug_key;
    for (unsigned i = 0; i < OWN_KEYS; i++)
        if (own_keys[i].key == key)
            return own_keys[i];
    return (struct debug_key){0};
}

static void dump_domain(struct pv_machine *machine, const struct debug_key *key, domid_t domid)
{
    struct domain *d = find_domain(machine, domid);
    if (d)
        key->dump_domain(machine, d);
}

static void dump(struct pv_machine *machine, const struct debug_key *key)
{
    if (key->dump)
        key->dump(machine);
    else
        for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++)
            dump_domain(machine, key, (domid_t)domid);
}

static void press(struct pv_machine *machine, char key)
{
    RCU_SECTION(machine);
    struct debug_key found = find_key(key);
    char shown = isprint((unsigned char)key) ? key : '?';
    if (found.key) {
        console_print(machine->shared, "'%c' pressed -> %s", shown, found.what);
        dump(machine, &found);
    } else {
        console_print(machine->shared, "'%c' pressed -> no handler; 'h' lists them", shown);
    }
}

void pv_console_debug_keys(struct pv_machine *machine, const char *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        press(machine, keys[i]);
}

/* ---- The core's own -------------------------------------------------------------------------- */

void console_dump_domain(struct pv_machine *machine, struct domain *d)
{
    static const char *const states[] = {"absent",   "paused",  "running",
                                         "shutdown", "crashed", "dying"};
    struct pv_domain_info info;
    uint64_t accounts[PV_ACCOUNT_COUNT];
    struct machine *shared = machine->shared;
    domid_t domid = d->domain_id;
    if (pv_domain_info(machine, domid, &info) || pv_domain_accounts(machine, domid, accounts))
        return;
    console_print(shared, "General information for domain %u:", domid);
    console_print(shared, "    state=%s privileged=%d vcpus=%" PRIu32 " generation=%" PRIu64,
                  states[info.state], info.privileged, info.vcpus, info.generation);
    console_print(shared, "    nr_pages=%" PRIu64 " max_pages=%" PRIu64 " page_size=%" PRIu32,
                  info.pages, info.max_pages, info.page_size);
    console_print(shared, "    events sent=%" PRIu64 " upcalls=%" PRIu64 " grants mapped=%" PRIu64,
                  accounts[PV_ACCOUNT_EVTCHN_SEND], accounts[PV_ACCOUNT_UPCALL],
                  accounts[PV_ACCOUNT_GRANTS_MAPPED]);
}
