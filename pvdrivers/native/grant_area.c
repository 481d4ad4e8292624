#include "pvdrivers/native/grant_area.h"

#include <search.h>
#include <stdlib.h>

struct grant_area {
    uint8_t *address;
    size_t size;
    uint64_t mapped; /* a bit for each page that has not been given back */
};

/* Areas do not overlap: those that do are the same. */
static int compare_areas(const void *a, const void *b)
{
    const struct grant_area *x = a, *y = b;
    return (x->address >= y->address + y->size) - (y->address >= x->address + x->size);
}

static struct grant_area *new_area(struct native_hypervisor *hv, unsigned count)
{
    struct grant_area *area = malloc(sizeof *area);
    if (area)
        *area = (struct grant_area){.size = (size_t)count * hv->base.page_size,
                                    .mapped = UINT64_MAX >> (GRANT_AREA_MAX - count)};
    return area;
}

static bool remember(struct native_hypervisor *hv, struct grant_area *area)
{
    pthread_mutex_lock(&hv->lock);
    bool known = tsearch(area, &hv->grant_areas, compare_areas);
    pthread_mutex_unlock(&hv->lock);
    return known;
}

bool grant_area_map(struct native_hypervisor *hv, struct pv_grant_map *maps, unsigned count)
{
    uint32_t domids[GRANT_AREA_MAX], refs[GRANT_AREA_MAX];
    for (unsigned i = 0; i < count; i++) {
        domids[i] = maps[i].domid;
        refs[i] = maps[i].ref;
    }
    struct grant_area *area = new_area(hv, count);
    if (!area)
        return false;
    area->address = hv->libraries.xengnttab_map_grant_refs(hv->gnttab, count, domids, refs,
                                                           native_protection(maps[0].flags));
    if (!area->address || !remember(hv, area)) {
        int error = area->address ? ENOMEM : errno;
        if (area->address)
            hv->libraries.xengnttab_unmap(hv->gnttab, area->address, count);
        free(area);
        errno = error;
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        maps[i].handle = 0; /* the libraries know a mapping by its address */
        maps[i].address = area->address + (size_t)i * hv->base.page_size;
        maps[i].status = GNTST_okay;
    }
    return true;
}

/* Under the lock. */
static bool give_back(struct native_hypervisor *hv, struct grant_area *area, const uint8_t *address)
{
    uint64_t page = UINT64_C(1) << (size_t)(address - area->address) / hv->base.page_size;
    if (!(area->mapped & page))
        return false;
    if (area->mapped == page) {
        uint32_t count = (uint32_t)(area->size / hv->base.page_size);
        if (hv->libraries.xengnttab_unmap(hv->gnttab, area->address, count) != 0)
            return false;
        tdelete(area, &hv->grant_areas, compare_areas);
        free(area);
        return true;
    }
    area->mapped &= ~page;
    return true;
}

bool grant_area_unmap(struct native_hypervisor *hv, void *address)
{
    struct grant_area page = {.address = address, .size = hv->base.page_size};
    pthread_mutex_lock(&hv->lock);
    struct grant_area **found = tfind(&page, &hv->grant_areas, compare_areas);
    bool given_back = found && give_back(hv, *found, address);
    pthread_mutex_unlock(&hv->lock);
    return given_back;
}

void grant_areas_forget(struct native_hypervisor *hv)
{
    while (hv->grant_areas) {
        struct grant_area *area = *(struct grant_area **)hv->grant_areas;
        tdelete(area, &hv->grant_areas, compare_areas);
        free(area);
    }
}
