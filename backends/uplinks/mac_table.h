/*
 * Which port an address was last seen at, for each VLAN. An entry belongs to the port's memory; the
 * table only leads to it. The owner locks: what changes the table or an entry excludes all others.
 */
#ifndef BACKENDS_UPLINKS_MAC_TABLE_H
#define BACKENDS_UPLINKS_MAC_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct switch_port;

struct mac_entry {
    uint64_t key;  /* the address, and above it the VLAN */
    uint64_t seen; /* ns; written once, by any who finds the entry */
    struct switch_port *port;
    struct mac_entry *next; /* of the bucket, or unused */
};

struct mac_table {
    struct mac_entry **buckets;
    uint32_t size; /* of buckets, a power of two */
    uint64_t seed; /* secret, so that a guest cannot choose addresses of one bucket */
};

int mac_table_init(struct mac_table *table); /* 0 or a negative errno */
void mac_table_destroy(struct mac_table *table);
/* Makes it fast for so many entries. 0 or -ENOMEM. */
int mac_table_reserve(struct mac_table *table, uint32_t entries);
struct mac_entry *mac_table_find(const struct mac_table *table, uint64_t key);
void mac_table_insert(struct mac_table *table, struct mac_entry *entry);
void mac_table_remove(struct mac_table *table, struct mac_entry *entry);

#endif
