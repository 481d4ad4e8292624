/* The shape of a grant table: its size, its version, the order of its entries. */
#include "pvdrivers/sim/grants/internal.h"

#include "pvdrivers/sim/machine_grants.h"

#include <errno.h>
#include <string.h>

#define GRANTS_PER_STATUS_FRAME 8 /* grant frames whose status words fill one frame */

/* The domain an operation is about: oneself, or another for the privileged. */
static int16_t find_target(struct pv_machine *machine, domid_t caller, domid_t domid,
                           struct domain **target)
{
    struct domain *ld = find_live_domain(machine, NULL, caller);
    *target = ld ? find_live_domain(machine, ld, domid) : NULL;
    if (!*target)
        return GNTST_bad_domain;
    account(ld, PV_ACCOUNT_GNTTAB_OTHER, 1);
    return *target == ld || ld->privileged ? GNTST_okay : GNTST_permission_denied;
}

static int caller_exists(struct pv_machine *machine, domid_t domid)
{
    return find_live_domain(machine, NULL, domid) ? 0 : -ESRCH;
}

/* ---- Size ------------------------------------------------------------------------------------ */

static void list_frames(struct pv_machine *machine, const struct domain *d, uint64_t offset,
                        uint32_t count, uint64_t *list)
{
    const uint8_t *first = domain_xenheap(machine, d, offset);
    for (uint32_t i = 0; i < count; i++)
        list[i] =
            (uint64_t)(first - machine->memory + ((uint64_t)i << d->page_shift)) >> FRAME_SHIFT;
}

int pv_gnttab_op_setup_table(struct pv_machine *machine, domid_t domid,
                             struct gnttab_setup_table_x86_64 *op)
{
    RCU_SECTION(machine);
    struct domain *d;
    op->status = find_target(machine, domid, op->dom, &d);
    if (op->status == GNTST_okay) {
        grant_lock(machine, d);
        op->status = grant_grow(d, op->nr_frames);
        grant_unlock(d);
    }
    if (op->status == GNTST_okay)
        list_frames(machine, d, XENHEAP_GRANT_FRAMES, op->nr_frames,
                    (uint64_t *)(uintptr_t)op->frame_list);
    return caller_exists(machine, domid);
}

int pv_gnttab_op_query_size(struct pv_machine *machine, domid_t domid, struct gnttab_query_size *op)
{
    RCU_SECTION(machine);
    struct domain *d;
    op->status = find_target(machine, domid, op->dom, &d);
    if (op->status == GNTST_okay) {
        grant_lock(machine, d);
        op->nr_frames = d->grant_table.nr_grant_frames;
        op->max_nr_frames = d->grant_table.max_grant_frames;
        grant_unlock(d);
    }
    return caller_exists(machine, domid);
}

int pv_gnttab_op_get_status_frames(struct pv_machine *machine, domid_t domid,
                                   struct gnttab_get_status_frames_x86_64 *op)
{
    RCU_SECTION(machine);
    struct domain *d;
    op->status = find_target(machine, domid, op->dom, &d);
    if (op->status == GNTST_okay) {
        grant_lock(machine, d);
        uint32_t frames = d->grant_table.gt_version == 2
                              ? (d->grant_table.nr_grant_frames + GRANTS_PER_STATUS_FRAME - 1) /
                                    GRANTS_PER_STATUS_FRAME
                              : 0;
        grant_unlock(d);
        if (op->nr_frames > frames)
            op->status = GNTST_general_error;
        else /* as many as asked for, the array has no more (XSA-382) */
            list_frames(machine, d, XENHEAP_STATUS_FRAMES, op->nr_frames,
                        (uint64_t *)(uintptr_t)op->frame_list);
    }
    return caller_exists(machine, domid);
}

/* ---- Version --------------------------------------------------------------------------------- */

int pv_gnttab_op_get_version(struct pv_machine *machine, domid_t domid,
                             struct gnttab_get_version *op)
{
    RCU_SECTION(machine);
    struct domain *d;
    int16_t status = find_target(machine, domid, op->dom, &d);
    if (status != GNTST_okay)
        return status == GNTST_bad_domain ? -ESRCH : -EPERM;
    grant_lock(machine, d);
    op->version = d->grant_table.gt_version;
    grant_unlock(d);
    return 0;
}

/* A reserved entry, in the form both versions can say. */
struct reserved_entry {
    uint16_t flags; /* with the marks, as in version 1 */
    domid_t domid;
    uint64_t frame;
};

static int check_change(struct pv_machine *machine, struct domain *d, uint32_t version)
{
    const struct grant_table *gt = &d->grant_table;
    const struct active_grant_entry *active = domain_grant_area(machine, d)->active;
    const struct pv_grant_entries entries = grant_entries(machine, d);
    for (grant_ref_t ref = GNTTAB_NR_RESERVED_ENTRIES; ref < entries.count; ref++)
        if (active[ref].pin)
            return -EBUSY;
    if (version == 2)
        return 0;
    if (gt->copies)
        return -EAGAIN;
    for (grant_ref_t ref = 0; ref < GNTTAB_NR_RESERVED_ENTRIES; ref++) {
        const union grant_entry_v2 *entry = pv_grant_entry_v2(&entries, ref);
        uint16_t type = entry->hdr.flags & GTF_type_mask;
        if (type == GTF_transitive ||
            (type == GTF_permit_access && entry->full_page.frame > UINT32_MAX))
            return -ERANGE;
    }
    return 0;
}

