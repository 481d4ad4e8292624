/* An ia64 dom0 and a guest that make any calls on their physmaps, with any bytes as their buffers'
 * descriptors: every page that either finds is memory, translations agree, and in the end all
 * memory is the machine's again.
 * Input: what is in dom0's page of descriptors (256 bytes), then calls: a byte for operation and
 * caller, then four arguments of a byte for the kind and two for the number. */
#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/ia64.h"
#include "tests/fuzz/input.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)
#define PAGES 64       /* of each domain */
#define DESCRIPTORS 20 /* the page of them */
#define ENTRIES 2048ull
#define MAX_CALLS 100

static domid_t create(struct pv_machine *machine, bool privileged)
{
    const struct pv_domain_config config = {
        .abi = PV_ABI_IA64, .memory = PAGES << 14, .vcpus = 2, .privileged = privileged};
    int domid = pv_domain_create(machine, DOMID_INVALID, &config);
    assert(domid >= 0);
    return (domid_t)domid;
}

static void write_descriptors(struct pv_machine *machine, domid_t domid, struct input *input)
{
    struct pv_hypervisor *hv;
    const uint64_t gfn = DESCRIPTORS;
    assert(pv_machine_open_hypervisor(machine, domid, &hv) == 0);
    void *page = hv->ops->foreign_map(hv, domid, &gfn, 1, false);
    assert(page);
    take(input, page, 256);
    hv->ops->foreign_unmap(hv, domid, page, 1);
    hv->ops->close(hv);
}

static uint64_t take_argument(struct input *input, const domid_t *domids)
{
    const uint64_t bases[] = {0,
                              PAGES,
                              PV_IA64_SHARED_INFO_GFN,
                              0x100000,
                              DESCRIPTORS << 14,
                              XENCOMM_INLINE_FLAG | DESCRIPTORS << 14,
                              XENCOMM_INLINE_FLAG,
                              domids[0],
                              domids[1],
                              1ull << 36,
                              UINT64_MAX - 16,
                              4 * MIB >> 14,
                              2 * MIB,
                              ENTRIES, /* of a page of a P2M table */
                              ENTRIES << 14};
    uint8_t kind;
    uint16_t number;
    take(input, &kind, sizeof kind);
    take(input, &number, sizeof number);
    return bases[kind % (sizeof bases / sizeof *bases)] + number;
}

static void check_pages(struct pv_machine *machine, domid_t domid)
{
    const uint64_t spans[][2] = {{0, PAGES + 4}, {PV_IA64_SHARED_INFO_GFN, 70}, {0x100000, 4}};
    for (unsigned span = 0; span < 3; span++)
        for (uint64_t i = 0; i < spans[span][1]; i++) {
            uint64_t args[4] = {spans[span][0] + i};
            int64_t mfn = pv_domain_gfn_to_mfn(machine, domid, args[0]);
            assert(mfn < 0 || pv_machine_check_frame(machine, (uint64_t)mfn) == 0);
            args[0] = (uint64_t)pv_ia64_dom0vp_op(machine, domid, IA64_DOM0VP_phystomach, args);
            assert(mfn < 0 || (int64_t)args[0] == mfn >> 2);
            if (mfn >= 0 && span == 0)
                assert(pv_ia64_dom0vp_op(machine, domid, IA64_DOM0VP_machtophys, args) ==
                       (int64_t)i);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pv_memory_extent extents[] = {{0, 2 * MIB}, {4 * MIB, 2 * MIB}};
    const struct pv_machine_config config = {
        .extents = extents, .extent_count = 2, .max_domains = 2, .max_domain_memory = MIB};
    const struct efi_memory_desc map[] = {
        {.type = EFI_CONVENTIONAL_MEMORY, .num_pages = 512, .attribute = EFI_MEMORY_WB},
        {.type = EFI_MEMORY_MAPPED_IO, .phys_addr = 2 * MIB, .num_pages = 256},
        {.type = EFI_CONVENTIONAL_MEMORY,
         .phys_addr = 4 * MIB,
         .num_pages = 512,
         .attribute = EFI_MEMORY_WB}};
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    struct input input = {copy, size};
    struct pv_machine *machine;
    assert(pv_machine_create(&config, &machine) == 0);
    assert(pv_machine_set_efi_map(machine, map, 3) == 0);
    uint64_t free_memory = pv_machine_free_memory(machine);
    const domid_t domids[] = {create(machine, true), create(machine, false)};
    write_descriptors(machine, domids[0], &input);
    for (unsigned i = 0; i < MAX_CALLS && input.left; i++) {
        uint8_t what;
        uint64_t args[4];
        take(&input, &what, sizeof what);
        for (unsigned arg = 0; arg < 4; arg++)
            args[arg] = take_argument(&input, domids);
        domid_t caller = domids[what >> 7];
        if ((what & 0x1f) == 0x1f)
            pv_ia64_machine_memory_map(machine, caller, args[0]);
        else
            pv_ia64_dom0vp_op(machine, caller, what & 0x1f, args);
    }
    for (unsigned i = 0; i < 2; i++)
        check_pages(machine, domids[i]);
    for (unsigned i = 2; i-- > 0;)
        assert(pv_domain_destroy(machine, domids[i]) == 0);
    assert(pv_machine_free_memory(machine) == free_memory);
    pv_machine_close(machine);
    free(copy);
    return 0;
}
