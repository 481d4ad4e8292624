/* libxengnttab.so.1: other domains' grants */
#include "pvdrivers/dropin/grant_area.h"
#include "pvdrivers/xengnttab_copy.h"

#include <stdlib.h>
#include <sys/mman.h>

#define COPY_BATCH 64

static const struct pv_hypervisor_ops *ops(const xengnttab_handle *handle)
{
    return handle->base.hypervisor->ops;
}

/* ---- Mapping --------------------------------------------------------------------------------- */

static void end_area(xengnttab_handle *handle, struct grant_area *area)
{
    grant_area_notify(handle, area);
    munmap(area->address, (size_t)area->count * XC_PAGE_SIZE);
    ops(handle)->gnttab_unmap(handle->base.hypervisor, area->maps, area->count);
    free(area);
}

/* All pages or none; 0 or an errno. The kernel's grant device has one for every refusal. */
static int map_all(const xengnttab_handle *handle, struct grant_area *area)
{
    struct pv_hypervisor *hypervisor = handle->base.hypervisor;
    int error = -ops(handle)->gnttab_map(hypervisor, area->maps, area->count);
    uint32_t mapped = 0;
    for (uint32_t i = 0; i < area->count && !error; i++)
        if (area->maps[i].status == GNTST_okay)
            area->maps[mapped++] = area->maps[i];
    if (!error && mapped < area->count) {
        ops(handle)->gnttab_unmap(hypervisor, area->maps, mapped);
        error = EINVAL;
    }
    return error;
}

/* Shows the mapped pages side by side, with the protection asked for; 0 or an errno. */
static int place_side_by_side(struct grant_area *area, int prot)
{
    size_t size = (size_t)area->count * XC_PAGE_SIZE;
    area->address = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area->address == MAP_FAILED)
        return ENOMEM;
    bool placed = true;
    for (uint32_t i = 0; i < area->count && placed; i++) /* old size 0: the pages twice */
        placed = mremap(area->maps[i].address, 0, XC_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
                        area->address + (size_t)i * XC_PAGE_SIZE) != MAP_FAILED;
    if (placed && !mprotect(area->address, size, prot))
        return 0;
    munmap(area->address, size);
    return ENOMEM;
}

static bool has_our_pages(const xengnttab_handle *handle, domid_t domid)
{
    struct pv_domain_info info;
    return pv_domain_info(handle->base.machine, domid, &info) || info.page_size == XC_PAGE_SIZE;
}

/* Takes `area`, whose maps name their grants. */
static void *map_area(xengnttab_handle *handle, struct grant_area *area, int prot)
{
    bool readonly = !(prot & PROT_WRITE);
    bool writes_notice = area->notify_offset != NO_NOTICE;
    int error = writes_notice && (readonly || area->notify_offset >= XC_PAGE_SIZE) ? EINVAL : 0;
    for (uint32_t i = 0; i < area->count && !error; i++) {
        area->maps[i].flags = readonly ? GNTMAP_host_map | GNTMAP_readonly : GNTMAP_host_map;
        error = !dropin_allows(&handle->base, area->maps[i].domid) ? errno
                : !has_our_pages(handle, area->maps[i].domid)      ? EINVAL
                                                                   : 0;
    }
    if (!error && !(error = map_all(handle, area)) && (error = place_side_by_side(area, prot)))
        ops(handle)->gnttab_unmap(handle->base.hypervisor, area->maps, area->count);
    if (error) {
        free(area);
        errno = error;
        return NULL;
    }
    grant_area_add(handle, area);
    return area->address;
}

/* `step` 0: the one domid for all. */
static struct grant_area *new_area(uint32_t count, const uint32_t *domids, unsigned step,
                                   const uint32_t *refs)
{
    struct grant_area *area = grant_area_new(count);
    for (uint32_t i = 0; area && i < count; i++) {
        area->maps[i].ref = refs[i];
        area->maps[i].domid = (domid_t)domids[i * step];
    }
    return area;
}

