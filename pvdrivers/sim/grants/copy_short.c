/*
 * Short copies between local memory and one domain's grants. Moving so few bytes takes less time
 * than putting pins on record and taking the lock again for them, so they are moved under the
 * lock. A process killed meanwhile leaves pins that nothing accounts for, which the repair of the
 * table takes away.
 *
 * Each pin and unpin is a full barrier, and waits for the bytes moved before it. The other end's
 * processor has just used those, so they come from its cache, which takes longer than all the rest.
 * So grants are pinned, and their bytes asked for, for several copies before the first is made.
 */
#include "pvdrivers/sim/grants/internal.h"

#include "pvdrivers/ring/barrier.h"

#include <string.h>

struct short_side {
    const struct locked_table *table;
    struct grant_use use;
    bool to_grant;
};

static const struct pv_grant_copy_end *granted_end(const struct short_side *side,
                                                   const struct pv_grant_copy *copy)
{
    return side->to_grant ? &copy->dest : &copy->source;
}

static void *local_end(const struct short_side *side, const struct pv_grant_copy *copy)
{
    return side->to_grant ? copy->source.address : copy->dest.address;
}

/* What a copy reads or writes of a pinned grant; `*status` says why there is none. */
static uint8_t *granted_bytes(const struct locked_table *table,
                              const struct active_grant_entry *act, uint32_t offset,
                              uint32_t length, int16_t *status)
{
    uint32_t end = offset + length;
    if (end > 1u << table->d->page_shift)
        *status = GNTST_bad_copy_arg;
    else if (offset < act->start || end > (uint32_t)act->start + act->length)
        *status = GNTST_general_error;
    else
        return (uint8_t *)frame_address(table->machine, act->mfn) + offset;
    return NULL;
}

/* What lies between is fetched by the processor itself, once it sees how it goes on. */
static void prefetch(const uint8_t *bytes, uint32_t length, bool to_write)
{
    const uint8_t *last = bytes + length - 1;
    if (to_write) {
        pv_prefetch_to_write(bytes);
        pv_prefetch_to_write(last);
    } else {
        pv_prefetch_to_read(bytes);
        pv_prefetch_to_read(last);
    }
}

/* Returns the granted bytes, whose grant is then pinned, or NULL with a status. */
static uint8_t *pin(const struct short_side *side, const struct pv_grant_copy *copy,
                    int16_t *status)
{
    const struct pv_grant_copy_end *end = granted_end(side, copy);
    *status = local_end(side, copy) ? grant_pin(side->table, end->ref, &side->use) : GNTST_bad_page;
    if (*status == GRANT_IS_TRANSITIVE)
        grant_clear_marks(side->table, end->ref);
    if (*status != GNTST_okay)
        return NULL;
    uint8_t *bytes =
        granted_bytes(side->table, &side->table->active[end->ref], end->offset, copy->len, status);
    if (bytes)
        prefetch(bytes, copy->len, side->to_grant);
    else
        grant_unpin(side->table, end->ref, side->use.pins);
    return bytes;
}

/* Says how many are done: none from the first one that is long or transitive. */
static unsigned copy_run(const struct short_side *side, struct pv_grant_copy *copies,
                         unsigned count)
{
    uint8_t *granted[COPY_RUN];
    unsigned n = 0;
    for (; n < count && copies[n].len <= GRANT_SHORT_COPY; n++) {
        int16_t status;
        granted[n] = pin(side, &copies[n], &status);
        if (status == GRANT_IS_TRANSITIVE)
            break;
        copies[n].status = status;
    }
    for (unsigned i = 0; i < n; i++) {
        if (granted[i] && side->to_grant)
            memmove(granted[i], copies[i].source.address, copies[i].len);
        else if (granted[i])
            memmove(copies[i].dest.address, granted[i], copies[i].len);
    }
    for (unsigned i = 0; i < n; i++)
        if (granted[i])
            grant_unpin(side->table, granted_end(side, &copies[i])->ref, side->use.pins);
    return n;
}

unsigned grant_copy_short(struct pv_machine *machine, struct domain *ld, struct domain *d,
                          bool to_grant, struct pv_grant_copy *copies, unsigned count)
{
    unsigned done = 0;
    grant_lock(machine, d);
    const struct locked_table table = locked_table(machine, d);
    const struct short_side side = {
        .table = &table,
        .use = {.domid = ld->domain_id,
                .pins = to_grant ? GNTPIN_hstw_inc : GNTPIN_hstr_inc,
                .readonly = !to_grant},
        .to_grant = to_grant,
    };
    if (!domain_is_dying(d))
        done = copy_run(&side, copies, count);
    else
        for (; done < count; done++)
            copies[done].status = GNTST_bad_domain;
    if (domain_is_dying(d) && d->grant_table.active_entries == 0)
        rcu_want_callbacks(machine);
    grant_unlock(d);
    return done;
}
