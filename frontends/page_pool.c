/* The granted pages of a block frontend's queue. */
#include "frontends/vbd/blkfront_private.h"

#include <stdlib.h>

int pv_blkfront_pool_init(struct pv_blkfront_queue *queue, uint32_t count, uint32_t buffers)
{
    struct page_pool *pool = &queue->pool;
    pool->grefs = calloc(count, sizeof(*pool->grefs));
    pool->states = calloc(count, sizeof(*pool->states));
    pool->free = calloc(count, sizeof(*pool->free));
    if (!pool->grefs || !pool->states || !pool->free)
        return -ENOMEM;
    pool->area = queue->hypervisor->ops->pages_alloc(queue->hypervisor, count);
    if (!pool->area)
        return -errno;
    pool->count = count;
    pool->buffers = buffers;
    for (uint32_t page = count; page > buffers; page--)
        pool->free[pool->nr_free++] = page - 1;
    return 0;
}

bool pv_blkfront_in_buffers(const struct pv_blkfront_queue *queue, const void *data, size_t bytes)
{
    size_t size = (size_t)queue->pool.buffers * queue->hypervisor->page_size;
    uintptr_t offset = (uintptr_t)data - (uintptr_t)queue->pool.area;
    return offset < size && bytes <= size - offset;
}

int pv_blkfront_grant_page(struct pv_blkfront_queue *queue, uint32_t page, bool readonly)
{
    struct page_pool *pool = &queue->pool;
    if (pool->states[page] == PAGE_GRANTED)
        return 0;
    /* The backend maps a persistent grant once, for requests of both directions. */
    int error = queue->hypervisor->ops->grant_access(
        queue->hypervisor, queue->config.backend, page_address(queue, page),
        readonly && !queue->config.persistent, &pool->grefs[page]);
    if (error)
        return error;
    pool->states[page] = PAGE_GRANTED;
    queue->stats.grants_made++;
    return 0;
}

static void end_grant(struct pv_blkfront_queue *queue, uint32_t page)
{
    struct page_pool *pool = &queue->pool;
    if (pool->states[page] != PAGE_GRANTED)
        return;
    if (queue->hypervisor->ops->grant_end(queue->hypervisor, pool->grefs[page])) {
        pool->states[page] = PAGE_LEAKED; /* the backend may still write to it (XSA-396) */
        queue->stats.grants_leaked++;
        return;
    }
    pool->states[page] = PAGE_PRIVATE;
    queue->stats.grants_ended++;
}

void pv_blkfront_release_page(struct pv_blkfront_queue *queue, uint32_t page)
{
    struct page_pool *pool = &queue->pool;
    if (!queue->config.persistent)
        end_grant(queue, page);
    if (page >= pool->buffers && pool->states[page] != PAGE_LEAKED)
        pool->free[pool->nr_free++] = page;
}

void pv_blkfront_pool_close(struct pv_blkfront_queue *queue)
{
    struct page_pool *pool = &queue->pool;
    const struct pv_hypervisor_ops *ops = queue->hypervisor->ops;
    uint32_t first = 0; /* of a run of pages that may be freed */
    for (uint32_t page = 0; page < pool->count; page++) {
        end_grant(queue, page);
        if (pool->states[page] != PAGE_LEAKED)
            continue;
        if (page > first)
            ops->pages_free(queue->hypervisor, page_address(queue, first), page - first);
        first = page + 1;
    }
    if (pool->count > first)
        ops->pages_free(queue->hypervisor, page_address(queue, first), pool->count - first);
    free(pool->grefs);
    free(pool->states);
    free(pool->free);
    *pool = (struct page_pool){0};
}
