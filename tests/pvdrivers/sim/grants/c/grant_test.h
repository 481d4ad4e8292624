/* A machine with three domains, and short names for what tests of the grant table do. */
#ifndef TESTS_GRANT_TEST_H
#define TESTS_GRANT_TEST_H

#include "pvdrivers/sim/grants/internal.h"
#include "pvdrivers/sim/machine_grants.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BACK, FRONT, THIRD, WIDE, DOMAINS }; /* WIDE has 16 KiB pages */
#define PAGES 64

struct fixture {
    struct pv_machine *machine;
    struct pv_hypervisor *hv[DOMAINS];
    struct pv_grant_entries table[DOMAINS];
};

static inline void add_domain(struct fixture *f, domid_t domid)
{
    struct pv_domain_config config = {.abi = domid == WIDE ? PV_ABI_IA64 : PV_ABI_X86_64,
                                      .memory = PAGES * (domid == WIDE ? 16384 : 4096),
                                      .vcpus = 1,
                                      .privileged = domid == BACK};
    assert(pv_domain_create(f->machine, domid, &config) == domid);
    assert(pv_domain_unpause(f->machine, domid) == 0);
    assert(pv_machine_open_hypervisor(f->machine, domid, &f->hv[domid]) == 0);
    assert(pv_gnttab_entries(f->machine, domid, &f->table[domid]) == 0);
}

static inline struct fixture set_up_with(uint64_t memory)
{
    struct fixture f = {0};
    struct pv_memory_extent extent = {.size = memory};
    struct pv_machine_config config = {
        .extents = &extent, .extent_count = 1, .max_domains = 8, .max_domain_memory = 16u << 20};
    assert(pv_machine_create(&config, &f.machine) == 0);
    for (domid_t domid = 0; domid < DOMAINS; domid++)
        add_domain(&f, domid);
    return f;
}

static inline struct fixture set_up(void)
{
    return set_up_with(64u << 20);
}

static inline void tear_down(struct fixture *f)
{
    for (domid_t domid = 0; domid < DOMAINS; domid++)
        if (f->hv[domid])
            f->hv[domid]->ops->close(f->hv[domid]);
    pv_machine_close(f->machine);
}

static inline void set_version(struct fixture *f, domid_t domid, uint32_t version)
{
    struct gnttab_set_version op = {version};
    assert(pv_gnttab_op_set_version(f->machine, domid, &op) == 0 && op.version == version);
    assert(pv_gnttab_entries(f->machine, domid, &f->table[domid]) == 0);
}

/* The bytes of a guest page, by gfn. */
static inline uint8_t *page_of(struct fixture *f, domid_t domid, uint64_t gfn)
{
    int64_t mfn = pv_domain_gfn_to_mfn(f->machine, domid, gfn);
    assert(mfn >= 0);
    return frame_address(f->machine, (uint64_t)mfn);
}

static inline uint32_t references(struct fixture *f, domid_t domid, uint64_t gfn)
{
    return page_state(f->machine, (uint64_t)pv_domain_gfn_to_mfn(f->machine, domid, gfn)).count;
}

/* The type and access bits of an entry, marks included. */
static inline uint16_t flags_of(struct fixture *f, domid_t domid, grant_ref_t ref)
{
    return pv_grant_entry_header(&f->table[domid], ref)->flags;
}

static inline struct gnttab_map_grant_ref map(struct fixture *f, domid_t ld, domid_t rd,
                                              grant_ref_t ref, uint32_t flags)
{
    struct gnttab_map_grant_ref op = {.flags = flags, .ref = ref, .dom = rd, .status = 1};
    assert(pv_gnttab_op_map(f->machine, ld, &op, 1) == 0);
    assert(op.status <= 0); /* XSA-316 */
    return op;
}

static inline int16_t unmap(struct fixture *f, domid_t ld,
                            const struct gnttab_map_grant_ref *mapped, uint32_t parts)
{
    struct gnttab_unmap_grant_ref op = {
        .handle = mapped->handle,
        .host_addr = parts & GNTMAP_host_map ? mapped->host_addr : 0,
        .dev_bus_addr = parts & GNTMAP_device_map ? mapped->dev_bus_addr : 0,
        .status = 1};
    assert(pv_gnttab_op_unmap(f->machine, ld, &op, 1) == 0);
    return op.status;
}

static inline int16_t copy(struct fixture *f, domid_t ld, struct gnttab_copy_x86_64 op)
{
    op.status = 1;
    assert(pv_gnttab_op_copy(f->machine, ld, &op, 1) == 0);
    return op.status;
}

/* From a grant into page `gfn` of the caller. */
static inline struct gnttab_copy_x86_64 from_grant(domid_t rd, grant_ref_t ref, uint16_t offset,
                                                   uint16_t len, uint64_t gfn)
{
    struct gnttab_copy_x86_64 op = {.len = len, .flags = GNTCOPY_source_gref};
    op.source.u.ref = ref;
    op.source.domid = rd;
    op.source.offset = offset;
    op.dest.u.gmfn = gfn;
    op.dest.domid = DOMID_SELF;
    return op;
}

static inline struct gnttab_copy_x86_64 to_grant(uint64_t gfn, domid_t rd, grant_ref_t ref,
                                                 uint16_t offset, uint16_t len)
{
    struct gnttab_copy_x86_64 op = {.len = len, .flags = GNTCOPY_dest_gref};
    op.source.u.gmfn = gfn;
    op.source.domid = DOMID_SELF;
    op.dest.u.ref = ref;
    op.dest.domid = rd;
    op.dest.offset = offset;
    return op;
}

#define PINS(f, domid, ref) pv_gnttab_pins((f)->machine, domid, ref)

#endif
