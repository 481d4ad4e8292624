#include "pvdrivers/native/grant_area.h"

#include "pvdrivers/native/native.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Xen's grants and frames are of this size whatever the kernel's own pages are. */
#define XEN_PAGE_SIZE 4096

static void native_close(struct pv_hypervisor *hypervisor)
{
    struct native_hypervisor *hv = to_native(hypervisor);
    native_forget_grants(hv);
    grant_areas_forget(hv);
    if (hv->gntshr)
        hv->libraries.xengntshr_close(hv->gntshr);
    if (hv->foreign)
        hv->libraries.xenforeignmemory_close(hv->foreign);
    hv->libraries.xengnttab_close(hv->gnttab);
    native_unload(&hv->libraries);
    pthread_mutex_destroy(&hv->lock);
    free(hv);
}

/* ---- Foreign memory -------------------------------------------------------------------------- */

/* Opened when first needed: it takes a privilege that a driver domain need not have. */
static void *foreign_handle(struct native_hypervisor *hv)
{
    pthread_mutex_lock(&hv->lock);
    if (!hv->foreign)
        hv->foreign = hv->libraries.xenforeignmemory_open(&native_quiet_logger, 0);
    void *handle = hv->foreign;
    pthread_mutex_unlock(&hv->lock);
    return handle;
}

static void *native_foreign_map(struct pv_hypervisor *hypervisor, domid_t domid,
                                const uint64_t *gfns, unsigned count, bool readonly)
{
    struct native_hypervisor *hv = to_native(hypervisor);
    void *handle = foreign_handle(hv);
    unsigned long *frames = handle ? calloc(count, sizeof *frames) : NULL; /* xen_pfn_t */
    if (!frames)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        frames[i] = (unsigned long)gfns[i];
    /* Without an array for errors the library maps all of them or none. */
    void *address = hv->libraries.xenforeignmemory_map(
        handle, domid, readonly ? PROT_READ : PROT_READ | PROT_WRITE, count, frames, NULL);
    int error = errno;
    free(frames);
    errno = error;
    return address;
}

static int native_foreign_unmap(struct pv_hypervisor *hypervisor, domid_t domid, void *address,
                                unsigned count)
{
    (void)domid;
    struct native_hypervisor *hv = to_native(hypervisor);
    void *handle = foreign_handle(hv);
    return handle ? native_result(hv->libraries.xenforeignmemory_unmap(handle, address, count))
                  : native_error();
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct pv_hypervisor_ops native_ops = {
    .name = "native",
    .close = native_close,
    .evtchn_open = native_evtchn_open,
    .evtchn_close = native_evtchn_close,
    .evtchn_fd = native_evtchn_fd,
    .evtchn_bind_unbound_port = native_evtchn_bind_unbound_port,
    .evtchn_bind_interdomain = native_evtchn_bind_interdomain,
    .evtchn_bind_virq = native_evtchn_bind_virq,
    .evtchn_unbind = native_evtchn_unbind,
    .evtchn_notify = native_evtchn_notify,
    .evtchn_pending = native_evtchn_pending,
    .evtchn_unmask = native_evtchn_unmask,
    .gnttab_map = native_gnttab_map,
    .gnttab_unmap = native_gnttab_unmap,
    .gnttab_copy = native_gnttab_copy,
    .gnttab_map_contiguous = native_gnttab_map_contiguous,
    .gnttab_unmap_contiguous = native_gnttab_unmap_contiguous,
    .pages_alloc = native_pages_alloc,
    .pages_free = native_pages_free,
    .grant_access = native_grant_access,
    .grant_end = native_grant_end,
    .foreign_map = native_foreign_map,
    .foreign_unmap = native_foreign_unmap,
};

int pv_native_open_hypervisor(const char *folder, domid_t domid, struct pv_hypervisor **out,
                              char *problem, size_t problem_size)
{
    struct native_hypervisor *hv = calloc(1, sizeof *hv);
    if (!hv)
        return -ENOMEM;
    hv->base = (struct pv_hypervisor){
        .ops = &native_ops,
        .domid = domid,
        .abi = sizeof(void *) == 4 ? PV_ABI_X86_32 : PV_ABI_X86_64,
        .page_size = XEN_PAGE_SIZE,
        /* gntdev unmaps when the process ends, even pages that are pinned. */
        .maps_outlive_process = false,
    };
    int error = native_load(&hv->libraries, folder, problem, problem_size);
    if (!error) {
        hv->gnttab = hv->libraries.xengnttab_open(&native_quiet_logger, 0);
        if (!hv->gnttab) {
            error = native_error();
            snprintf(problem, problem_size, "the grant device cannot be opened: %s",
                     strerror(-error));
            native_unload(&hv->libraries);
        }
    }
    if (error) {
        free(hv);
        return error;
    }
    pthread_mutex_init(&hv->lock, NULL);
    *out = &hv->base;
    return 0;
}
