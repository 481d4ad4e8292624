/* A guest kernel's page allocator over its own memory, and each process's view of that memory. */
#include "pvdrivers/sim/memory/guest_pages.h"

#include "pvdrivers/sim/core/map.h"
#include "pvdrivers/sim/memory/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE (128u << 10) /* bytes */

guest_page_owner *guest_page_owners(struct pv_machine *machine, const struct domain *d)
{
    return domain_area(machine, d, SUBSYSTEM_GUEST_PAGES);
}

/* ---- The process's view ---------------------------------------------------------------------- */

/* Maps pages that lie side by side; what is not there is no longer to be seen. */
static int map_run(struct sim_hypervisor *hv, const struct domain *d, uint64_t gfn, uint64_t mfn,
                   uint64_t pages)
{
    uint8_t *place = hv->physmap + (gfn << d->page_shift);
    uint64_t size = pages << d->page_shift;
    if (mfn != NO_FRAME)
        return map_memory(hv->machine, place, mfn << FRAME_SHIFT, size, false);
    void *hole = mmap(place, size, PROT_NONE,
                      MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return hole == MAP_FAILED ? -ENOMEM : 0;
}

/* What follows what ends before `gfn`: the same hole, or the next frame. */
static bool continues(const struct domain *d, uint64_t mfn, uint64_t pages, uint64_t next)
{
    return mfn == NO_FRAME ? next == NO_FRAME
                           : next == mfn + (pages << (d->page_shift - FRAME_SHIFT));
}

/* Catches up with pages that came into the domain or left it (transfer, balloon). Under the guest's
 * lock. */
int guest_physmap_refresh(struct sim_hypervisor *hv, const struct domain *d)
{
    uint64_t changes = __atomic_load_n(&d->physmap_changes, __ATOMIC_ACQUIRE);
    if (hv->physmap_seen == changes)
        return 0;
    for (uint64_t gfn = 0, pages; gfn < d->physmap_end; gfn += pages) {
        struct physmap_run run = physmap_run(hv->machine, d, gfn), next;
        for (pages = run.pages; gfn + pages < d->physmap_end; pages += next.pages) {
            next = physmap_run(hv->machine, d, gfn + pages);
            if (!continues(d, run.mfn, pages, next.mfn))
                break;
        }
        int error = map_run(hv, d, gfn, run.mfn, pages);
        if (error)
            return error;
    }
    hv->physmap_seen = changes;
    return 0;
}

static int physmap_open(struct sim_hypervisor *hv, const struct domain *d)
{
    hv->physmap_size = d->physmap_end << d->page_shift;
    void *window =
        mmap(NULL, hv->physmap_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window == MAP_FAILED)
        return -ENOMEM;
    hv->physmap = window;
    return guest_physmap_refresh(hv, d);
}

static void physmap_close(struct sim_hypervisor *hv)
{
    munmap(hv->physmap, hv->physmap_size);
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

/* A process that died with the lock may have changed the owners of pages and not yet the count. */
void guest_lock(struct pv_machine *machine, struct domain *d)
{
    if (!sim_lock(&d->guest.lock))
        return;
    d->guest.used_pages = 0;
    for (uint64_t gfn = 0; gfn < d->physmap_end; gfn++)
        d->guest.used_pages += guest_page_owners(machine, d)[gfn] != 0;
}

static bool is_free_run(struct pv_machine *machine, struct domain *d, uint64_t gfn, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (guest_page_owners(machine, d)[gfn + i] || gfn_to_mfn(machine, d, gfn + i) == NO_FRAME)
            return false;
    return true;
}

/* Begins from `gfn` to `end`; what is not there is passed over as a whole. */
static uint64_t find_between(struct pv_machine *machine, struct domain *d, uint64_t gfn,
                             uint64_t end, unsigned count)
{
    while (gfn < end && gfn + count <= d->physmap_end) {
        struct physmap_run run = physmap_run(machine, d, gfn);
        if (run.mfn != NO_FRAME && is_free_run(machine, d, gfn, count))
            return gfn;
        gfn += run.mfn == NO_FRAME ? run.pages : 1;
    }
    return NO_FRAME;
}

static uint64_t find_free_run(struct pv_machine *machine, struct domain *d, unsigned count)
{
    uint64_t first = GUEST_RESERVED_PAGES;
    uint64_t start = d->guest.next_gfn < first ? first : d->guest.next_gfn;
    if (count == 0)
        return NO_FRAME;
    uint64_t gfn = find_between(machine, d, start, d->physmap_end, count);
    return gfn != NO_FRAME ? gfn : find_between(machine, d, first, start, count);
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
        guest_page_owners(hv->machine, d)[gfn + i] = (guest_page_owner)(hv->machine->client + 1);
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
    guest_lock(hv->machine, d);
    /* A dying domain's pages may be others' by now. A domain that is alive here keeps its pages
     * until the lock is given back (destroy_guest). */
    errno = domain_is_dying(d) ? ESRCH : ENOMEM;
    void *pages = errno == ESRCH || guest_physmap_refresh(hv, d) ? NULL : take_pages(hv, d, count);
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
    if (!d || gfn < GUEST_RESERVED_PAGES || (uint64_t)gfn + count > d->physmap_end)
        return -EINVAL;
    int result = 0;
    guest_lock(hv->machine, d);
    for (unsigned i = 0; i < count && !result; i++) {
        if (!guest_page_owners(hv->machine, d)[gfn + i])
            result = -EINVAL;
        else if (in_use_by_peer(hv->machine, d, (uint64_t)gfn + i))
            result = -EBUSY; /* leaked rather than reused (XSA-396) */
    }
    if (!result) {
        memset(guest_page_owners(hv->machine, d) + gfn, 0, count * sizeof(guest_page_owner));
        d->guest.used_pages -= count;
    }
    sim_unlock(&d->guest.lock);
    return result;
}

static void release_domain_pages(struct pv_machine *machine, struct domain *d, uint32_t client)
{
    guest_lock(machine, d);
    for (uint64_t gfn = 0; d->guest.used_pages && gfn < d->physmap_end; gfn++) {
        guest_page_owner *owner = &guest_page_owners(machine, d)[gfn];
        if (*owner == client + 1 && !in_use_by_peer(machine, d, gfn)) {
            *owner = 0;
            d->guest.used_pages--;
        }
    }
    sim_unlock(&d->guest.lock);
}

static void release_client(struct pv_machine *machine, uint32_t client)
{
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        RCU_SECTION(machine);
        struct domain *d = find_domain(machine, (domid_t)domid);
        if (d)
            release_domain_pages(machine, d, client);
    }
}

/* ---- The subsystem --------------------------------------------------------------------------- */

static uint64_t owners_size(const struct machine_layout *layout)
{
    return layout->max_domain_pages * sizeof(guest_page_owner);
}

static void init_guest(struct domain *d)
{
    sim_lock_init(&d->guest.lock);
}

/* A call that saw the domain alive is over once its lock has been ours. */
static uint64_t destroy_guest(struct pv_machine *machine, struct domain *d, uint64_t from)
{
    (void)from;
    guest_lock(machine, d);
    sim_unlock(&d->guest.lock);
    return 0;
}

static void wipe_guest(struct domain *d)
{
    WIPE_AFTER(d->guest, lock);
}

const struct subsystem guest_pages_subsystem = {
    .client_left = release_client,
    .area_size = owners_size,
    .domain_init = init_guest,
    .domain_destroy = destroy_guest,
    .domain_wipe = wipe_guest,
    .view_open = physmap_open,
    .view_close = physmap_close,
};
