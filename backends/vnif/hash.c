/* The hash of a packet for the guest, and the queue that goes with it. */
#include "backends/vnif/netback_private.h"

bool netback_hash_valid(const struct netback_hash *hash)
{
    return hash->algorithm <= XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ &&
           !(hash->types & ~(uint32_t)NETBACK_HASH_TYPES) && hash->key_size <= PV_HASH_MAX_KEY &&
           hash->mapping_size <= PV_NETBACK_MAX_MAPPING;
}

void netback_hash_packet(const struct netback_hash *hash, struct rx_entry *entry)
{
    if (hash->algorithm == XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ)
        entry->hashed = pv_packet_toeplitz(entry->packet, hash->types, hash->key, hash->key_size,
                                           &entry->hash_type, &entry->hash);
}

uint32_t netback_hash_queue(const struct netback_hash *hash, const struct rx_entry *entry,
                            uint32_t queues)
{
    uint32_t value = entry->hashed ? entry->hash : 0;
    if (hash->mapping_size == 0)
        return value % queues;
    return hash->mapping[value % hash->mapping_size] % queues;
}
