#include "backends/grant_cache.h"
#include "backends/reserve.h"

#include <errno.h>

#define BATCH 64

static struct cached_grant **bucket(struct grant_cache *cache, grant_ref_t ref)
{
    return &cache->buckets[(ref * 2654435761u >> 8) & cache->bucket_mask];
}

static struct cached_grant *find(struct grant_cache *cache, grant_ref_t ref)
{
    struct cached_grant *grant = *bucket(cache, ref);
    while (grant && grant->ref != ref)
        grant = grant->chain;
    return grant;
}

static void unused_remove(struct cached_grant *grant)
{
    grant->prev->next = grant->next;
    grant->next->prev = grant->prev;
}

static void unused_append(struct grant_cache *cache, struct cached_grant *grant)
{
    grant->prev = cache->unused.prev;
    grant->next = &cache->unused;
    grant->prev->next = grant;
    cache->unused.prev = grant;
}

static void forget(struct grant_cache *cache, struct cached_grant *grant)
{
    struct cached_grant **link = bucket(cache, grant->ref);
    while (*link != grant)
        link = &(*link)->chain;
    *link = grant->chain;
    grant->chain = cache->free;
    cache->free = grant;
    cache->count--;
}

/* Unmaps the oldest unused grants, at most `most`, those last used before `before`. */
static void drop_oldest(struct grant_cache *cache, uint32_t most, uint64_t before)
{
    struct pv_grant_map maps[BATCH];
    uint32_t staged = 0;
    struct cached_grant *oldest = cache->unused.next;
    while (most-- > 0 && oldest != &cache->unused && oldest->last_used < before) {
        maps[staged++] = (struct pv_grant_map){.ref = oldest->ref,
                                               .domid = cache->domid,
                                               .flags = GNTMAP_host_map,
                                               .handle = oldest->handle,
                                               .address = oldest->address};
        unused_remove(oldest);
        forget(cache, oldest);
        oldest = cache->unused.next;
        if (staged == BATCH) {
            cache->hypervisor->ops->gnttab_unmap(cache->hypervisor, maps, staged);
            cache->unmaps += staged;
            staged = 0;
        }
    }
    if (staged) {
        cache->hypervisor->ops->gnttab_unmap(cache->hypervisor, maps, staged);
        cache->unmaps += staged;
    }
}

int grant_cache_init(struct grant_cache *cache, struct pv_hypervisor *hypervisor, domid_t domid,
                     uint32_t limit)
{
    uint32_t buckets = 64;
    while (buckets < limit)
        buckets *= 2;
    *cache = (struct grant_cache){
        .hypervisor = hypervisor, .domid = domid, .limit = limit, .bucket_mask = buckets - 1};
    cache->unused.prev = cache->unused.next = &cache->unused;
    cache->size = limit * sizeof *cache->grants + buckets * sizeof(void *);
    cache->grants = reserve(cache->size); /* most queues need few of them */
    if (!cache->grants)
        return -ENOMEM;
    cache->buckets = (void *)(cache->grants + limit);
    return 0;
}

void grant_cache_destroy(struct grant_cache *cache)
{
    if (!cache->grants)
        return;
    drop_oldest(cache, UINT32_MAX, UINT64_MAX);
    munmap(cache->grants, cache->size);
    cache->grants = NULL;
    cache->buckets = NULL;
}

static struct cached_grant *take_free(struct grant_cache *cache)
{
    if (!cache->free && cache->made < cache->limit)
        return &cache->grants[cache->made++];
    if (!cache->free) {
        uint32_t purge = cache->limit / 20; /* Linux: LRU_PERCENT_CLEAN 5 */
        drop_oldest(cache, purge ? purge : 1, UINT64_MAX);
    }
    struct cached_grant *grant = cache->free;
    if (grant)
        cache->free = grant->chain;
    return grant;
}

static struct cached_grant *insert(struct grant_cache *cache, grant_ref_t ref)
{
    struct cached_grant *grant = take_free(cache);
    if (!grant)
        return NULL;
    cache->count++;
    grant->ref = ref;
    grant->address = NULL;
    grant->users = 0;
    grant->last_used = 0;
    struct cached_grant **head = bucket(cache, ref);
    grant->chain = *head;
    *head = grant;
    return grant;
}

static bool map(struct grant_cache *cache, struct cached_grant **grants, uint32_t count)
{
    struct pv_grant_map maps[BATCH];
    for (uint32_t i = 0; i < count; i++)
        maps[i] = (struct pv_grant_map){.ref = grants[i]->ref,
                                        .domid = cache->domid,
                                        .flags = GNTMAP_host_map,
                                        .status = GNTST_general_error};
    if (count == 0 || cache->hypervisor->ops->gnttab_map(cache->hypervisor, maps, count) < 0)
        return count == 0;
    bool all = true;
    for (uint32_t i = 0; i < count; i++) {
        /* Any non-zero status is a failure, whatever its sign (XSA-316). */
        if (maps[i].status != GNTST_okay) {
            all = false;
            continue;
        }
        grants[i]->address = maps[i].address;
        grants[i]->handle = maps[i].handle;
        cache->maps++;
    }
    return all;
}

int grant_cache_acquire(struct grant_cache *cache, const grant_ref_t *refs, size_t stride,
                        uint32_t count, struct cached_grant **grants)
{
    struct cached_grant *missing[BATCH];
    uint32_t missing_count = 0, held = 0;
    int status = 0;
    for (; held < count && status == 0; held++) {
        grant_ref_t ref = *(const grant_ref_t *)((const uint8_t *)refs + held * stride);
        struct cached_grant *grant = find(cache, ref);
        if (!grant) {
            grant = insert(cache, ref);
            if (!grant) {
                status = -ENOSPC;
                break;
            }
            missing[missing_count++] = grant;
        } else if (grant->users == 0) {
            unused_remove(grant);
        }
        grant->users++;
        grants[held] = grant;
        if (missing_count == BATCH) {
            status = map(cache, missing, missing_count) ? 0 : -EFAULT;
            missing_count = 0;
        }
    }
    if (status == 0 && !map(cache, missing, missing_count))
        status = -EFAULT;
    if (status < 0)
        grant_cache_release(cache, grants, held, 0);
    return status;
}

void grant_cache_release(struct grant_cache *cache, struct cached_grant **grants, uint32_t count,
                         uint64_t now)
{
    for (uint32_t i = 0; i < count; i++) {
        struct cached_grant *grant = grants[i];
        if (--grant->users > 0)
            continue;
        if (!grant->address) {
            forget(cache, grant);
            continue;
        }
        if (now > grant->last_used)
            grant->last_used = now;
        unused_append(cache, grant);
    }
}

void grant_cache_expire(struct grant_cache *cache, uint64_t now)
{
    if (now > GRANT_CACHE_UNUSED_LIMIT)
        drop_oldest(cache, UINT32_MAX, now - GRANT_CACHE_UNUSED_LIMIT);
}
