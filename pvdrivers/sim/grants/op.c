/* The grant-table hypercall as the guest's kernel makes it: arguments in Xen's own structures. */
#include "pvdrivers/sim/grants/internal.h"

#include "pvdrivers/sim/machine_grants.h"

#include <errno.h>

/* Hypercalls are made for a domain, not through an open view of it. */
static uint32_t op_owner(const struct pv_machine *machine)
{
    return grant_owner(machine->client, 0);
}

/* XSA-318: a caller must never take for a result what it had put there itself. */
#define REFUSE(ops, count, code)                                                                   \
    for (unsigned refused_ = 0; refused_ < (count); refused_++)                                    \
    (ops)[refused_].status = (code)

/* ---- Map and unmap --------------------------------------------------------------------------- */

static void map_chunk(struct pv_machine *machine, struct domain *ld,
                      struct gnttab_map_grant_ref *ops, unsigned count)
{
    struct pv_grant_map maps[GRANT_BATCH];
    for (unsigned i = 0; i < count; i++)
        maps[i] = (struct pv_grant_map){
            .ref = ops[i].ref, .domid = ops[i].dom, .flags = (uint16_t)ops[i].flags};
    grant_map_batch(machine, ld, op_owner(machine), maps, count);
    for (unsigned i = 0; i < count; i++) {
        ops[i].status = maps[i].status;
        if (maps[i].status != GNTST_okay)
            continue;
        ops[i].handle = maps[i].handle;
        ops[i].host_addr = (uintptr_t)maps[i].address;
        ops[i].dev_bus_addr = (uint64_t)((uint8_t *)maps[i].address - machine->memory);
    }
}

int pv_gnttab_op_map(struct pv_machine *machine, domid_t domid, struct gnttab_map_grant_ref *ops,
                     unsigned count)
{
    RCU_SECTION(machine);
    struct domain *ld = find_live_domain(machine, NULL, domid);
    REFUSE(ops, count, GNTST_general_error);
    if (!ld)
        return -ESRCH;
    account(ld, PV_ACCOUNT_GNTTAB_MAP_CALL, 1);
    for (unsigned i = 0; i < count; i += GRANT_BATCH)
        map_chunk(machine, ld, ops + i, count - i < GRANT_BATCH ? count - i : GRANT_BATCH);
    return 0;
}

/* Both addresses name one page, so one of them is checked for both. */
static void *unmap_address(const struct pv_machine *machine,
                           const struct gnttab_unmap_grant_ref *op)
{
    uint8_t *host = (uint8_t *)(uintptr_t)op->host_addr;
    uint8_t *device = op->dev_bus_addr ? machine->memory + op->dev_bus_addr : NULL;
    if (host && device && host != device)
        return machine->memory + 1; /* no page's address */
    return host ? host : device;
}

static void unmap_chunk(struct pv_machine *machine, struct domain *ld,
                        struct gnttab_unmap_grant_ref *ops, unsigned count)
{
    struct pv_grant_map maps[GRANT_BATCH];
    for (unsigned i = 0; i < count; i++)
        maps[i] = (struct pv_grant_map){.handle = ops[i].handle,
                                        .flags = (ops[i].host_addr ? GNTMAP_host_map : 0) |
                                                 (ops[i].dev_bus_addr ? GNTMAP_device_map : 0),
                                        .address = unmap_address(machine, &ops[i])};
    grant_unmap_batch(machine, ld, maps, count, false);
    for (unsigned i = 0; i < count; i++)
        ops[i].status =
            maps[i].status == GNTST_bad_virt_addr ? GNTST_general_error : maps[i].status;
}

int pv_gnttab_op_unmap(struct pv_machine *machine, domid_t domid,
                       struct gnttab_unmap_grant_ref *ops, unsigned count)
{
    RCU_SECTION(machine);
    struct domain *ld = find_domain(machine, domid);
    REFUSE(ops, count, GNTST_general_error);
    if (!ld)
        return -ESRCH;
    account(ld, PV_ACCOUNT_GNTTAB_UNMAP_CALL, 1);
    for (unsigned i = 0; i < count; i += GRANT_BATCH)
        unmap_chunk(machine, ld, ops + i, count - i < GRANT_BATCH ? count - i : GRANT_BATCH);
    return 0;
}