void *xengnttab_map_grant_refs(xengnttab_handle *handle, uint32_t count, uint32_t *domids,
                               uint32_t *refs, int prot)
{
    struct grant_area *area = new_area(count, domids, 1, refs);
    return area ? map_area(handle, area, prot) : NULL;
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *handle, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot)
{
    struct grant_area *area = new_area(count, &domid, 0, refs);
    return area ? map_area(handle, area, prot) : NULL;
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *handle, uint32_t domid, uint32_t ref,
                                     int prot, uint32_t notify_offset, evtchn_port_t notify_port)
{
    struct grant_area *area = new_area(1, &domid, 0, &ref);
    if (!area)
        return NULL;
    area->notify_offset = notify_offset;
    area->notify_port = notify_port;
    return map_area(handle, area, prot);
}

void *xengnttab_map_grant_ref(xengnttab_handle *handle, uint32_t domid, uint32_t ref, int prot)
{
    return xengnttab_map_grant_ref_notify(handle, domid, ref, prot, NO_NOTICE, NO_NOTICE);
}

int xengnttab_unmap(xengnttab_handle *handle, void *address, uint32_t count)
{
    struct grant_area *area = grant_area_take(handle, address, count);
    if (!area)
        return -1;
    end_area(handle, area);
    return 0;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return grant_handle_open();
}

int xengnttab_close(xengnttab_handle *handle)
{
    if (handle)
        grant_handle_close(handle, end_area);
    return 0;
}

int xengnttab_fd(xengnttab_handle *handle)
{
    return handle->fd;
}

/* The domain's maptrack table is the only limit. */
int xengnttab_set_max_grants(xengnttab_handle *handle, uint32_t count)
{
    (void)handle, (void)count;
    return 0;
}

/* ---- Copying --------------------------------------------------------------------------------- */

static struct pv_grant_copy_end copy_end(const union xengnttab_copy_ptr *end, bool is_gref)
{
    if (!is_gref)
        return (struct pv_grant_copy_end){.address = end->virt};
    return (struct pv_grant_copy_end){
        .ref = end->foreign.ref, .domid = end->foreign.domid, .offset = end->foreign.offset};
}

int xengnttab_grant_copy(xengnttab_handle *handle, uint32_t count,
                         struct xengnttab_grant_copy_segment *segments)
{
    if (!dropin_allows(&handle->base, DOMID_INVALID))
        return -1;
    struct pv_grant_copy copies[COPY_BATCH];
    for (uint32_t done = 0, batch; done < count; done += batch) {
        batch = count - done < COPY_BATCH ? count - done : COPY_BATCH;
        struct xengnttab_grant_copy_segment *segment = segments + done;
        for (uint32_t i = 0; i < batch; i++)
            copies[i] = (struct pv_grant_copy){
                .source = copy_end(&segment[i].source, segment[i].flags & GNTCOPY_source_gref),
                .dest = copy_end(&segment[i].dest, segment[i].flags & GNTCOPY_dest_gref),
                .len = segment[i].len,
                .flags = segment[i].flags};
        int error = ops(handle)->gnttab_copy(handle->base.hypervisor, copies, batch);
        if (error < 0)
            return dropin_result(error);
        for (uint32_t i = 0; i < batch; i++)
            segment[i].status = copies[i].status;
    }
    return 0;
}

/* ---- DMA buffers: what a kernel without CONFIG_XEN_GNTDEV_DMABUF answers --------------------- */

static int no_dmabuf(void)
{
    errno = ENOTTY;
    return -1;
}

int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *handle, uint32_t domid, uint32_t flags,
                                   uint32_t count, const uint32_t *refs, uint32_t *fd)
{
    (void)handle, (void)domid, (void)flags, (void)count, (void)refs, (void)fd;
    return no_dmabuf();
}

int xengnttab_dmabuf_exp_wait_released(xengnttab_handle *handle, uint32_t fd, uint32_t wait_ms)
{
    (void)handle, (void)fd, (void)wait_ms;
    return no_dmabuf();
}

int xengnttab_dmabuf_imp_to_refs(xengnttab_handle *handle, uint32_t domid, uint32_t fd,
                                 uint32_t count, uint32_t *refs)
{
    (void)handle, (void)domid, (void)fd, (void)count, (void)refs;
    return no_dmabuf();
}

int xengnttab_dmabuf_imp_release(xengnttab_handle *handle, uint32_t fd)
{
    (void)handle, (void)fd;
    return no_dmabuf();
}