static void save_reserved(const struct pv_grant_entries *entries, struct reserved_entry *saved)
{
    for (grant_ref_t ref = 0; ref < GNTTAB_NR_RESERVED_ENTRIES; ref++) {
        const struct grant_entry_header header = *pv_grant_entry_header(entries, ref);
        saved[ref] = (struct reserved_entry){.flags = header.flags, .domid = header.domid};
        if (entries->version == 1) {
            saved[ref].frame = pv_grant_entry_v1(entries, ref)->frame;
        } else if ((header.flags & GTF_type_mask) == GTF_permit_access) {
            saved[ref].frame = pv_grant_entry_v2(entries, ref)->full_page.frame;
            saved[ref].flags |= entries->status[ref] & (GTF_reading | GTF_writing);
        } else {
            saved[ref] = (struct reserved_entry){0}; /* nothing the toolstack puts there */
        }
    }
}

static void restore_reserved(const struct pv_grant_entries *entries,
                             const struct reserved_entry *saved)
{
    const uint16_t marks = GTF_reading | GTF_writing;
    for (grant_ref_t ref = 0; ref < GNTTAB_NR_RESERVED_ENTRIES; ref++) {
        if (entries->version == 1) {
            *pv_grant_entry_v1(entries, ref) = (struct grant_entry_v1){
                saved[ref].flags, saved[ref].domid, (uint32_t)saved[ref].frame};
            continue;
        }
        entries->status[ref] = saved[ref].flags & marks;
        union grant_entry_v2 *entry = pv_grant_entry_v2(entries, ref);
        entry->full_page.frame = saved[ref].frame;
        entry->hdr.domid = saved[ref].domid;
        entry->hdr.flags = saved[ref].flags & (uint16_t)~marks;
    }
}

static void change_version(struct pv_machine *machine, struct domain *d, uint32_t version)
{
    struct reserved_entry saved[GNTTAB_NR_RESERVED_ENTRIES];
    const struct pv_grant_entries old = grant_entries(machine, d);
    save_reserved(&old, saved);
    memset(old.shared, 0, (size_t)d->grant_table.nr_grant_frames << d->page_shift);
    memset(old.status, 0, MAX_GRANT_ENTRIES / 2 * sizeof *old.status);
    /* Release, for the guest's processes, which look without the lock. */
    __atomic_store_n(&d->grant_table.gt_version, version, __ATOMIC_RELEASE);
    const struct pv_grant_entries new = grant_entries(machine, d);
    restore_reserved(&new, saved);
}

int pv_gnttab_op_set_version(struct pv_machine *machine, domid_t domid,
                             struct gnttab_set_version *op)
{
    RCU_SECTION(machine);
    struct domain *d;
    if (find_target(machine, domid, DOMID_SELF, &d) != GNTST_okay)
        return -ESRCH;
    int error = 0;
    grant_lock(machine, d);
    if (op->version != 1 && op->version != 2)
        error = -EINVAL;
    else if (op->version > d->grant_table.max_version)
        error = -ENOSYS;
    else if (op->version != d->grant_table.gt_version)
        error = check_change(machine, d, op->version);
    if (!error && op->version != d->grant_table.gt_version)
        change_version(machine, d, op->version);
    op->version = d->grant_table.gt_version;
    grant_unlock(d);
    return error;
}

/* ---- Order ----------------------------------------------------------------------------------- */

static int16_t swap_refs(struct pv_machine *machine, struct domain *d, grant_ref_t a, grant_ref_t b)
{
    const struct pv_grant_entries entries = grant_entries(machine, d);
    const struct active_grant_entry *active = domain_grant_area(machine, d)->active;
    if (a >= entries.count || b >= entries.count)
        return GNTST_bad_gntref;
    if (a == b)
        return GNTST_okay;
    if (active[a].pin || active[b].pin)
        return GNTST_eagain;
    if (entries.version == 1) {
        struct grant_entry_v1 *v1 = entries.shared, kept = v1[a];
        v1[a] = v1[b];
        v1[b] = kept;
    } else {
        union grant_entry_v2 *v2 = entries.shared, kept = v2[a];
        v2[a] = v2[b];
        v2[b] = kept;
    }
    return GNTST_okay;
}

int pv_gnttab_op_swap_grant_ref(struct pv_machine *machine, domid_t domid,
                                struct gnttab_swap_grant_ref *ops, unsigned count)
{
    RCU_SECTION(machine);
    struct domain *d;
    int16_t status = find_target(machine, domid, DOMID_SELF, &d);
    for (unsigned i = 0; i < count; i++)
        ops[i].status = GNTST_general_error;
    if (status != GNTST_okay)
        return -ESRCH;
    for (unsigned i = 0; i < count; i++) {
        grant_lock(machine, d);
        ops[i].status = swap_refs(machine, d, ops[i].ref_a, ops[i].ref_b);
        grant_unlock(d);
    }
    return 0;
}
