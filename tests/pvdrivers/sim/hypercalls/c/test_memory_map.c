/* Memory maps by Xen's numbers: a domain's, which its builder sets, and the machine's with holes.
 */
#include "pvdrivers/sim/hypercall.h"
#include "pvdrivers/sim/hypercalls/abi_memory.h"
#include "pvdrivers/sim/machine_memory.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define MOST 1024u

struct entry {
    uint64_t addr, size;
    uint32_t type;
} __attribute__((packed));

static struct pv_machine *machine;

static void make_machine(void)
{
    const struct pv_memory_extent extents[] = {{.size = 16 * MIB},
                                               {.start = 32 * MIB, .size = 16 * MIB},
                                               {.start = 3 * GIB, .size = 2 * GIB}};
    const struct pv_machine_config config = {
        .extents = extents, .extent_count = 3, .max_domains = 4, .max_domain_memory = 16 * MIB};
    const struct pv_domain_config dom0 = {.memory = MIB, .vcpus = 1, .privileged = true};
    const struct pv_domain_config guest = {.memory = MIB, .vcpus = 1};
    assert(pv_machine_create(&config, &machine) == 0);
    assert(pv_domain_create(machine, 0, &dom0) == 0);
    assert(pv_domain_create(machine, 1, &guest) == 1);
    assert(pv_domain_create(machine, 2, &guest) == 2);
}

static int64_t call(domid_t caller, uint32_t cmd, void *argument)
{
    const uint64_t args[PV_HYPERCALL_ARGS] = {cmd, (uintptr_t)argument};
    return pv_hypercall(machine, caller, __HYPERVISOR_memory_op, args);
}

static int64_t set(domid_t caller, domid_t domid, const struct entry *entries, uint32_t count)
{
    struct xen_foreign_memory_map map = {domid, {count, (uintptr_t)entries}};
    return call(caller, XENMEM_set_memory_map, &map);
}

static int64_t get(domid_t caller, uint32_t cmd, struct entry *entries, uint32_t *count)
{
    struct xen_memory_map map = {*count, (uintptr_t)entries};
    int64_t result = call(caller, cmd, &map);
    *count = map.nr_entries;
    return result;
}

/* ---- A domain's ------------------------------------------------------------------------------ */

static const struct entry wanted[] = {
    {0, 640 << 10, 1}, {640 << 10, 384 << 10, 2}, {MIB, 7 * MIB, 1}};

static void check_is_wanted(domid_t caller)
{
    struct entry entries[4];
    uint32_t count = 4;
    memset(entries, 0xA5, sizeof entries);
    assert(get(caller, XENMEM_memory_map, entries, &count) == 0);
    assert(count == 3 && memcmp(entries, wanted, sizeof wanted) == 0);
    assert(entries[3].type == 0xA5A5A5A5u);
    count = 2; /* what there is room for */
    assert(get(caller, XENMEM_memory_map, entries, &count) == 0 && count == 2);
}

static void test_of_a_domain(void)
{
    struct entry entries[4];
    uint32_t count = 4;
    assert(get(1, XENMEM_memory_map, entries, &count) == -ENOSYS);
    assert(set(0, 1, wanted, 3) == 0);
    check_is_wanted(1);
    assert(get(2, XENMEM_memory_map, entries, &count) == -ENOSYS);
    assert(set(2, DOMID_SELF, wanted, 3) == 0);
    check_is_wanted(2);
    assert(set(1, 1, wanted, 0) == 0);
    assert(get(1, XENMEM_memory_map, entries, &count) == -ENOSYS);
}

static void test_what_is_refused(void)
{
    static struct entry many[MOST + 1];
    struct entry *nowhere = (struct entry *)8;
    uint32_t count = 3;
    assert(set(0, 1, wanted, 3) == 0);
    assert(set(1, 2, wanted, 1) == -EPERM && set(0, 3, wanted, 1) == -ESRCH);
    assert(set(0, 1, many, MOST + 1) == -EINVAL && set(0, 1, nowhere, 3) == -EFAULT);
    assert(get(1, XENMEM_memory_map, nowhere, &count) == -EFAULT);
    check_is_wanted(1); /* as it was */
    assert(set(0, 1, many, MOST) == 0);
}

static void test_the_next_domain_has_none(void)
{
    struct entry entries[4];
    uint32_t count = 4;
    const struct pv_domain_config guest = {.memory = MIB, .vcpus = 1};
    assert(set(0, 1, wanted, 3) == 0);
    assert(pv_domain_destroy(machine, 1) == 0 && pv_domain_create(machine, 1, &guest) == 1);
    assert(get(1, XENMEM_memory_map, entries, &count) == -ENOSYS);
}

/* ---- The machine's --------------------------------------------------------------------------- */

/* 4 GiB lies within memory: that is one entry. */
static void test_of_the_machine(void)
{
    struct entry entries[8];
    uint32_t count = 0;
    assert(get(0, XENMEM_machine_memory_map, NULL, &count) == 0 && count == 3);
    assert(get(0, XENMEM_machine_memory_map, entries, &count) == -EINVAL); /* one more, as Xen */
    count = 8;
    assert(get(0, XENMEM_machine_memory_map, entries, &count) == 0 && count == 3);
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t first = entries[i].addr >> 12, end = first + (entries[i].size >> 12);
        assert(entries[i].type == 1);
        assert(pv_machine_check_frame(machine, first) == 0);
        assert(pv_machine_check_frame(machine, end - 1) == 0);
        assert(i + 1 == count || pv_machine_check_frame(machine, end) == -EFAULT);
        size += entries[i].size;
    }
    assert(size == pv_machine_total_memory(machine));
    assert(entries[2].addr == 3 * GIB && entries[2].size == 2 * GIB);
    assert(get(1, XENMEM_machine_memory_map, entries, &count) == -EPERM);
}

int main(void)
{
    make_machine();
    test_of_a_domain();
    test_what_is_refused();
    test_the_next_domain_has_none();
    test_of_the_machine();
    pv_machine_close(machine);
    return 0;
}
