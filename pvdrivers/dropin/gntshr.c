/* libxengnttab.so.1: pages of this domain's own, granted to others */
#include "pvdrivers/dropin/grant_area.h"

#include <stdlib.h>

static const struct pv_hypervisor_ops *ops(const xengntshr_handle *handle)
{
    return handle->base.hypervisor->ops;
}

/* Pages a peer still uses are not given out again while this program lives (XSA-396). */
static void end_area(xengntshr_handle *handle, struct grant_area *area)
{
    struct pv_hypervisor *hypervisor = handle->base.hypervisor;
    grant_area_notify(handle, area);
    int error = 0;
    for (uint32_t i = 0; i < area->count; i++)
        error |= ops(handle)->grant_end(hypervisor, area->maps[i].ref);
    if (!error)
        ops(handle)->pages_free(hypervisor, area->address, area->count);
    free(area);
}

/* Grants every page or none; 0 or an errno. */
static int grant_all(const xengntshr_handle *handle, struct grant_area *area, domid_t domid,
                     bool readonly)
{
    struct pv_hypervisor *hypervisor = handle->base.hypervisor;
    for (uint32_t i = 0; i < area->count; i++) {
        int error =
            ops(handle)->grant_access(hypervisor, domid, area->address + (size_t)i * XC_PAGE_SIZE,
                                      readonly, &area->maps[i].ref);
        if (error) {
            while (i > 0)
                ops(handle)->grant_end(hypervisor, area->maps[--i].ref);
            return -error;
        }
    }
    return 0;
}

/* Takes `area`, which may be NULL. */
static void *share_area(xengntshr_handle *handle, struct grant_area *area, uint32_t domid,
                        uint32_t *refs, bool writable)
{
    if (!area)
        return NULL;
    struct pv_hypervisor *hypervisor = handle->base.hypervisor;
    area->address = dropin_allows(&handle->base, domid)
                        ? ops(handle)->pages_alloc(hypervisor, area->count)
                        : NULL;
    int error = area->address ? grant_all(handle, area, (domid_t)domid, !writable) : errno;
    if (error) {
        if (area->address)
            ops(handle)->pages_free(hypervisor, area->address, area->count);
        free(area);
        errno = error;
        return NULL;
    }
    for (uint32_t i = 0; i < area->count; i++)
        refs[i] = area->maps[i].ref;
    grant_area_add(handle, area);
    return area->address;
}

void *xengntshr_share_pages(xengntshr_handle *handle, uint32_t domid, int count, uint32_t *refs,
                            int writable)
{
    struct grant_area *area = grant_area_new(count > 0 ? (uint32_t)count : 0);
    return share_area(handle, area, domid, refs, writable);
}

void *xengntshr_share_page_notify(xengntshr_handle *handle, uint32_t domid, uint32_t *ref,
                                  int writable, uint32_t notify_offset, evtchn_port_t notify_port)
{
    if (notify_offset != NO_NOTICE && notify_offset >= XC_PAGE_SIZE) {
        errno = EINVAL;
        return NULL;
    }
    struct grant_area *area = grant_area_new(1);
    if (area) {
        area->notify_offset = notify_offset;
        area->notify_port = notify_port;
    }
    return share_area(handle, area, domid, ref, writable);
}

int xengntshr_unshare(xengntshr_handle *handle, void *address, uint32_t count)
{
    struct grant_area *area = grant_area_take(handle, address, count);
    if (!area)
        return -1;
    end_area(handle, area);
    return 0;
}

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return grant_handle_open();
}

int xengntshr_close(xengntshr_handle *handle)
{
    if (handle)
        grant_handle_close(handle, end_area);
    return 0;
}

int xengntshr_fd(xengntshr_handle *handle)
{
    return handle->fd;
}
