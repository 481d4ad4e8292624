/* A process is killed when it has changed a domain's physmap, and not yet the P2M table that the
 * domain sees: the next call makes the table true. */
#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/ia64/internal.h"
#include "pvdrivers/sim/machine_memory.h"
#include "pvdrivers/sim/memory/memory.h"
#include "tests/pvdrivers/sim/core/c/stepping.h"

#include <assert.h>

#define PAGES 1024u
#define ENTRIES 2048u
#define PLACE 0x100000u
#define GFN 600u /* in a superpage of 512 pages */

static struct pv_machine *machine;
static const uint64_t *table; /* what the domain sees */

static uint64_t seen(uint64_t gfn)
{
    return __atomic_load_n(&table[gfn], __ATOMIC_RELAXED);
}

static void make_machine(void)
{
    struct pv_memory_extent extent = {.size = 64u << 20};
    struct pv_machine_config config = {
        .extents = &extent, .extent_count = 1, .max_domains = 1, .max_domain_memory = 32u << 20};
    struct pv_domain_config domain = {.abi = PV_ABI_IA64, .memory = PAGES << 14, .vcpus = 1};
    const uint64_t args[4] = {0, PLACE, ENTRIES << 14, ENTRIES};
    assert(pv_machine_create(&config, &machine) == 0);
    assert(pv_domain_create(machine, 0, &domain) == 0);
    assert(pv_ia64_dom0vp_op(machine, 0, IA64_DOM0VP_expose_p2m, args) == 0);
    uint64_t frame = gfn_to_readable_mfn(machine, domain_window(machine, 0), PLACE);
    assert(frame != NO_FRAME);
    table = frame_address(machine, frame);
}

static uint64_t address_of(uint64_t gfn)
{
    int64_t mfn = pv_domain_gfn_to_mfn(machine, 0, gfn);
    return mfn < 0 ? 0 : (uint64_t)mfn << FRAME_SHIFT;
}

static void check_table(void)
{
    for (uint64_t gfn = 0; gfn < ENTRIES; gfn++)
        assert((seen(gfn) & _PAGE_PPN_MASK) == address_of(gfn));
}

static int change(int64_t (*call)(struct pv_machine *, domid_t, domid_t,
                                  const struct pv_memory_extents *))
{
    const uint64_t gfn = GFN;
    const struct pv_memory_extents extents = {.gfns = &gfn, .count = 1};
    return call(machine, 0, DOMID_SELF, &extents) != 1;
}

static int decrease(void *unused)
{
    (void)unused;
    return change(pv_memory_decrease_reservation);
}

static int populate(void *unused)
{
    (void)unused;
    return change(pv_memory_populate_physmap);
}

static bool is_gone(void *unused)
{
    (void)unused;
    return !address_of(GFN);
}

static bool is_there(void *unused)
{
    return !is_gone(unused);
}

static void killed_at(int (*call)(void *), bool (*instant)(void *))
{
    uint64_t before = seen(GFN);
    pid_t process = start_stopped(call, NULL);
    step_until(process, instant, NULL);
    assert(seen(GFN) == before); /* it is the instant that this is about */
    kill_stopped(process);
    machine_lock(machine);
    machine_unlock(machine);
    assert((seen(GFN) != 0) == (before == 0));
    check_table();
}

int main(void)
{
    make_machine();
    check_table();
    if (STEPPING) {
        killed_at(decrease, is_gone);
        killed_at(populate, is_there);
    }
    pv_machine_close(machine);
    return 0;
}
