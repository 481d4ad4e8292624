/*
 * Copying through grants. A batch is worked off in runs: consecutive elements whose ends lie with
 * the same domains. A run pins all its ends under one hold of each lock, copies with no lock
 * held, and lets the pins go again. Every run is on record in the granting domain's table, so
 * that the pins of a killed process can be found.
 */
#include "pvdrivers/sim/grants/internal.h"

#include <errno.h>
#include <string.h>

#define TRANSITIVE_TRIES 5 /* against entries that keep changing while their lock is dropped */

/* One pinned end of one element. */
struct pinned_end {
    uint8_t *page;
    uint32_t start, end; /* what the grant covers, bytes in the page */
};

/* All ends of a run on one side. */
struct copy_side {
    struct domain *d; /* NULL: local memory */
    bool write;
    struct copy_run *run;
    struct domain *trans; /* the page's owner, when the run is one transitive grant */
    struct copy_run *trans_run;
    uint32_t page_size; /* bytes, once pinned; UINT32_MAX: addresses, not offsets in pages */
    struct pinned_end ends[COPY_RUN];
};

struct copy_context {
    struct pv_machine *machine;
    struct domain *ld; /* whose call it is */
    uint32_t owner;
    bool local_pages; /* local ends are whole pages of ld plus an offset, as in the hypercall */
};

/* ---- Runs on record -------------------------------------------------------------------------- */

static struct copy_run *begin_run(struct pv_machine *machine, struct domain *d, uint32_t owner)
{
    struct copy_run *runs = domain_grant_area(machine, d)->copy_runs;
    for (unsigned i = 0; i < COPY_RUNS; i++)
        if (runs[i].owner == 0) {
            runs[i].count = 0;
            runs[i].waiting = 0;
            runs[i].owner = owner;
            grant_count(&d->grant_table.copies, 1);
            return &runs[i];
        }
    return NULL;
}

/* Release: the pin is there before the count covers it, and the page is pending repair before the
 * count no longer covers it. */
static void set_count(struct copy_run *run, uint32_t count)
{
    __atomic_store_n(&run->count, count, __ATOMIC_RELEASE);
}

static void record_pin(struct copy_run *run, uint64_t pin)
{
    run->pins[run->count] = pin;
    set_count(run, run->count + 1);
}

/* Takes a page of the copier's own into use. */
static int16_t hold_page(struct pv_machine *machine, struct domain *ld, struct copy_run *run,
                         uint64_t mfn)
{
    grant_page_pending_repair(ld, mfn);
    int16_t status = get_page(machine, mfn, ld) ? GNTST_bad_page : GNTST_okay;
    if (status == GNTST_okay)
        record_pin(run, mfn | COPY_RUN_page);
    grant_page_pending_repair(ld, NO_FRAME);
    return status;
}

static void let_page_go(struct pv_machine *machine, struct domain *ld, struct copy_run *run,
                        uint64_t mfn)
{
    grant_page_pending_repair(ld, mfn);
    set_count(run, run->count - 1);
    put_page(machine, mfn);
    grant_page_pending_repair(ld, NO_FRAME);
}

static uint64_t grant_pin_of(grant_ref_t ref, bool write)
{
    return write ? ref | COPY_RUN_write : ref;
}

void copy_run_release(struct pv_machine *machine, struct domain *d, struct copy_run *run)
{
    const struct locked_table table = locked_table(machine, d);
    while (run->count) {
        uint64_t pin = run->pins[run->count - 1];
        if (pin & COPY_RUN_page) {
            let_page_go(machine, d, run, pin & ~COPY_RUN_page);
            continue;
        }
        /* First: killed in between, the recount finds the pin unaccounted for. */
        set_count(run, run->count - 1);
        grant_unpin(&table, (grant_ref_t)pin & ~COPY_RUN_write,
                    pin & COPY_RUN_write ? GNTPIN_hstw_inc : GNTPIN_hstr_inc);
    }
    if (run->waiting)
        grant_clear_marks(&table, run->waiting - 1);
    run->waiting = 0;
    run->owner = 0;
    grant_count(&d->grant_table.copies, -1);
}

static void end_run(struct pv_machine *machine, struct domain *d, struct copy_run *run)
{
    grant_lock(machine, d);
    copy_run_release(machine, d, run);
    if (domain_is_dying(d) && d->grant_table.active_entries == 0)
        rcu_want_callbacks(machine);
    grant_unlock(d);
}

/* The ends are left as they are: clearing them would cost as much as a short copy. */
static void begin_side(struct copy_side *side, struct domain *d, bool write)
{
    side->d = d;
    side->write = write;
    side->run = side->trans_run = NULL;
    side->trans = NULL;
}

