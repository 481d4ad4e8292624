/* XENMEM_exchange: pages of a domain for others, in extents of another size or at another place in
 * the machine. Either all of an exchange is done or nothing. */
#include "pvdrivers/sim/machine_memory.h"
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef const struct pv_memory_exchange exchange;

static unsigned order_of(exchange *e)
{
    return e->in_order > e->out_order ? e->in_order : e->out_order;
}

static uint64_t outs(exchange *e)
{
    return 1ull << (order_of(e) - e->out_order);
}

/* ---- Pages that are given -------------------------------------------------------------------- */

static uint64_t in_gfn(exchange *e, uint64_t page)
{
    return e->in[page >> e->in_order] + (page & ((1ull << e->in_order) - 1));
}

/* The first `pages` stay. */
static void keep(struct pv_machine *machine, const struct domain *d, exchange *e, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++)
        clear_flags(machine, gfn_to_own_mfn(machine, d, in_gfn(e, i)), PGC_leaving);
}

/* They are leaving from then on, and so nobody begins to use one; but for one that somebody uses,
 * that is named twice or is not there. */
static int begin_to_leave(struct pv_machine *machine, const struct domain *d, exchange *e)
{
    for (uint64_t i = 0; i < 1ull << order_of(e); i++) {
        uint64_t mfn = gfn_to_own_mfn(machine, d, in_gfn(e, i));
        if (mfn == NO_FRAME || !page_leave(machine, d, mfn)) {
            keep(machine, d, e, i);
            return -EINVAL;
        }
    }
    return 0;
}

static void give_away(struct pv_machine *machine, struct domain *d, exchange *e)
{
    struct frame_run freed = {0};
    for (uint64_t i = 0; i < 1ull << order_of(e); i++) {
        uint64_t gfn = in_gfn(e, i), mfn = gfn_to_own_mfn(machine, d, gfn);
        physmap_clear(machine, d, gfn, 0, mfn);
        release_page(machine, d, mfn, &freed);
    }
    free_run(machine, freed.start, freed.frames);
}

/* ---- Pages that are taken -------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Of extents that lie in the physmap. */
static int check_apart(exchange *e)
{
    uint64_t count = outs(e), *gfns = malloc(count * sizeof *gfns);
    if (!gfns)
        return -ENOMEM;
    memcpy(gfns, e->out, count * sizeof *gfns);
    qsort(gfns, count, sizeof *gfns, compare);
    bool apart = true;
    for (uint64_t i = 1; i < count; i++)
        apart &= gfns[i] - gfns[i - 1] >= 1ull << e->out_order;
    free(gfns);
    return apart ? 0 : -EINVAL;
}

static int check_room(struct pv_machine *machine, const struct domain *d, exchange *e)
{
    for (uint64_t i = 0; i < outs(e); i++)
        if (!is_vacant(machine, d, e->out[i], 1ull << e->out_order))
            return -EINVAL;
    return check_apart(e);
}

static int alloc(struct pv_machine *machine, const struct domain *d, exchange *e)
{
    unsigned order = e->out_order + page_order(d);
    bool may = claims_leave(machine, d, 1ull << (order_of(e) + page_order(d)));
    for (uint64_t i = 0; i < outs(e); i++) {
        e->mfns[i] = may ? alloc_extent(machine, d, order, e->mem_flags) : NO_FRAME;
        if (e->mfns[i] != NO_FRAME)
            continue;
        while (i-- > 0)
            heap_free(machine, e->mfns[i], order);
        return -ENOMEM;
    }
    return 0;
}

/* ---- The exchange ---------------------------------------------------------------------------- */

int exchange_pages(struct pv_machine *machine, struct domain *d, exchange *e)
{
    int error = domain_is_dying(d) ? -ESRCH : begin_to_leave(machine, d, e);
    if (error)
        return error;
    error = check_room(machine, d, e);
    if (!error)
        error = alloc(machine, d, e);
    if (error) {
        keep(machine, d, e, 1ull << order_of(e));
        return error;
    }
    give_away(machine, d, e);
    for (uint64_t i = 0; i < outs(e); i++)
        give_block(machine, d, e->out[i], e->mfns[i], e->out_order);
    return 0;
}
