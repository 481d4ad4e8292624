/*
 * Short copies between local memory and one domain's grants. Moving so few bytes takes less time
 * than putting pins on record and taking the lock again for them, so they are moved under the
 * lock. A process killed meanwhile leaves a pin that nothing accounts for, which the repair of the
 * table takes away.
 */
#include "pvdrivers/sim/grants/internal.h"

#include <string.h>

static int16_t move(const struct locked_table *table, const struct active_grant_entry *act,
                    const struct pv_grant_copy *copy, bool to_grant)
{
    const struct pv_grant_copy_end *granted = to_grant ? &copy->dest : &copy->source;
    uint8_t *local = to_grant ? copy->source.address : copy->dest.address;
    uint32_t offset = granted->offset, end = offset + copy->len;
    if (end > 1u << table->d->page_shift)
        return GNTST_bad_copy_arg;
    if (offset < act->start || end > (uint32_t)act->start + act->length)
        return GNTST_general_error;
    uint8_t *page = frame_address(table->machine, act->mfn);
    if (to_grant)
        memmove(page + offset, local, copy->len);
    else
        memmove(local, page + offset, copy->len);
    return GNTST_okay;
}

static int16_t copy_one(const struct locked_table *table, const struct grant_use *use,
                        const struct pv_grant_copy *copy)
{
    bool to_grant = !use->readonly;
    grant_ref_t ref = to_grant ? copy->dest.ref : copy->source.ref;
    if (!(to_grant ? copy->source.address : copy->dest.address))
        return GNTST_bad_page;
    int16_t status = grant_pin(table, ref, use);
    if (status == GRANT_IS_TRANSITIVE)
        grant_clear_marks(table, ref);
    if (status != GNTST_okay)
        return status;
    status = move(table, &table->active[ref], copy, to_grant);
    grant_unpin(table, ref, use->pins);
    return status;
}

unsigned grant_copy_short(struct pv_machine *machine, struct domain *ld, struct domain *d,
                          bool to_grant, struct pv_grant_copy *copies, unsigned count)
{
    const struct grant_use use = {.domid = ld->domain_id,
                                  .pins = to_grant ? GNTPIN_hstw_inc : GNTPIN_hstr_inc,
                                  .readonly = !to_grant};
    unsigned done = 0;
    grant_lock(machine, d);
    const struct locked_table table = locked_table(machine, d);
    bool dying = domain_is_dying(d);
    for (; done < count && copies[done].len <= GRANT_SHORT_COPY; done++) {
        int16_t status = dying ? GNTST_bad_domain : copy_one(&table, &use, &copies[done]);
        if (status == GRANT_IS_TRANSITIVE)
            break;
        copies[done].status = status;
    }
    if (domain_is_dying(d) && d->grant_table.active_entries == 0)
        rcu_want_callbacks(machine);
    grant_unlock(d);
    return done;
}
