/* The cache of grants that stay mapped, by itself: what it drops, and when. */
#include "backends/grant_cache.h"
#include "tests/backends/vbd/c/loopback.h"

#define LIMIT 60u
#define MINUTE GRANT_CACHE_UNUSED_LIMIT

static void set_up(struct loopback *loop, struct grant_cache *cache, uint32_t limit)
{
    loopback_config(loop, PV_ABI_X86_64, NULL);
    assert(grant_cache_init(cache, &loop->hypervisor, GUEST, limit) == 0);
}

static void tear_down(struct loopback *loop, struct grant_cache *cache)
{
    grant_cache_destroy(cache);
    assert(loop->mapped == 0 && cache->maps == cache->unmaps);
    free(loop->memory);
}

/* Uses `count` grants from `first` on, until `now`; as grant_cache_acquire. */
static int use(struct grant_cache *cache, grant_ref_t first, uint32_t count, uint64_t now)
{
    grant_ref_t refs[256];
    struct cached_grant *grants[256];
    for (uint32_t i = 0; i < count; i++)
        refs[i] = first + i;
    int status = grant_cache_acquire(cache, refs, sizeof refs[0], count, grants);
    if (status == 0)
        grant_cache_release(cache, grants, count, now);
    return status;
}

/* Whether the grants are mapped already; leaves them as the last used. */
static bool are_cached(struct grant_cache *cache, grant_ref_t first, uint32_t count, uint64_t now)
{
    uint64_t before = cache->maps;
    assert(use(cache, first, count, now) == 0);
    return cache->maps == before;
}

/* A grant goes when it was not used for a minute, and no sooner. */
static void test_only_what_is_old_expires(void)
{
    struct loopback loop;
    struct grant_cache cache;
    set_up(&loop, &cache, LIMIT);
    use(&cache, 10, 5, 1000);
    use(&cache, 20, 3, 2000);
    grant_cache_expire(&cache, 3000); /* the clock is young: nothing can be old */
    grant_cache_expire(&cache, MINUTE);
    grant_cache_expire(&cache, MINUTE + 1000);
    assert(loop.mapped == 8 && cache.count == 8);
    grant_cache_expire(&cache, MINUTE + 1001);
    assert(loop.mapped == 3 && cache.count == 3);
    assert(are_cached(&cache, 20, 3, 3000));
    grant_cache_expire(&cache, MINUTE + 2001); /* used again since */
    assert(loop.mapped == 3);
    tear_down(&loop, &cache);
}

/* A full cache drops the least recently used twentieth, as Linux does, and keeps the rest. */
static void test_a_full_cache_drops_a_twentieth(void)
{
    struct loopback loop;
    struct grant_cache cache;
    set_up(&loop, &cache, LIMIT);
    for (uint32_t i = 0; i < LIMIT; i++)
        use(&cache, 100 + i, 1, 1000 + i);
    use(&cache, 100, 1, 5000); /* 101 is the oldest now */
    assert(loop.mapped == LIMIT);
    use(&cache, 500, 1, 6000);
    assert(loop.mapped == LIMIT - LIMIT / 20 + 1);
    assert(are_cached(&cache, 100, 1, 7000) && are_cached(&cache, 104, LIMIT - 4, 7000));
    assert(!are_cached(&cache, 101, 3, 8000));
    tear_down(&loop, &cache);
}

/* The smallest caches drop one grant at a time. */
static void test_a_small_cache_drops_one(void)
{
    struct loopback loop;
    struct grant_cache cache;
    set_up(&loop, &cache, 3);
    for (grant_ref_t ref = 10; ref < 14; ref++)
        use(&cache, ref, 1, ref);
    assert(loop.mapped == 3 && are_cached(&cache, 11, 3, 20));
    tear_down(&loop, &cache);
}

/* More grants than the hypervisor is given in one call are dropped all the same. */
static void test_many_expire_at_once(void)
{
    struct loopback loop;
    struct grant_cache cache;
    set_up(&loop, &cache, 256);
    for (uint32_t count = 63; count <= 200; count = count < 65 ? count + 1 : count + 45) {
        use(&cache, 10, count, 1000);
        grant_cache_expire(&cache, MINUTE + 1001);
        assert(loop.mapped == 0 && cache.count == 0 && cache.maps == cache.unmaps);
    }
    tear_down(&loop, &cache);
}

/* What is in use is neither expired nor purged: a request that finds no room holds nothing. */
static void test_grants_in_use_stay(void)
{
    struct loopback loop;
    struct grant_cache cache;
    static const struct {
        uint64_t other;
        grant_ref_t ref;
    } descriptors[] = {{0, 10}, {0, 11}, {0, 10}}; /* of some protocol */
    struct cached_grant *grants[3];
    set_up(&loop, &cache, 3);
    assert(grant_cache_acquire(&cache, &descriptors[0].ref, sizeof descriptors[0], 3, grants) == 0);
    assert(grants[0] == grants[2] && grants[0]->address == loopback_page(&loop, 10));
    grant_cache_expire(&cache, UINT64_MAX);
    assert(loop.mapped == 2);
    assert(use(&cache, 20, 2, 1000) == -ENOSPC && cache.count <= 3);
    assert(use(&cache, 20, 1, 1000) == 0);
    grant_cache_release(&cache, grants, 1, 1000); /* its other user holds it */
    grant_cache_expire(&cache, UINT64_MAX);
    assert(loop.mapped == 2);
    grant_cache_release(&cache, grants + 1, 2, 1000);
    grant_cache_expire(&cache, UINT64_MAX);
    assert(loop.mapped == 0);
    tear_down(&loop, &cache);
}

int main(void)
{
    test_only_what_is_old_expires();
    test_a_full_cache_drops_a_twentieth();
    test_a_small_cache_drops_one();
    test_many_expire_at_once();
    test_grants_in_use_stay();
    return 0;
}
