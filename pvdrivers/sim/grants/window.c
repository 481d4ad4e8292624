/* Several granted pages side by side (multi-page rings): the only maps that need page tables. */
#include "pvdrivers/sim/core/map.h"
#include "pvdrivers/sim/grants/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MAX_WINDOW_PAGES 256

/* What this process mapped, to find the handles by address. */
struct grant_window {
    struct grant_window *next;
    const struct sim_hypervisor *hv;
    uint8_t *address;
    size_t mapped; /* bytes of its own window; 0 when the pages lie side by side by themselves */
    unsigned count;
    struct pv_grant_map maps[];
};

static struct grant_window *windows;
static pthread_mutex_t windows_lock = PTHREAD_MUTEX_INITIALIZER;

static bool side_by_side(const struct pv_grant_map *maps, unsigned count, size_t page_size)
{
    for (unsigned i = 1; i < count; i++)
        if ((uint8_t *)maps[i].address != (uint8_t *)maps[0].address + i * page_size)
            return false;
    return true;
}

static bool map_pages(const struct pv_machine *machine, struct grant_window *window,
                      size_t page_size, bool readonly)
{
    window->address = window->maps[0].address;
    if (side_by_side(window->maps, window->count, page_size))
        return true;
    size_t size = window->count * page_size;
    uint8_t *area = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return false;
    for (unsigned i = 0; i < window->count; i++) {
        uint64_t address = (uint64_t)((uint8_t *)window->maps[i].address - machine->memory);
        if (map_memory(machine, area + i * page_size, address, page_size, readonly)) {
            munmap(area, size);
            return false;
        }
    }
    window->address = area;
    window->mapped = size;
    return true;
}

static int errno_of_status(int16_t status)
{
    switch (status) {
    case GNTST_bad_domain:
        return ESRCH;
    case GNTST_no_space:
        return ENOSPC;
    case GNTST_bad_page:
        return EFAULT;
    case GNTST_permission_denied:
        return EPERM;
    default:
        return EINVAL;
    }
}

/* Maps all pages or none; 0 or an errno. */
static int map_all(struct pv_hypervisor *hypervisor, struct grant_window *window)
{
    int error = -sim_gnttab_map(hypervisor, window->maps, window->count);
    unsigned mapped = 0;
    struct pv_grant_map *maps = window->maps;
    for (unsigned i = 0; i < window->count; i++) {
        if (maps[i].status == GNTST_okay)
            maps[mapped++] = maps[i];
        else if (!error)
            error = errno_of_status(maps[i].status);
    }
    if (error && mapped)
        sim_gnttab_unmap(hypervisor, maps, mapped);
    return error;
}

void *sim_gnttab_map_contiguous(struct pv_hypervisor *hypervisor, domid_t domid,
                                const grant_ref_t *refs, unsigned count, bool readonly)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    RCU_SECTION(hv->machine);
    const struct domain *rd = find_domain(hv->machine, domid);
    errno = !rd ? ESRCH : count == 0 || count > MAX_WINDOW_PAGES ? EINVAL : 0;
    if (errno)
        return NULL;
    struct grant_window *window = calloc(1, sizeof *window + count * sizeof window->maps[0]);
    if (!window)
        return NULL;
    window->hv = hv;
    window->count = count;
    for (unsigned i = 0; i < count; i++)
        window->maps[i] = (struct pv_grant_map){
            .ref = refs[i],
            .domid = domid,
            .flags = readonly ? GNTMAP_host_map | GNTMAP_readonly : GNTMAP_host_map};
    int error = map_all(hypervisor, window);
    if (!error && !map_pages(hv->machine, window, (size_t)1 << rd->page_shift, readonly)) {
        sim_gnttab_unmap(hypervisor, window->maps, count);
        error = ENOMEM;
    }
    if (error) {
        free(window);
        errno = error;
        return NULL;
    }
    pthread_mutex_lock(&windows_lock);
    window->next = windows;
    windows = window;
    pthread_mutex_unlock(&windows_lock);
    return window->address;
}

/* Takes a window off the list: the one at `address`, or any when that is NULL. */
static struct grant_window *take_window(const struct sim_hypervisor *hv, const void *address,
                                        unsigned count)
{
    pthread_mutex_lock(&windows_lock);
    struct grant_window **link = &windows;
    while (*link && ((*link)->hv != hv ||
                     (address && ((*link)->address != address || (*link)->count != count))))
        link = &(*link)->next;
    struct grant_window *window = *link;
    if (window)
        *link = window->next;
    pthread_mutex_unlock(&windows_lock);
    return window;
}

static void close_window(struct grant_window *window)
{
    if (window->mapped)
        munmap(window->address, window->mapped);
    free(window);
}

int sim_gnttab_unmap_contiguous(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    struct grant_window *window = address ? take_window(to_sim(hypervisor), address, count) : NULL;
    if (!window)
        return -EINVAL;
    int error = sim_gnttab_unmap(hypervisor, window->maps, count);
    close_window(window);
    return error;
}

uint32_t sim_gnttab_page_size(struct pv_hypervisor *hypervisor, domid_t domid)
{
    RCU_SECTION(to_sim(hypervisor)->machine);
    const struct domain *rd = find_domain(to_sim(hypervisor)->machine, domid);
    return rd ? 1u << rd->page_shift : 0;
}

void grant_windows_forget(const struct sim_hypervisor *hv)
{
    for (struct grant_window *window; (window = take_window(hv, NULL, 0));)
        close_window(window);
}
