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

static void show_help(struct pv_machine *machine)
{
    print_key(machine->shared, 'h', "show this message");
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
    return key == 'h' ? (struct debug_key){'h', "showing installed handlers", .dump = show_help}
                      : (struct debug_key){0};
}

static void dump_domain(struct pv_machine *machine, const struct debug_key *key, domid_t domid)
{
    RCU_SECTION(machine);
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

void pv_console_debug_keys(struct pv_machine *machine, const char *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct debug_key found = find_key(keys[i]);
        char shown = isprint((unsigned char)keys[i]) ? keys[i] : '?';
        if (!found.key) {
            console_print(machine->shared, "'%c' pressed -> no handler; 'h' lists them", shown);
            continue;
        }
        console_print(machine->shared, "'%c' pressed -> %s", shown, found.what);
        dump(machine, &found);
    }
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
