/* A process is killed while it exchanges pages, or gives a domain pages without a gfn: whoever
 * comes next finds every frame free or with its owner, and claims that agree. */
#include "pvdrivers/sim/machine_memory.h"
#include "tests/pvdrivers/sim/core/c/stepping.h"
#include "tests/pvdrivers/sim/grants/c/grant_test.h"

#define MEMORY (16ull << 20)
#define GIVEN 8u /* a page of order 2 */
#define PLACE 70u
#define MORE 3u
#define CLAIM (PAGES + 100)
#define INSTANTS 12

static struct pv_machine *machine;
static struct domain *guest;

static void *make_guest(void)
{
    struct pv_memory_extent extent = {.size = MEMORY};
    struct pv_machine_config config = {
        .extents = &extent, .extent_count = 1, .max_domains = 4, .max_domain_memory = 1u << 20};
    struct pv_domain_config dom0 = {.memory = 65536, .vcpus = 1, .privileged = true};
    struct pv_domain_config domain = {.memory = PAGES * 4096ul, .max_memory = 1u << 20, .vcpus = 1};
    assert(pv_machine_create(&config, &machine) == 0);
    assert(pv_domain_create(machine, 0, &dom0) == 0);
    assert(pv_domain_create(machine, 1, &domain) == 1);
    assert(pv_memory_claim_pages(machine, 0, 1, CLAIM) == 0);
    guest = domain_window(machine, 1);
    return machine;
}

static int increase(void *unused)
{
    const struct pv_memory_extents extents = {.count = MORE};
    (void)unused;
    return pv_memory_increase_reservation(machine, 1, 1, &extents) != MORE;
}

static int exchange(void *unused)
{
    uint64_t in[] = {GIVEN}, out[] = {PLACE, PLACE + 1, PLACE + 2, GIVEN}, mfns[4];
    const struct pv_memory_exchange pages = {.in = in, .out = out, .mfns = mfns, .in_order = 2};
    (void)unused;
    return pv_memory_exchange(machine, 1, 1, &pages);
}

/* ---- What must hold -------------------------------------------------------------------------- */

static uint64_t count_pages_of_guest(void)
{
    uint64_t pages = 0;
    for (uint64_t gfn = 0; gfn < guest->physmap_end; gfn++) {
        struct physmap_run run = physmap_run(machine, guest, gfn);
        pages += run.mfn != NO_FRAME;
        assert(run.mfn == NO_FRAME || !(page_state(machine, run.mfn).flags & PGC_leaving));
    }
    for (uint64_t next = guest->loose_page; next; pages++) {
        struct page_state page = page_state(machine, next - 1);
        assert(page.owner == 1 && page.count == 1);
        next = frame_info(machine, next - 1)->next & ~PAGE_LOOSE;
    }
    return pages;
}

static void check_counts(void *unused)
{
    uint64_t free = pv_machine_free_memory(machine) >> FRAME_SHIFT; /* the repair, too */
    (void)unused;
    assert(count_pages_of_guest() == guest->tot_pages);
    assert(free + guest->tot_pages + 16 == MEMORY >> FRAME_SHIFT);
    assert(machine->shared->outstanding_claims == domain_outstanding_pages(guest));
    assert(guest->claimed_pages == 0 || guest->claimed_pages == CLAIM);
}

static void close_machine(void *unused)
{
    (void)unused;
    rcu_forget_client(machine, machine->client);
    assert(pv_domain_destroy(machine, 1) == 0);
    assert(pv_machine_free_memory(machine) == MEMORY - 65536);
    assert(pv_machine_outstanding_claims(machine) == 0);
    pv_machine_close(machine);
}

int main(void)
{
    const struct killed_call calls[] = {
        {make_guest, exchange, check_counts, close_machine},
        {make_guest, increase, check_counts, close_machine},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        kill_at_instants(&calls[i], INSTANTS);
    return 0;
}
