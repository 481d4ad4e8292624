/* Where a machine's parts are in its segment. */
#undef NDEBUG
#include "pvdrivers/sim/core/machine.h"

#include <assert.h>

#define DOMAINS 64

/* What follows all domains' vcpus visits the same place of many windows. In one set of the TLB or
 * of the cache only so many of them have room. */
static void windows_are_in_different_sets(uint64_t max_domain_memory)
{
    struct pv_machine *machine;
    const struct pv_memory_extent extent = {.size = 64u << 20};
    const struct pv_machine_config config = {.extents = &extent,
                                             .extent_count = 1,
                                             .max_domains = DOMAINS,
                                             .max_domain_memory = max_domain_memory};
    assert(pv_machine_create(&config, &machine) == 0);
    uint64_t pages = 0, lines = 0; /* of 64 sets, those that are used */
    for (domid_t domid = 0; domid < DOMAINS; domid++) {
        uintptr_t place = (uintptr_t)domain_window(machine, domid);
        pages |= 1ull << (place / 4096) % 64;
        lines |= 1ull << (place / 64) % 64;
    }
    assert(pages == UINT64_MAX && lines == UINT64_MAX);
    pv_machine_close(machine);
}

int main(void)
{
    windows_are_in_different_sets(1u << 20);
    windows_are_in_different_sets(16ull << 30);
    return 0;
}
