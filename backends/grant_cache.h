/* Grants of one domain that stay mapped between requests, by reference. When the cache is full, the
 * least recently used goes first. */
#ifndef BACKENDS_GRANT_CACHE_H
#define BACKENDS_GRANT_CACHE_H

#include "pvdrivers/hypervisor.h"

#define GRANT_CACHE_UNUSED_LIMIT 60000000000u /* ns without use after which a grant is dropped */

struct cached_grant {
    grant_ref_t ref;
    grant_handle_t handle;
    void *address; /* NULL: the map failed */
    uint32_t users;
    uint64_t last_used;               /* ns */
    struct cached_grant *chain;       /* same hash, or the free list */
    struct cached_grant *prev, *next; /* unused ones, oldest first */
};

struct grant_cache {
    struct pv_hypervisor *hypervisor;
    domid_t domid;
    uint32_t limit, count, bucket_mask;
    struct cached_grant *grants, *free;
    uint32_t made; /* of the grants; the others have never been used */
    struct cached_grant **buckets;
    size_t size;                /* bytes, of the grants and the buckets behind them */
    struct cached_grant unused; /* ends of the list */
    uint64_t maps, unmaps;
};

int grant_cache_init(struct grant_cache *cache, struct pv_hypervisor *hypervisor, domid_t domid,
                     uint32_t limit);
/* Unmaps everything; no grant may be in use. */
void grant_cache_destroy(struct grant_cache *cache);
/* Finds or maps `count` grants, read/write. The references may lie in descriptors: `stride` is the
 * distance from one to the next, bytes. -ENOSPC: more than the cache can hold now; -EFAULT: a map
 * failed. Nothing is held then. */
int grant_cache_acquire(struct grant_cache *cache, const grant_ref_t *refs, size_t stride,
                        uint32_t count, struct cached_grant **grants);
void grant_cache_release(struct grant_cache *cache, struct cached_grant **grants, uint32_t count,
                         uint64_t now);
/* Unmaps what has not been used for GRANT_CACHE_UNUSED_LIMIT. */
void grant_cache_expire(struct grant_cache *cache, uint64_t now);

#endif
