/* Grants in use, for the debug key 'g'. */
#include "pvdrivers/sim/console/console.h"
#include "pvdrivers/sim/grants/internal.h"

#include <inttypes.h>

static void dump_entry(struct pv_machine *machine, grant_ref_t ref,
                       const struct active_grant_entry *act)
{
    console_print(machine->shared,
                  "    [%" PRIu32 "] dom %u gfn %#" PRIx64 " mfn %#" PRIx64 " pin %08" PRIx32, ref,
                  act->domid, act->gfn, act->mfn, act->pin);
}

void grants_dump(struct pv_machine *machine, struct domain *d)
{
    grant_lock(machine, d);
    const struct grant_table *table = &d->grant_table;
    console_print(machine->shared,
                  "d%u: version %" PRIu32 ", %" PRIu32 " of %" PRIu32 " frames, %" PRIu32
                  " grants in use, %" PRIu32 " maptrack entries",
                  d->domain_id, table->gt_version, table->nr_grant_frames, table->max_grant_frames,
                  table->active_entries, d->maptrack.in_use);
    struct locked_table locked = locked_table(machine, d);
    for (grant_ref_t ref = 0; table->active_entries && ref < locked.entries.count; ref++)
        if (locked.active[ref].pin)
            dump_entry(machine, ref, &locked.active[ref]);
    grant_unlock(d);
}
