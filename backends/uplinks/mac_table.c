#include "backends/uplinks/mac_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_SIZE 64u

int mac_table_init(struct mac_table *table)
{
    *table = (struct mac_table){.size = FIRST_SIZE};
    if (getrandom(&table->seed, sizeof table->seed, 0) != (ssize_t)sizeof table->seed)
        return -errno;
    table->buckets = calloc(FIRST_SIZE, sizeof table->buckets[0]);
    return table->buckets ? 0 : -ENOMEM;
}

void mac_table_destroy(struct mac_table *table)
{
    free(table->buckets);
}

static struct mac_entry **bucket(const struct mac_table *table, uint64_t key)
{
    uint64_t z = (key ^ table->seed) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 29) ^ table->seed) * 0x94d049bb133111ebu;
    return &table->buckets[(z >> 32) & (table->size - 1)];
}

int mac_table_reserve(struct mac_table *table, uint32_t entries)
{
    struct mac_table larger = *table;
    while (larger.size < entries)
        larger.size *= 2;
    if (larger.size == table->size)
        return 0;
    larger.buckets = calloc(larger.size, sizeof larger.buckets[0]);
    if (!larger.buckets)
        return -ENOMEM;
    for (uint32_t i = 0; i < table->size; i++)
        while (table->buckets[i]) {
            struct mac_entry *entry = table->buckets[i];
            table->buckets[i] = entry->next;
            mac_table_insert(&larger, entry);
        }
    free(table->buckets);
    *table = larger;
    return 0;
}

struct mac_entry *mac_table_find(const struct mac_table *table, uint64_t key)
{
    struct mac_entry *entry = *bucket(table, key);
    while (entry && entry->key != key)
        entry = entry->next;
    return entry;
}

void mac_table_insert(struct mac_table *table, struct mac_entry *entry)
{
    struct mac_entry **first = bucket(table, entry->key);
    entry->next = *first;
    *first = entry;
}

void mac_table_remove(struct mac_table *table, struct mac_entry *entry)
{
    struct mac_entry **link = bucket(table, entry->key);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
}