static void release_side(struct copy_context *context, struct copy_side *side)
{
    if (side->run)
        end_run(context->machine, side->d ? side->d : context->ld, side->run);
    if (side->trans_run)
        end_run(context->machine, side->trans, side->trans_run);
    side->run = side->trans_run = NULL;
}

/* ---- Pinning --------------------------------------------------------------------------------- */

static struct grant_use copy_use(domid_t domid, bool write)
{
    return (struct grant_use){
        .domid = domid, .pins = write ? GNTPIN_hstw_inc : GNTPIN_hstr_inc, .readonly = !write};
}

static struct pinned_end describe_end(struct pv_machine *machine,
                                      const struct active_grant_entry *act)
{
    return (struct pinned_end){.page = frame_address(machine, act->mfn),
                               .start = act->start,
                               .end = (uint32_t)act->start + act->length};
}

/* Pins what a transitive entry of `d` refers to, as if `d` were asking: one hop, no further. */
static int16_t pin_behind(struct copy_context *context, struct copy_side *side,
                          grant_ref_t trans_gref, struct active_grant_entry *behind)
{
    struct pv_machine *machine = context->machine;
    const struct grant_use use = copy_use(side->d->domain_id, side->write);
    grant_lock(machine, side->trans);
    const struct locked_table table = locked_table(machine, side->trans);
    int16_t status = domain_is_dying(side->trans) ? GNTST_bad_domain : GNTST_eagain;
    struct copy_run *run =
        status == GNTST_eagain ? begin_run(machine, side->trans, context->owner) : NULL;
    if (run) {
        status = grant_pin(&table, trans_gref, &use);
        if (status == GNTST_okay) {
            record_pin(run, grant_pin_of(trans_gref, side->write));
            *behind = table.active[trans_gref];
            side->trans_run = run;
        } else {
            if (status == GRANT_IS_TRANSITIVE) {
                grant_clear_marks(&table, trans_gref);
                status = GNTST_general_error;
            }
            copy_run_release(machine, side->trans, run);
        }
    }
    grant_unlock(side->trans);
    return status;
}

/* Whether a transitive entry is still what it was before its lock was dropped (XSA-226). */
static bool unchanged(const struct domain *d, const struct active_grant_entry *act,
                      const struct active_grant_entry *before,
                      const struct active_grant_entry *behind)
{
    if (d->grant_table.gt_version != 2 || act->pin != before->pin)
        return false;
    return before->pin == 0 ||
           (act->is_transitive && act->domid == before->domid && act->mfn == behind->mfn &&
            act->start == behind->start && act->length == behind->length &&
            act->trans_domid == before->trans_domid && act->trans_gref == before->trans_gref);
}

/* One try at a transitive entry grant_pin() has marked. Lock of side->d held, dropped on the way
 * and taken again. */
static int16_t follow_once(struct copy_context *context, struct copy_side *side, grant_ref_t ref)
{
    struct pv_machine *machine = context->machine;
    struct domain *d = side->d;
    struct active_grant_entry *act = &domain_grant_area(machine, d)->active[ref];
    struct active_grant_entry before = *act, behind;
    side->trans = before.trans_domid == d->domain_id
                      ? NULL
                      : find_live_domain(machine, NULL, before.trans_domid);
    int16_t status = GNTST_general_error;
    if (side->trans) {
        side->run->waiting = ref + 1;
        grant_unlock(d);
        status = pin_behind(context, side, before.trans_gref, &behind);
        grant_lock(machine, d);
        side->run->waiting = 0;
    }
    if (status == GNTST_okay && !unchanged(d, act, &before, &behind))
        status = GNTST_eagain;
    if (status != GNTST_okay) {
        const struct locked_table table = locked_table(machine, d);
        grant_clear_marks(&table, ref);
        return status;
    }
    uint32_t pins = side->write ? GNTPIN_hstw_inc : GNTPIN_hstr_inc;
    if (before.pin == 0) {
        *act = (struct active_grant_entry){.domid = context->ld->domain_id,
                                           .trans_domid = before.trans_domid,
                                           .trans_gref = before.trans_gref,
                                           .is_sub_page = true, /* never mappable */
                                           .is_transitive = true,
                                           .start = behind.start,
                                           .length = behind.length,
                                           .mfn = behind.mfn};
        grant_count(&d->grant_table.active_entries, 1);
    }
    act->pin = before.pin + pins;
    record_pin(side->run, grant_pin_of(ref, side->write));
    return GNTST_okay;
}

