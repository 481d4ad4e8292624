/* References to a page: one of its owner, one of its owner's event channels, and one of each grant
 * and copy that uses it. The last one goes under machine.lock. */
#include "pvdrivers/sim/memory/internal.h"

#include <errno.h>

/* One more, which `flag`, if not 0, tells of. */
static inline int add_reference(struct pv_machine *machine, uint64_t mfn,
                                const struct domain *owner, uint8_t flag)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_state seen = page_state(machine, mfn), more;
    do {
        /* 0 is a free page: it must not come alive again. */
        if (seen.count == 0 || seen.count == UINT32_MAX || seen.owner != owner->domain_id ||
            seen.flags & PGC_leaving)
            return -EINVAL;
        if (seen.flags & flag)
            return 0;
        more = seen;
        more.count++;
        more.flags |= flag;
    } while (!__atomic_compare_exchange_n(&page->state.word, &seen.word, more.word, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return 0;
}

/* It may be one of a superpage's, which has no references yet. Not a part of the fast path. */
__attribute__((noinline, cold)) static int add_first_reference(struct pv_machine *machine,
                                                               uint64_t mfn,
                                                               const struct domain *owner,
                                                               uint8_t flag)
{
    machine_lock(machine);
    superpage_expand_to(machine, owner, mfn);
    machine_unlock(machine);
    return add_reference(machine, mfn, owner, flag);
}

int get_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner)
{
    int error = add_reference(machine, mfn, owner, 0);
    return error ? add_first_reference(machine, mfn, owner, 0) : 0;
}

int get_event_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner)
{
    int error = add_reference(machine, mfn, owner, PGC_events);
    return error ? add_first_reference(machine, mfn, owner, PGC_events) : 0;
}

void drop_owner(struct pv_machine *machine, uint64_t head)
{
    struct page_state page = page_state(machine, head);
    page.flags = 0;
    set_page(machine, head, page);
}

bool drop_reference(struct pv_machine *machine, uint64_t mfn, uint8_t flags)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_state seen = page_state(machine, mfn), less;
    do {
        less = seen;
        less.count--;
        less.flags &= (uint8_t)~flags;
    } while (!__atomic_compare_exchange_n(&page->state.word, &seen.word, less.word, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return less.count == 0;
}

static inline bool put_unless_last(struct pv_machine *machine, uint64_t mfn)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_state seen = page_state(machine, mfn), less;
    do {
        if (seen.count <= 1)
            return false;
        less = seen;
        less.count--;
    } while (!__atomic_compare_exchange_n(&page->state.word, &seen.word, less.word, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

void put_page(struct pv_machine *machine, uint64_t mfn)
{
    if (put_unless_last(machine, mfn))
        return;
    machine_lock(machine);
    if (drop_reference(machine, mfn, 0))
        page_free(machine, mfn);
    machine_unlock(machine);
}

void put_event_page(struct pv_machine *machine, uint64_t mfn, const struct domain *owner)
{
    machine_lock(machine);
    struct page_state page = page_state(machine, mfn);
    if (page.owner == owner->domain_id && page.flags & PGC_events &&
        drop_reference(machine, mfn, PGC_events))
        page_free(machine, mfn);
    machine_unlock(machine);
}

void page_recount(struct pv_machine *machine, uint64_t mfn, const struct domain *owner,
                  uint32_t others)
{
    struct page_info *page = frame_info(machine, mfn);
    struct page_state seen = page_state(machine, mfn), counted;
    do {
        if (seen.count == 0 || seen.owner != owner->domain_id)
            return; /* it has been freed */
        counted = seen;
        counted.count =
            others + (seen.flags & PGC_allocated ? 1 : 0) + (seen.flags & PGC_events ? 1 : 0);
    } while (!__atomic_compare_exchange_n(&page->state.word, &seen.word, counted.word, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    if (counted.count == 0)
        page_free(machine, mfn);
}
