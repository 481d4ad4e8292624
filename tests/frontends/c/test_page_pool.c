/* A frontend's pages: which are used again, which stay granted, and which are never freed. */
#include "frontends/page_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BACKEND 3
#define PAGE 4096u
#define PAGES 8u
#define BUFFERS 2u

static uint8_t *area;
static bool granted[PAGES], readonly_grant[PAGES], in_use[PAGES], freed[PAGES];
static bool no_grants;

static void *fake_alloc(struct pv_hypervisor *hypervisor, unsigned count)
{
    (void)hypervisor;
    assert(count == PAGES);
    area = aligned_alloc(PAGE, PAGES * PAGE);
    return area;
}

static int fake_free(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    (void)hypervisor;
    for (size_t first = (size_t)((uint8_t *)address - area) / PAGE; count > 0; count--, first++) {
        assert(!granted[first] && !freed[first]);
        freed[first] = true;
    }
    return 0;
}

static int fake_grant(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                      bool readonly, grant_ref_t *ref)
{
    (void)hypervisor;
    if (no_grants)
        return -ENOSPC;
    size_t number = (size_t)((const uint8_t *)page - area) / PAGE;
    assert(domid == BACKEND && !granted[number]);
    granted[number] = true;
    readonly_grant[number] = readonly;
    *ref = (grant_ref_t)(100 + number);
    return 0;
}

static int fake_end(struct pv_hypervisor *hypervisor, grant_ref_t ref)
{
    (void)hypervisor;
    if (in_use[ref - 100])
        return -EBUSY;
    granted[ref - 100] = false;
    return 0;
}

static struct page_pool new_pool(bool persistent)
{
    static const struct pv_hypervisor_ops ops = {.pages_alloc = fake_alloc,
                                                 .pages_free = fake_free,
                                                 .grant_access = fake_grant,
                                                 .grant_end = fake_end};
    static struct pv_hypervisor hypervisor = {.ops = &ops, .page_size = PAGE};
    struct page_pool pool;
    memset(granted, 0, sizeof granted);
    memset(in_use, 0, sizeof in_use);
    memset(freed, 0, sizeof freed);
    assert(page_pool_init(&pool, &hypervisor, BACKEND, PAGES, BUFFERS) == 0);
    pool.persistent = persistent;
    assert(pool.nr_free == PAGES - BUFFERS);
    return pool;
}

static uint32_t use(struct page_pool *pool, bool readonly)
{
    uint32_t page = page_pool_take(pool);
    assert(page_pool_grant(pool, page, readonly) == 0 && granted[page]);
    assert(pool->grefs[page] == 100 + page);
    return page;
}

static void close_pool(struct page_pool *pool)
{
    page_pool_close(pool);
    page_pool_close(pool); /* does nothing */
    for (uint32_t page = 0; page < PAGES; page++)
        assert(freed[page] != in_use[page]);
    free(area);
}

/* Each use is a grant, for the direction it is about. */
static void test_transient(void)
{
    struct page_pool pool = new_pool(false);
    uint32_t page = use(&pool, true);
    assert(page >= BUFFERS && readonly_grant[page]);
    page_pool_release(&pool, page);
    assert(!granted[page] && use(&pool, false) == page && !readonly_grant[page]);
    page_pool_release(&pool, page);
    assert(pool.grants_made == 2 && pool.grants_ended == 2);
    close_pool(&pool);
}

/* The page given back last is taken next, still granted, and for both directions. */
static void test_persistent(void)
{
    struct page_pool pool = new_pool(true);
    uint32_t first = use(&pool, true), second = use(&pool, true);
    assert(first != second && !readonly_grant[first]);
    page_pool_release(&pool, second);
    page_pool_release(&pool, first);
    assert(use(&pool, false) == first && use(&pool, false) == second && pool.grants_made == 2);
    close_pool(&pool);
    assert(pool.grants_ended == 2 && pool.grants_leaked == 0);
}

/* The caller's pages are granted in place and never handed out as free ones. */
static void test_buffers(void)
{
    struct page_pool pool = new_pool(true);
    assert(page_pool_is_buffer(&pool, area, BUFFERS * PAGE));
    assert(!page_pool_is_buffer(&pool, area, BUFFERS * PAGE + 1));
    assert(!page_pool_is_buffer(&pool, area + BUFFERS * PAGE, 1));
    assert(!page_pool_is_buffer(&pool, area - 1, 1));
    assert(page_pool_page(&pool, area + PAGE) == 1);
    assert(page_pool_grant(&pool, 1, false) == 0);
    page_pool_release(&pool, 1);
    assert(pool.nr_free == PAGES - BUFFERS);
    close_pool(&pool);
}

/* A page of the caller's may be in several requests; the last of them ends its grant. */
static void test_buffer_in_two_requests(void)
{
    struct page_pool pool = new_pool(false);
    assert(page_pool_grant(&pool, 1, false) == 0 && page_pool_grant(&pool, 1, false) == 0);
    assert(pool.grants_made == 1);
    page_pool_release(&pool, 1);
    assert(granted[1]);
    page_pool_release(&pool, 1);
    assert(!granted[1] && pool.grants_ended == 1 && pool.nr_free == PAGES - BUFFERS);
    close_pool(&pool);
}

/* A request that gets no grant gives its page back all the same. */
static void test_no_grant(void)
{
    struct page_pool pool = new_pool(false);
    no_grants = true;
    assert(page_pool_grant(&pool, 1, false) == -ENOSPC);
    no_grants = false;
    page_pool_release(&pool, 1);
    assert(page_pool_grant(&pool, 1, false) == 0 && page_pool_grant(&pool, 1, false) == 0);
    page_pool_release(&pool, 1);
    assert(granted[1] && pool.grants_made == 1);
    page_pool_release(&pool, 1);
    assert(!granted[1]);
    close_pool(&pool);
}

/* A page that the backend still uses is neither used again nor freed (XSA-396). */
static void test_leak(void)
{
    struct page_pool pool = new_pool(false);
    uint32_t page = use(&pool, false);
    in_use[page] = true;
    page_pool_release(&pool, page);
    assert(pool.grants_leaked == 1 && pool.nr_free == PAGES - BUFFERS - 1);
    for (uint32_t left = pool.nr_free; left > 0; left--)
        assert(page_pool_take(&pool) != page);
    close_pool(&pool);
    assert(pool.grants_leaked == 1);
}

int main(void)
{
    test_transient();
    test_persistent();
    test_buffers();
    test_buffer_in_two_requests();
    test_no_grant();
    test_leak();
    return 0;
}
