/*
 * A frontend's own pages for data, granted to one backend. The first `buffers` of them are the
 * caller's, to use in place; the others are taken and given back last in, first out, so that pages
 * that stay granted are used again while the backend still has them mapped.
 */
#ifndef FRONTENDS_PAGE_POOL_H
#define FRONTENDS_PAGE_POOL_H

#include "pvdrivers/hypervisor.h"

enum page_state { PAGE_PRIVATE, PAGE_GRANTED, PAGE_LEAKED };

struct page_pool {
    struct pv_hypervisor *hypervisor;
    domid_t backend;
    bool persistent;     /* a page stays granted, for both directions, when it is given back */
    uint32_t page_shift; /* of the page size */
    uint8_t *area;
    uint32_t count, buffers;
    grant_ref_t *grefs;
    enum page_state *states;
    uint32_t *users; /* requests that have asked for a page's grant and not given the page back */
    uint32_t *free, nr_free;
    uint64_t grants_made, grants_ended, grants_leaked; /* also after page_pool_close */
};

/* 0 or a negative errno; page_pool_close also after a failure. */
int page_pool_init(struct page_pool *pool, struct pv_hypervisor *hypervisor, domid_t backend,
                   uint32_t count, uint32_t buffers);
/* Ends every grant and frees the pages, but for those that the backend still uses (XSA-396). */
void page_pool_close(struct page_pool *pool);
/* Whether `bytes` of data lie in the caller's pages. */
bool page_pool_is_buffer(const struct page_pool *pool, const void *data, size_t bytes);
/* Grants a page for a request, unless it is granted already; 0 or a negative errno, and also then
 * the page is to be given back. Requests that use one of the caller's pages at a time share its
 * grant, so all ask for the same direction. */
int page_pool_grant(struct page_pool *pool, uint32_t page, bool readonly);
/* Gives a page back after a request; the last that uses it ends its grant, unless grants are
 * persistent. */
void page_pool_release(struct page_pool *pool, uint32_t page);

/* A free page; there must be one. */
static inline uint32_t page_pool_take(struct page_pool *pool)
{
    return pool->free[--pool->nr_free];
}

static inline uint8_t *page_pool_address(const struct page_pool *pool, uint32_t page)
{
    return pool->area + ((size_t)page << pool->page_shift);
}

/* The page that an address in the pool belongs to. */
static inline uint32_t page_pool_page(const struct page_pool *pool, const uint8_t *address)
{
    return (uint32_t)((size_t)(address - pool->area) >> pool->page_shift);
}

#endif
