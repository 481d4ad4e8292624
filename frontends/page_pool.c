#include "frontends/page_pool.h"

#include <errno.h>
#include <stdlib.h>

int page_pool_init(struct page_pool *pool, struct pv_hypervisor *hypervisor, domid_t backend,
                   uint32_t count, uint32_t buffers)
{
    *pool = (struct page_pool){.hypervisor = hypervisor,
                               .backend = backend,
                               .page_shift = (uint32_t)__builtin_ctz(hypervisor->page_size)};
    pool->grefs = calloc(count, sizeof(*pool->grefs));
    pool->states = calloc(count, sizeof(*pool->states));
    pool->users = calloc(count, sizeof(*pool->users));
    pool->free = calloc(count, sizeof(*pool->free));
    if (!pool->grefs || !pool->states || !pool->users || !pool->free)
        return -ENOMEM;
    pool->area = hypervisor->ops->pages_alloc(hypervisor, count);
    if (!pool->area)
        return -errno;
    pool->count = count;
    pool->buffers = buffers;
    for (uint32_t page = count; page > buffers; page--)
        pool->free[pool->nr_free++] = page - 1;
    return 0;
}

bool page_pool_is_buffer(const struct page_pool *pool, const void *data, size_t bytes)
{
    size_t size = (size_t)pool->buffers << pool->page_shift;
    uintptr_t offset = (uintptr_t)data - (uintptr_t)pool->area;
    return offset < size && bytes <= size - offset;
}

/* Apart, so that a page that is granted already costs no saved registers. */
__attribute__((noinline)) static int make_grant(struct page_pool *pool, uint32_t page,
                                                bool readonly)
{
    /* The backend maps a persistent grant once, for requests of both directions. */
    int error = pool->hypervisor->ops->grant_access(
        pool->hypervisor, pool->backend, page_pool_address(pool, page),
        readonly && !pool->persistent, &pool->grefs[page]);
    if (error)
        return error;
    pool->states[page] = PAGE_GRANTED;
    pool->grants_made++;
    return 0;
}

int page_pool_grant(struct page_pool *pool, uint32_t page, bool readonly)
{
    pool->users[page]++;
    return pool->states[page] == PAGE_GRANTED ? 0 : make_grant(pool, page, readonly);
}

static void end_grant(struct page_pool *pool, uint32_t page)
{
    if (pool->states[page] != PAGE_GRANTED)
        return;
    if (pool->hypervisor->ops->grant_end(pool->hypervisor, pool->grefs[page])) {
        pool->states[page] = PAGE_LEAKED; /* the backend may still write to it (XSA-396) */
        pool->grants_leaked++;
        return;
    }
    pool->states[page] = PAGE_PRIVATE;
    pool->grants_ended++;
}

void page_pool_release(struct page_pool *pool, uint32_t page)
{
    if (--pool->users[page] == 0 && !pool->persistent)
        end_grant(pool, page);
    if (page >= pool->buffers && pool->states[page] != PAGE_LEAKED)
        pool->free[pool->nr_free++] = page;
}

static void free_pages(struct page_pool *pool, uint32_t first, uint32_t end)
{
    if (end > first)
        pool->hypervisor->ops->pages_free(pool->hypervisor, page_pool_address(pool, first),
                                          end - first);
}

void page_pool_close(struct page_pool *pool)
{
    uint32_t first = 0; /* of a run of pages that may be freed */
    for (uint32_t page = 0; page < pool->count; page++) {
        end_grant(pool, page);
        if (pool->states[page] != PAGE_LEAKED)
            continue;
        free_pages(pool, first, page);
        first = page + 1;
    }
    free_pages(pool, first, pool->count);
    free(pool->grefs);
    free(pool->states);
    free(pool->users);
    free(pool->free);
    *pool = (struct page_pool){.grants_made = pool->grants_made,
                               .grants_ended = pool->grants_ended,
                               .grants_leaked = pool->grants_leaked};
}
