/* A process is killed while it makes a superpage pages of their own: whoever comes next finds every
 * page with its owner, and what other processes had done with pages in between stays. */
#include "tests/pvdrivers/sim/core/c/stepping.h"
#include "tests/pvdrivers/sim/grants/c/grant_test.h"

#define SUPERPAGES 2u /* and a few pages that are single */
#define SMALL (SUPERPAGES * 512u + 3)
#define GFN 700u

static struct pv_machine *machine;
static struct domain *guest;
static uint64_t head;

static void make_guest(void)
{
    struct pv_memory_extent extent = {.size = 64u << 20};
    struct pv_machine_config config = {
        .extents = &extent, .extent_count = 1, .max_domains = 4, .max_domain_memory = 16u << 20};
    struct pv_domain_config domain = {.memory = SMALL * 4096u, .vcpus = 1};
    assert(pv_machine_create(&config, &machine) == 0);
    assert(pv_domain_create(machine, 1, &domain) == 1);
    guest = domain_window(machine, 1);
    head = gfn_to_mfn(machine, guest, 512);
    assert(head % 512 == 0 && gfn_to_mfn(machine, guest, GFN) == head + GFN - 512);
    assert(page_state(machine, head).count == 0 && page_state(machine, head).order == 9);
}

static int use_page(void *unused)
{
    (void)unused;
    return get_page(machine, gfn_to_mfn(machine, guest, GFN), guest);
}

/* ---- Instants of that call, in the order in which they come ---------------------------------- */

static bool expansion_is_announced(void *unused)
{
    (void)unused;
    return page_state(machine, head).flags & PGC_expanding;
}

static bool some_pages_are_written(void *unused)
{
    (void)unused;
    return page_state(machine, head + 100).count;
}

static bool all_pages_are_written(void *unused)
{
    (void)unused;
    return page_state(machine, head + 511).count;
}

static bool some_gfns_are_written(void *unused)
{
    const uint64_t *pages = domain_area(machine, guest, SUBSYSTEM_MEMORY);
    (void)unused;
    return pages[512 + 300];
}

static bool physmap_has_pages(void *unused)
{
    (void)unused;
    return physmap_run(machine, guest, 512).level == 0;
}

static bool head_is_a_page(void *unused)
{
    (void)unused;
    return page_state(machine, head).count;
}

static bool (*const instants[])(void *) = {expansion_is_announced, some_pages_are_written,
                                           all_pages_are_written,  some_gfns_are_written,
                                           physmap_has_pages,      head_is_a_page};

/* ---- What must hold -------------------------------------------------------------------------- */

static void check_page(uint64_t gfn, uint32_t references)
{
    uint64_t mfn = gfn_to_mfn(machine, guest, gfn);
    assert(mfn == head + gfn - 512);
    assert(get_page(machine, mfn, guest) == 0);
    assert(page_state(machine, mfn).count == references + 1);
    assert(frame_info(machine, mfn)->next == gfn);
    put_page(machine, mfn);
}

static void killed_at(bool (*instant)(void *))
{
    make_guest();
    uint64_t free = pv_machine_free_memory(machine);
    pid_t process = start_stopped(use_page, NULL);
    step_until(process, instant, NULL);
    /* A page that it had finished is used meanwhile. */
    uint32_t used = page_state(machine, head + 50).count;
    assert(!used || get_page(machine, head + 50, guest) == 0);
    kill_stopped(process);

    check_page(512, 1);
    check_page(512 + 50, used ? 2 : 1);
    check_page(1023, 1);
    assert(pv_machine_free_memory(machine) == free);
    assert(guest->tot_pages == SMALL);
    if (used)
        put_page(machine, head + 50);
    rcu_forget_client(machine, machine->client);
    assert(pv_domain_destroy(machine, 1) == 0);
    assert(pv_machine_free_memory(machine) == 64u << 20);
    /* All of it is one piece again. */
    assert(page_state(machine, 0).order == 14 && page_state(machine, 0).flags == PGC_free);
    pv_machine_close(machine);
}

int main(void)
{
    for (size_t i = 0; STEPPING && i < sizeof instants / sizeof *instants; i++)
        killed_at(instants[i]);
    return 0;
}