static int16_t follow_transitive(struct copy_context *context, struct copy_side *side,
                                 grant_ref_t ref)
{
    const struct grant_use use = copy_use(context->ld->domain_id, side->write);
    int16_t status = follow_once(context, side, ref);
    for (unsigned i = 1; status == GNTST_eagain && i < TRANSITIVE_TRIES; i++) {
        if (side->trans_run) {
            grant_unlock(side->d);
            end_run(context->machine, side->trans, side->trans_run);
            side->trans_run = NULL;
            grant_lock(context->machine, side->d);
        }
        const struct locked_table table = locked_table(context->machine, side->d);
        status = grant_pin(&table, ref, &use);
        if (status == GNTST_okay) /* it became an ordinary grant meanwhile */
            record_pin(side->run, grant_pin_of(ref, side->write));
        else if (status == GRANT_IS_TRANSITIVE)
            status = follow_once(context, side, ref);
    }
    return status;
}

static const struct pv_grant_copy_end *end_of(const struct pv_grant_copy *copy, bool write)
{
    return write ? &copy->dest : &copy->source;
}

static unsigned take_memory(struct copy_side *side, const struct pv_grant_copy *copies,
                            unsigned count, int16_t *status)
{
    for (unsigned i = 0; i < count; i++) {
        void *address = end_of(&copies[i], side->write)->address;
        if (!address) {
            *status = GNTST_bad_page;
            return i;
        }
        side->ends[i] = (struct pinned_end){.page = address, .end = UINT32_MAX};
    }
    return count;
}

/* Holds pages of the caller's own until the copy is done, as pin_side does with granted ones. */
static unsigned hold_own_pages(struct copy_context *context, struct copy_side *side,
                               const struct pv_grant_copy *copies, unsigned count, int16_t *status)
{
    struct pv_machine *machine = context->machine;
    struct domain *ld = context->ld;
    unsigned i = 0;
    grant_lock(machine, ld);
    *status = domain_is_dying(ld) ? GNTST_bad_domain : GNTST_eagain;
    side->run = *status == GNTST_eagain ? begin_run(machine, ld, context->owner) : NULL;
    for (; side->run && i < count; i++) {
        uint8_t *page = end_of(&copies[i], side->write)->address;
        *status = page ? hold_page(machine, ld, side->run,
                                   (uint64_t)(page - machine->memory) >> FRAME_SHIFT)
                       : GNTST_bad_page;
        if (*status != GNTST_okay)
            break;
        side->ends[i] = (struct pinned_end){.page = page, .end = 1u << ld->page_shift};
    }
    grant_unlock(ld);
    return i;
}

/* Pins the ends of the leading elements and says how many; for the first that cannot be, why.
 * Anything but a plain grant is done alone. */
static unsigned pin_side(struct copy_context *context, struct copy_side *side,
                         const struct pv_grant_copy *copies, unsigned count, int16_t *status)
{
    struct pv_machine *machine = context->machine;
    if (!side->d && context->local_pages)
        return hold_own_pages(context, side, copies, count, status);
    if (!side->d)
        return take_memory(side, copies, count, status);
    const struct grant_use use = copy_use(context->ld->domain_id, side->write);
    unsigned i = 0;
    grant_lock(machine, side->d);
    const struct locked_table table = locked_table(machine, side->d);
    *status = domain_is_dying(side->d) ? GNTST_bad_domain : GNTST_eagain;
    side->run = *status == GNTST_eagain ? begin_run(machine, side->d, context->owner) : NULL;
    for (; side->run && i < count; i++) {
        grant_ref_t ref = end_of(&copies[i], side->write)->ref;
        *status = grant_pin(&table, ref, &use);
        if (*status == GRANT_IS_TRANSITIVE) {
            if (i > 0) {
                grant_clear_marks(&table, ref);
                break;
            }
            count = 1;
            *status = follow_transitive(context, side, ref);
        } else if (*status == GNTST_okay) {
            record_pin(side->run, grant_pin_of(ref, side->write));
        }
        if (*status != GNTST_okay)
            break;
        side->ends[i] = describe_end(machine, &table.active[ref]);
    }
    grant_unlock(side->d);
    return i;
}

/* ---- Copying --------------------------------------------------------------------------------- */

static uint32_t side_page_size(const struct copy_context *context, const struct copy_side *side)
{
    if (side->d)
        return 1u << (side->trans_run ? side->trans : side->d)->page_shift;
    return context->local_pages ? 1u << context->ld->page_shift : UINT32_MAX;
}

static uint32_t end_offset(const struct copy_side *side, const struct pv_grant_copy_end *end)
{
    return side->page_size == UINT32_MAX ? 0 : end->offset;
}

static int16_t copy_one(const struct copy_side *source, const struct copy_side *dest, unsigned i,
                        const struct pv_grant_copy *copy)
{
    uint32_t from = end_offset(source, &copy->source), to = end_offset(dest, &copy->dest);
    if (from + copy->len > source->page_size || to + copy->len > dest->page_size)
        return GNTST_bad_copy_arg;
    const struct pinned_end *in = &source->ends[i], *out = &dest->ends[i];
    if (from < in->start || from + copy->len > in->end || to < out->start ||
        to + copy->len > out->end)
        return GNTST_general_error;
    if (in->page + from != out->page + to)
        memmove(out->page + to, in->page + from, copy->len);
    return GNTST_okay;
}

