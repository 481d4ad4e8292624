/* A guest kernel's page allocator over its own memory, and each process's view of that memory. */
#include "pvdrivers/sim/memory/guest_memory.h"

#include "pvdrivers/sim/grants/internal.h"
#include "pvdrivers/sim/memory/map.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE (128u << 10) /* bytes */

static guest_page_owner *page_owners(struct pv_machine *machine, struct domain *d)
{
    return (guest_page_owner *)((uint8_t *)d + machine->shared->layout.window_guest_pages);
}

/* ---- The process's view ---------------------------------------------------------------------- */

int physmap_open(struct sim_hypervisor *hv, const struct domain *d)
{
    hv->physmap_size = d->max_pages << d->page_shift;
    void *window =
        mmap(NULL, hv->physmap_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window == MAP_FAILED)
        return -ENOMEM;
    hv->physmap = window;
    return physmap_refresh(hv, d);
}

void physmap_close(struct sim_hypervisor *hv)
{
    munmap(hv->physmap, hv->physmap_size);
}

int physmap_refresh(struct sim_hypervisor *hv, const struct domain *d)
{
    uint64_t changes = __atomic_load_n(&d->physmap_changes, __ATOMIC_ACQUIRE);
    if (hv->physmap_seen == changes)
        return 0;
    unsigned per_page = 1u << (d->page_shift - FRAME_SHIFT);
    for (uint64_t gfn = 0, run; gfn < d->max_pages; gfn += run) {
        uint64_t mfn = gfn_to_mfn(hv->machine, d, gfn);
        run = 1;
        if (mfn == NO_FRAME)
            continue;
        while (gfn + run < d->max_pages &&
               gfn_to_mfn(hv->machine, d, gfn + run) == mfn + run * per_page)
            run++;
        int error = map_memory(hv->machine, hv->physmap + (gfn << d->page_shift),
                               mfn << FRAME_SHIFT, run << d->page_shift, false);
        if (error)
            return error;
    }
    hv->physmap_seen = changes;
    return 0;
}

int64_t pv_domain_page_to_gfn(struct pv_hypervisor *hypervisor, const void *page)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    uint64_t offset = (uint64_t)((const uint8_t *)page - hv->physmap);
    if (offset >= hv->physmap_size || offset % hypervisor->page_size)
        return -EINVAL;
    return (int64_t)(offset / hypervisor->page_size);
}

/* ---- The allocator --------------------------------------------------------------------------- */

static bool is_free_run(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (page_owners(machine, d)[gfn + i] || gfn_to_mfn(machine, d, gfn + i) == NO_FRAME)
            return false;
    return true;
}

static uint64_t find_free_run(struct pv_machine *machine, struct domain *d, unsigned count)
{
    uint64_t first = GUEST_RESERVED_PAGES, end = d->max_pages;
    if (count == 0 || first + count > end)
        return NO_FRAME;
    uint64_t start = d->guest.next_gfn < first ? first : d->guest.next_gfn;
    for (uint64_t gfn = start; gfn + count <= end; gfn++)
        if (is_free_run(machine, d, gfn, count))
            return gfn;
    for (uint64_t gfn = first; gfn < start && gfn + count <= end; gfn++)
        if (is_free_run(machine, d, gfn, count))
            return gfn;
    return NO_FRAME;
}

/* Many pages are given back to the host, which has zeros when one is touched. */
static void zero(void *pages, size_t size)
{
    if (size < LARGE || madvise(pages, size, MADV_REMOVE) < 0)
        memset(pages, 0, size);
}

/* Pages of zeros, or NULL. Under the guest's lock. */
static void *take_pages(struct sim_hypervisor *hv, struct domain *d, unsigned count)
{
    uint64_t gfn = find_free_run(hv->machine, d, count);
    if (gfn == NO_FRAME)
        return NULL;
    void *pages = hv->physmap + gfn * hv->base.page_size;
    zero(pages, (size_t)count * hv->base.page_size);
    for (unsigned i = 0; i < count; i++)
        page_owners(hv->machine, d)[gfn + i] = (guest_page_owner)(hv->machine->client + 1);
    d->guest.next_gfn = gfn + count;
    d->guest.used_pages += count;
    return pages;
}

void *sim_pages_alloc(struct pv_hypervisor *hypervisor, unsigned count)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    RCU_SECTION(hv->machine);
    struct domain *d = view_domain(hv);
    if (!d) {
        errno = ESRCH;
        return NULL;
    }
    sim_lock(&d->guest.lock);
    /* A dying domain's pages may be others' by now; what is alive here keeps its own until the lock
     * is given back. */
    errno = domain_is_dying(d) ? ESRCH : ENOMEM;
    void *pages = errno == ESRCH || physmap_refresh(hv, d) ? NULL : take_pages(hv, d, count);
    sim_unlock(&d->guest.lock);
    return pages;
}

/* A page a peer still maps has more references than its owner's. */
static bool in_use_by_peer(struct pv_machine *machine, struct domain *d, uint64_t gfn)
{
    uint64_t mfn = gfn_to_mfn(machine, d, gfn);
    return mfn != NO_FRAME && page_state(machine, mfn).count > 1;
}

int sim_pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    RCU_SECTION(hv->machine);
    struct domain *d = view_domain(hv);
    int64_t gfn = pv_domain_page_to_gfn(hypervisor, address);
    if (!d || gfn < GUEST_RESERVED_PAGES || (uint64_t)gfn + count > d->max_pages)
        return -EINVAL;
    int result = 0;
    sim_lock(&d->guest.lock);
    for (unsigned i = 0; i < count && !result; i++) {
        if (!page_owners(hv->machine, d)[gfn + i])
            result = -EINVAL;
        else if (in_use_by_peer(hv->machine, d, (uint64_t)gfn + i))
            result = -EBUSY; /* leaked rather than reused (XSA-396) */
    }
    if (!result) {
        memset(page_owners(hv->machine, d) + gfn, 0, count * sizeof(guest_page_owner));
        d->guest.used_pages -= count;
    }
    sim_unlock(&d->guest.lock);
    return result;
}

static void release_domain_pages(struct pv_machine *machine, struct domain *d, uint32_t client)
{
    sim_lock(&d->guest.lock);
    for (uint64_t gfn = 0; d->guest.used_pages && gfn < d->max_pages; gfn++) {
        guest_page_owner *owner = &page_owners(machine, d)[gfn];
        if (*owner == client + 1 && !in_use_by_peer(machine, d, gfn)) {
            *owner = 0;
            d->guest.used_pages--;
        }
    }
    sim_unlock(&d->guest.lock);
}

void guest_memory_release_client(struct pv_machine *machine, uint32_t client)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        RCU_SECTION(machine);
        struct domain *d = find_domain(machine, (domid_t)domid);
        if (d)
            release_domain_pages(machine, d, client);
    }
}
