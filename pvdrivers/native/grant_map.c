/* Grants of others: maps and copies. */
#include "pvdrivers/native/grant_area.h"

#define COPY_BATCH 64 /* segments handed over at once; the kernel itself takes 16 a hypercall */

/* The libraries report a failed map through errno alone. */
static int16_t error_to_status(int error)
{
    switch (error) {
    case ENOMEM:
    case ENOSPC:
        return GNTST_no_space;
    case EPERM:
    case EACCES:
        return GNTST_permission_denied;
    case EAGAIN:
        return GNTST_eagain;
    default:
        return GNTST_general_error;
    }
}

static void map_one(struct native_hypervisor *hv, struct pv_grant_map *map)
{
    if (!grant_area_map(hv, map, 1))
        map->status = error_to_status(errno);
}

/* Those ahead with the protection of the first, at most what one area holds. */
static unsigned alike(const struct pv_grant_map *maps, unsigned count)
{
    unsigned n = 1;
    while (n < count && n < GRANT_AREA_MAX && !((maps[n].flags ^ maps[0].flags) & GNTMAP_readonly))
        n++;
    return n;
}

/* The kernel maps all or none: when it is none, each is tried alone, to learn which. */
int native_gnttab_map(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps, unsigned count)
{
    struct native_hypervisor *hv = to_native(hypervisor);
    for (unsigned done = 0, n; done < count; done += n) {
        n = alike(maps + done, count - done);
        if (n > 1 && grant_area_map(hv, maps + done, n))
            continue;
        for (unsigned i = 0; i < n; i++)
            map_one(hv, &maps[done + i]);
    }
    return 0;
}

int native_gnttab_unmap(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        maps[i].status = grant_area_unmap(to_native(hypervisor), maps[i].address)
                             ? GNTST_okay
                             : GNTST_bad_virt_addr;
    return 0;
}

void *native_gnttab_map_contiguous(struct pv_hypervisor *hypervisor, domid_t domid,
                                   const grant_ref_t *refs, unsigned count, bool readonly)
{
    struct native_hypervisor *hv = to_native(hypervisor);
    /* The library reads the refs only; its prototype lacks the const. */
    return hv->libraries.xengnttab_map_domain_grant_refs(
        hv->gnttab, count, domid, (uint32_t *)(uintptr_t)refs,
        native_protection(readonly ? GNTMAP_readonly : 0));
}

int native_gnttab_unmap_contiguous(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    struct native_hypervisor *hv = to_native(hypervisor);
    return native_result(hv->libraries.xengnttab_unmap(hv->gnttab, address, count));
}

static union xengnttab_copy_ptr copy_end(const struct pv_grant_copy_end *end, bool is_gref)
{
    union xengnttab_copy_ptr result = {.virt = end->address};
    if (is_gref) {
        result.foreign.ref = end->ref;
        result.foreign.offset = end->offset;
        result.foreign.domid = end->domid;
    }
    return result;
}

static int copy_batch(struct native_hypervisor *hv, struct pv_grant_copy *copies, unsigned count)
{
    struct xengnttab_grant_copy_segment segments[COPY_BATCH];
    for (unsigned i = 0; i < count; i++) {
        const struct pv_grant_copy *copy = &copies[i];
        segments[i] = (struct xengnttab_grant_copy_segment){
            .source = copy_end(&copy->source, copy->flags & GNTCOPY_source_gref),
            .dest = copy_end(&copy->dest, copy->flags & GNTCOPY_dest_gref),
            .len = copy->len,
            .flags = copy->flags,
            .status = GNTST_general_error,
        };
    }
    if (hv->libraries.xengnttab_grant_copy(hv->gnttab, count, segments) < 0)
        return native_error();
    for (unsigned i = 0; i < count; i++)
        copies[i].status = segments[i].status > 0 ? GNTST_general_error : segments[i].status;
    return 0;
}

/* Some may have been copied when this fails as a whole: each tells by its status. */
int native_gnttab_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        copies[i].status = GNTST_general_error;
    for (unsigned done = 0; done < count; done += COPY_BATCH) {
        unsigned batch = count - done < COPY_BATCH ? count - done : COPY_BATCH;
        int error = copy_batch(to_native(hypervisor), copies + done, batch);
        if (error)
            return error;
    }
    return 0;
}
