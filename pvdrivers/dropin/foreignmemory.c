/* libxenforeignmemory.so.1 */
#include "pvdrivers/dropin/dropin.h"

#include <string.h>
#include <sys/mman.h>

typedef unsigned long xen_pfn_t;

typedef struct xenforeignmemory_handle {
    struct dropin_handle base;
} xenforeignmemory_handle;

typedef struct xenforeignmemory_resource_handle xenforeignmemory_resource_handle;

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return dropin_open(sizeof(xenforeignmemory_handle), DROPIN_ONE_DOMAIN);
}

int xenforeignmemory_close(xenforeignmemory_handle *handle)
{
    if (handle)
        dropin_close(&handle->base);
    return 0;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *handle, domid_t domid)
{
    return dropin_restrict(&handle->base, domid);
}

/* Puts one frame of the domain at `place`; 0 or an errno. */
static int map_frame(struct pv_hypervisor *hypervisor, domid_t domid, uint64_t gfn, int prot,
                     uint8_t *place)
{
    void *page = hypervisor->ops->foreign_map(hypervisor, domid, &gfn, 1, !(prot & PROT_WRITE));
    if (!page)
        return errno;
    int moved = mremap(page, XC_PAGE_SIZE, XC_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, place) !=
                MAP_FAILED;
    if (moved)
        return 0;
    munmap(page, XC_PAGE_SIZE);
    return ENOMEM;
}

/* Maps what it can into the window; the last error, or 0. */
static int map_frames(xenforeignmemory_handle *handle, domid_t domid, int prot, size_t count,
                      const xen_pfn_t *frames, int *errors, uint8_t *window)
{
    int last = 0;
    for (size_t i = 0; i < count; i++) {
        int error =
            map_frame(handle->base.hypervisor, domid, frames[i], prot, window + i * XC_PAGE_SIZE);
        if (errors)
            errors[i] = -error;
        if (error)
            last = error;
    }
    return last;
}

/* 0: it has pages of the size that this library maps, as Xen's own memory has. */
static int check_page_size(struct pv_machine *machine, uint32_t domid)
{
    struct pv_domain_info info;
    if (domid == DOMID_XEN)
        return 0;
    int error = domid > UINT16_MAX ? -ESRCH : pv_domain_info(machine, (domid_t)domid, &info);
    if (!error && info.page_size != XC_PAGE_SIZE)
        return -EINVAL;
    return error;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *handle, uint32_t domid, void *address,
                            int prot, int flags, size_t count, const xen_pfn_t *frames, int *errors)
{
    if (domid == DOMID_SELF)
        domid = handle->base.hypervisor->domid;
    if (!dropin_allows(&handle->base, domid))
        return NULL;
    int error = check_page_size(handle->base.machine, domid);
    if (error) {
        errno = -error;
        return NULL;
    }
    size_t size = count * XC_PAGE_SIZE;
    void *window = mmap(address, size, PROT_NONE,
                        (flags & MAP_FIXED) | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window == MAP_FAILED)
        return NULL;
    error = map_frames(handle, (domid_t)domid, prot, count, frames, errors, window);
    if (!error || errors)
        return window;
    munmap(window, size);
    errno = error;
    return NULL;
}

void *xenforeignmemory_map(xenforeignmemory_handle *handle, uint32_t domid, int prot, size_t count,
                           const xen_pfn_t *frames, int *errors)
{
    return xenforeignmemory_map2(handle, domid, NULL, prot, 0, count, frames, errors);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *handle, void *address, size_t count)
{
    (void)handle;
    return munmap(address, count * XC_PAGE_SIZE);
}

/* ---- Resources: what a kernel that cannot map them answers ----------------------------------- */

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *handle,
                                                                domid_t domid, unsigned type,
                                                                unsigned id, unsigned long frame,
                                                                unsigned long count, void **address,
                                                                int prot, int flags)
{
    (void)handle, (void)domid, (void)type, (void)id, (void)frame, (void)count, (void)address;
    (void)prot, (void)flags;
    errno = EOPNOTSUPP;
    return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *handle,
                                    xenforeignmemory_resource_handle *resource)
{
    (void)handle, (void)resource;
    errno = EINVAL;
    return -1;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *handle, domid_t domid, unsigned type,
                                   unsigned id, size_t *size)
{
    (void)handle, (void)domid, (void)type, (void)id, (void)size;
    errno = EOPNOTSUPP;
    return -1;
}
