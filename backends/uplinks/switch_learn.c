/* Which port an address is at. */
#include "backends/uplinks/switch.h"
#include "pvdrivers/ring/barrier.h"

#define EXPIRY_NS 1000000000u /* a full port looks for old entries this often at most */
#define SEEN_PARTS 256        /* of the ageing time: `seen` may be that much too old */

static uint64_t age(const struct mac_entry *entry, uint64_t now)
{
    uint64_t seen = pv_read_once_64(&entry->seen);
    return now > seen ? now - seen : 0; /* threads read the clock one after the other */
}

static bool is_fresh(const struct pv_switch *sw, const struct mac_entry *entry, uint64_t now)
{
    return age(entry, now) <= sw->ageing_ns;
}

bool switch_must_learn(struct switch_port *port, uint64_t key, uint64_t now, uint32_t *refused)
{
    struct mac_entry *entry = mac_table_find(&port->sw->table, key);
    if (entry && entry->port == port) {
        if (age(entry, now) > port->sw->ageing_ns / SEEN_PARTS)
            pv_write_once_64(&entry->seen, now);
        return false;
    }
    if (port->unused || now >= port->next_expiry)
        return true;
    (*refused)++;
    return false;
}

static void forget(struct mac_entry *entry)
{
    mac_table_remove(&entry->port->sw->table, entry);
    entry->next = entry->port->unused;
    entry->port->unused = entry;
    entry->key = 0;
}

/* Entries in use have a key: no source is the address 0. */
static void expire(struct switch_port *port, uint64_t now)
{
    for (uint32_t i = 0; i < port->max_macs; i++)
        if (port->macs[i].key && !is_fresh(port->sw, &port->macs[i], now))
            forget(&port->macs[i]);
    port->next_expiry = now + EXPIRY_NS;
}

void switch_learn(struct switch_port *port, uint64_t key, uint64_t now)
{
    struct pv_switch *sw = port->sw;
    struct mac_entry *entry = mac_table_find(&sw->table, key);
    if (entry && entry->port == port)
        return;
    if (!port->unused && now >= port->next_expiry)
        expire(port, now);
    if (!port->unused) {
        pv_fetch_add_64(&sw->refused, 1);
        return;
    }
    if (entry) {
        sw->moved += is_fresh(sw, entry, now);
        forget(entry);
    }
    entry = port->unused;
    port->unused = entry->next;
    *entry = (struct mac_entry){.key = key, .seen = now, .port = port};
    mac_table_insert(&sw->table, entry);
}

void switch_forget_all(struct switch_port *port)
{
    for (uint32_t i = 0; i < port->max_macs; i++)
        if (port->macs[i].key)
            forget(&port->macs[i]);
}

struct switch_port *switch_find(struct pv_switch *sw, uint64_t key, uint64_t now)
{
    struct mac_entry *entry = mac_table_find(&sw->table, key);
    return entry && is_fresh(sw, entry, now) ? entry->port : NULL;
}
