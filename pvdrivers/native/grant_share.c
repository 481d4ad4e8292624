/* Grants of this domain's own pages, over gntalloc: the kernel makes a page and its grant together,
 * so a private page and its granted twin take each other's place. */
#include "pvdrivers/native/hypervisor.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct native_grant {
    void *page;
    grant_ref_t ref;
};

static int compare_refs(const void *a, const void *b)
{
    grant_ref_t x = ((const struct native_grant *)a)->ref,
                y = ((const struct native_grant *)b)->ref;
    return (x > y) - (x < y);
}

static int compare_pages(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct native_grant *)a)->page;
    uintptr_t y = (uintptr_t)((const struct native_grant *)b)->page;
    return (x > y) - (x < y);
}

static struct native_grant *find(void *const *tree, struct native_grant key,
                                 int (*compare)(const void *, const void *))
{
    struct native_grant **found = tfind(&key, tree, compare);
    return found ? *found : NULL;
}

static bool is_granted(struct native_hypervisor *hv, void *page)
{
    return find(&hv->grants_by_page, (struct native_grant){.page = page}, compare_pages);
}

static int remember(struct native_hypervisor *hv, void *page, grant_ref_t ref)
{
    struct native_grant *grant = malloc(sizeof *grant);
    if (!grant)
        return -ENOMEM;
    *grant = (struct native_grant){page, ref};
    if (!tsearch(grant, &hv->grants_by_ref, compare_refs)) {
        free(grant);
        return -ENOMEM;
    }
    if (!tsearch(grant, &hv->grants_by_page, compare_pages)) {
        tdelete(grant, &hv->grants_by_ref, compare_refs);
        free(grant);
        return -ENOMEM;
    }
    return 0;
}

static void forget(struct native_hypervisor *hv, struct native_grant *grant)
{
    tdelete(grant, &hv->grants_by_ref, compare_refs);
    tdelete(grant, &hv->grants_by_page, compare_pages);
    free(grant);
}

static void *private_pages(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

/* Puts the page at `twin`, with the contents of `page`, in its place, in one step: no address is
 * ever unmapped in between. `twin` is gone afterwards, whatever comes of it. */
static int take_place(void *page, void *twin, size_t size)
{
    memcpy(twin, page, size);
    if (mremap(twin, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, page) != MAP_FAILED)
        return 0;
    int error = native_error();
    munmap(twin, size);
    return error;
}

void *native_pages_alloc(struct pv_hypervisor *hypervisor, unsigned count)
{
    return private_pages((size_t)count * hypervisor->page_size);
}

int native_pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    struct native_hypervisor *hv = to_native(hypervisor);
    bool busy = false;
    pthread_mutex_lock(&hv->lock);
    for (unsigned i = 0; i < count && !busy; i++)
        busy = is_granted(hv, (uint8_t *)address + (size_t)i * hypervisor->page_size);
    pthread_mutex_unlock(&hv->lock);
    if (busy)
        return -EBUSY;
    return native_result(munmap(address, (size_t)count * hypervisor->page_size));
}

/* Under the lock. */
static int share(struct native_hypervisor *hv, domid_t domid, void *page, bool readonly,
                 grant_ref_t *ref)
{
    if (is_granted(hv, page))
        return -EBUSY;
    if (!hv->gntshr)
        hv->gntshr = hv->libraries.xengntshr_open(&native_quiet_logger, 0);
    void *twin = hv->gntshr
                     ? hv->libraries.xengntshr_share_pages(hv->gntshr, domid, 1, ref, !readonly)
                     : NULL;
    if (!twin)
        return native_error();
    int error = remember(hv, page, *ref);
    if (error) {
        munmap(twin, hv->base.page_size); /* as xengntshr_unshare does */
        return error;
    }
    error = take_place(page, twin, hv->base.page_size);
    if (error)
        forget(hv, find(&hv->grants_by_ref, (struct native_grant){.ref = *ref}, compare_refs));
    return error;
}

int native_grant_access(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                        bool readonly, grant_ref_t *ref)
{
    struct native_hypervisor *hv = to_native(hypervisor);
    if ((uintptr_t)page % hypervisor->page_size)
        return -EINVAL;
    pthread_mutex_lock(&hv->lock);
    int error = share(hv, domid, (void *)(uintptr_t)page, readonly, ref);
    pthread_mutex_unlock(&hv->lock);
    return error;
}

/* Under the lock. */
static int end(struct native_hypervisor *hv, struct native_grant *grant)
{
    void *copy = private_pages(hv->base.page_size);
    if (!copy)
        return native_error();
    int error = take_place(grant->page, copy, hv->base.page_size);
    if (!error)
        forget(hv, grant);
    return error;
}

int native_grant_end(struct pv_hypervisor *hypervisor, grant_ref_t ref)
{
    struct native_hypervisor *hv = to_native(hypervisor);
    pthread_mutex_lock(&hv->lock);
    struct native_grant *grant =
        find(&hv->grants_by_ref, (struct native_grant){.ref = ref}, compare_refs);
    int error = grant ? end(hv, grant) : -EINVAL;
    pthread_mutex_unlock(&hv->lock);
    return error;
}

/* The pages stay mapped, and granted, for as long as their memory is not freed. */
void native_forget_grants(struct native_hypervisor *hv)
{
    while (hv->grants_by_ref)
        forget(hv, *(struct native_grant **)hv->grants_by_ref);
}