/* Works on the leading elements and returns how many are done: at least one. */
static unsigned copy_run_of(struct copy_context *context, struct domain *from, struct domain *to,
                            struct pv_grant_copy *copies, unsigned count)
{
    struct copy_side source, dest;
    begin_side(&source, from, false);
    begin_side(&dest, to, true);
    int16_t status = GNTST_okay;
    unsigned done = pin_side(context, &source, copies, count, &status);
    if (done)
        done = pin_side(context, &dest, copies, done, &status);
    source.page_size = side_page_size(context, &source);
    dest.page_size = side_page_size(context, &dest);
    for (unsigned i = 0; i < done; i++)
        copies[i].status = copy_one(&source, &dest, i, &copies[i]);
    release_side(context, &source);
    release_side(context, &dest);
    if (done)
        return done; /* what could not be pinned beside the others is tried again alone */
    copies[0].status = status;
    return 1;
}

static bool same_ends(const struct pv_grant_copy *a, const struct pv_grant_copy *b)
{
    return b->len && a->flags == b->flags && a->source.domid == b->source.domid &&
           a->dest.domid == b->dest.domid;
}

/* Finds the domains of a copy's ends; NULL is local memory. */
static int16_t find_ends(struct copy_context *context, const struct pv_grant_copy *copy,
                         struct domain **from, struct domain **to)
{
    bool source_gref = copy->flags & GNTCOPY_source_gref;
    bool dest_gref = copy->flags & GNTCOPY_dest_gref;
    if (!source_gref && context->local_pages && copy->source.domid != DOMID_SELF)
        return GNTST_permission_denied;
    if (source_gref &&
        !(*from = find_live_domain(context->machine, context->ld, copy->source.domid)))
        return GNTST_bad_domain;
    if (!dest_gref && context->local_pages && copy->dest.domid != DOMID_SELF)
        return GNTST_permission_denied;
    if (dest_gref && !(*to = find_live_domain(context->machine, context->ld, copy->dest.domid)))
        return GNTST_bad_domain;
    return GNTST_okay;
}

static void account_copies(struct pv_machine *machine, struct domain *ld,
                           const struct pv_grant_copy *copies, unsigned count)
{
    uint64_t copied = 0, bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct pv_grant_copy_end *end =
            end_of(&copies[i], copies[i].flags & GNTCOPY_dest_gref);
        trace(machine, PV_TRACE_GNTTAB_COPY, ld->domain_id, end->ref,
              (uint64_t)end->domid << 16 | copies[i].len, (uint64_t)(int64_t)copies[i].status);
        copied += copies[i].status == GNTST_okay;
        bytes += copies[i].status == GNTST_okay ? copies[i].len : 0;
    }
    account(ld, PV_ACCOUNT_GRANTS_COPIED, copied);
    account(ld, PV_ACCOUNT_BYTES_COPIED, bytes);
    if (copied < count)
        account(ld, PV_ACCOUNT_GRANT_FAILURES, count - copied);
}

void grant_copy_batch(struct pv_machine *machine, struct domain *ld, uint32_t owner,
                      struct pv_grant_copy *copies, unsigned count, bool local_pages)
{
    struct copy_context context = {machine, ld, owner, local_pages};
    for (unsigned i = 0; i < count;) {
        struct domain *from = NULL, *to = NULL;
        copies[i].status = copies[i].len ? find_ends(&context, &copies[i], &from, &to) : GNTST_okay;
        if (copies[i].len == 0 || copies[i].status != GNTST_okay) {
            i++;
            continue;
        }
        unsigned n = 1;
        while (i + n < count && n < COPY_RUN && same_ends(&copies[i], &copies[i + n]))
            n++;
        unsigned done = 0;
        if (!local_pages && !from != !to && copies[i].len <= GRANT_SHORT_COPY)
            done = grant_copy_short(machine, ld, from ? from : to, to, copies + i, n);
        i += done ? done : copy_run_of(&context, from, to, copies + i, n);
    }
    account_copies(machine, ld, copies, count);
}

int sim_gnttab_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies, unsigned count)
{
    struct sim_hypervisor *hv = to_sim(hypervisor);
    RCU_SECTION(hv->machine);
    struct domain *ld = live_view_domain(hv);
    for (unsigned i = 0; !ld && i < count; i++)
        copies[i].status = GNTST_general_error;
    if (!ld)
        return -ESRCH;
    account(ld, PV_ACCOUNT_GNTTAB_COPY_CALL, 1);
    grant_copy_batch(hv->machine, ld, view_owner(hv), copies, count, false);
    return 0;
}
