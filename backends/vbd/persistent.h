/* Grants that stay mapped between requests (feature-persistent), by reference, least recently
 * used first out. */
#ifndef BACKENDS_VBD_PERSISTENT_H
#define BACKENDS_VBD_PERSISTENT_H

#include "pvdrivers/blkif.h"
#include "pvdrivers/hypervisor.h"

#define PERSISTENT_UNUSED_LIMIT 60000000000u /* ns without use after which a grant is dropped */

struct persistent_grant {
    grant_ref_t ref;
    grant_handle_t handle;
    void *address; /* NULL: the map failed */
    uint32_t users;
    uint64_t last_used;                   /* ns */
    struct persistent_grant *chain;       /* same hash, or the free list */
    struct persistent_grant *prev, *next; /* unused ones, oldest first */
};

struct persistent_cache {
    struct pv_hypervisor *hypervisor;
    domid_t domid;
    uint32_t limit, count, bucket_mask;
    struct persistent_grant *grants, *free;
    uint32_t made; /* of the grants; the others have never been used */
    struct persistent_grant **buckets;
    size_t size;                    /* bytes, of the grants and the buckets behind them */
    struct persistent_grant unused; /* ends of the list */
    uint64_t maps, unmaps;
};

int persistent_init(struct persistent_cache *cache, struct pv_hypervisor *hypervisor, domid_t domid,
                    uint32_t limit);
/* Unmaps everything; no grant may be in use. */
void persistent_destroy(struct persistent_cache *cache);
/* Finds or maps the grants of `count` segments, read/write. -ENOSPC: more than the cache can
 * hold now; -EFAULT: a map failed. Nothing is held then. */
int persistent_acquire(struct persistent_cache *cache, const struct pv_blkif_segment *segments,
                       uint32_t count, struct persistent_grant **grants);
void persistent_release(struct persistent_cache *cache, struct persistent_grant **grants,
                        uint32_t count, uint64_t now);
/* Unmaps what has not been used for PERSISTENT_UNUSED_LIMIT. */
void persistent_expire(struct persistent_cache *cache, uint64_t now);

#endif