int pv_gnttab_op_unmap_and_replace(struct pv_machine *machine, domid_t domid,
                                   struct gnttab_unmap_and_replace *ops, unsigned count)
{
    RCU_SECTION(machine);
    REFUSE(ops, count, GNTST_general_error);
    return find_domain(machine, domid) ? -EOPNOTSUPP : -ESRCH;
}

/* ---- Copy ------------------------------------------------------------------------------------ */

/* One end as the copy core takes it. */
static struct pv_grant_copy_end convert_end(struct pv_machine *machine, const struct domain *ld,
                                            const struct gnttab_copy_ptr_x86_64 *ptr, bool gref)
{
    struct pv_grant_copy_end end = {.domid = ptr->domid, .offset = ptr->offset};
    if (gref) {
        end.ref = ptr->u.ref;
        return end;
    }
    uint64_t mfn = gfn_to_mfn(machine, ld, ptr->u.gmfn);
    if (mfn != NO_FRAME)
        end.address = frame_address(machine, mfn);
    return end;
}

static void copy_chunk(struct pv_machine *machine, struct domain *ld,
                       struct gnttab_copy_x86_64 *ops, unsigned count)
{
    struct pv_grant_copy copies[COPY_RUN];
    for (unsigned i = 0; i < count; i++) {
        copies[i] = (struct pv_grant_copy){.len = ops[i].len, .flags = ops[i].flags};
        copies[i].source =
            convert_end(machine, ld, &ops[i].source, ops[i].flags & GNTCOPY_source_gref);
        copies[i].dest = convert_end(machine, ld, &ops[i].dest, ops[i].flags & GNTCOPY_dest_gref);
    }
    grant_copy_batch(machine, ld, op_owner(machine), copies, count, true);
    for (unsigned i = 0; i < count; i++)
        ops[i].status = copies[i].status;
}

int pv_gnttab_op_copy(struct pv_machine *machine, domid_t domid, struct gnttab_copy_x86_64 *ops,
                      unsigned count)
{
    RCU_SECTION(machine);
    struct domain *ld = find_live_domain(machine, NULL, domid);
    REFUSE(ops, count, GNTST_general_error);
    if (!ld)
        return -ESRCH;
    account(ld, PV_ACCOUNT_GNTTAB_COPY_CALL, 1);
    for (unsigned i = 0; i < count; i += COPY_RUN)
        copy_chunk(machine, ld, ops + i, count - i < COPY_RUN ? count - i : COPY_RUN);
    return 0;
}

/* ---- The rest -------------------------------------------------------------------------------- */

int pv_gnttab_op_cache_flush(struct pv_machine *machine, domid_t domid,
                             struct gnttab_cache_flush *ops, unsigned count)
{
    RCU_SECTION(machine);
    (void)ops;
    (void)count;
    return find_domain(machine, domid) ? -EOPNOTSUPP : -ESRCH;
}

int pv_gnttab_entries(struct pv_machine *machine, domid_t domid, struct pv_grant_entries *entries)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    grant_lock(machine, d);
    *entries = grant_entries(machine, d);
    grant_unlock(d);
    return 0;
}

int64_t pv_gnttab_pins(struct pv_machine *machine, domid_t domid, grant_ref_t ref)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    grant_lock(machine, d);
    int64_t pins = ref < grant_entries(machine, d).count
                       ? (int64_t)domain_grant_area(machine, d)->active[ref].pin
                       : -EINVAL;
    grant_unlock(d);
    return pins;
}

int64_t pv_gnttab_handles(struct pv_machine *machine, domid_t domid)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    return d ? (int64_t)__atomic_load_n(&d->maptrack.in_use, __ATOMIC_ACQUIRE) : -ESRCH;
}
