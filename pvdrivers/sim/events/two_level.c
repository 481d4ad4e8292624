/* The 2-level ABI: bitmaps in shared_info, and in each vcpu a selector bit per word of them. */
#include "pvdrivers/sim/events/internal.h"

static bool select_word(struct pv_event_view *view, evtchn_port_t port)
{
    struct pv_event_bit selector = pv_event_selector_bit(view, port);
    /* Full: the pending bit is there before its word is selected. One step: the guest takes the
     * whole word of selector bits at once. */
    return !(pv_fetch_or(selector.word, selector.mask) & selector.mask);
}

bool set_pending_2l(struct pv_event_view *view, evtchn_port_t port)
{
    struct pv_event_bit pending = pv_event_pending_bit(view, port);
    /* Full: what was written before is visible, and then so is the bit, before we look at the mask;
     * the guest takes the mask off, then looks at the bit (pv_event_unmask). */
    if (!pending.word || (pv_fetch_or(pending.word, pending.mask) & pending.mask))
        return false;
    return !pv_event_is_masked(view, port) && select_word(view, port);
}

bool unmask_2l(struct pv_event_view *view, evtchn_port_t port)
{
    struct pv_event_bit mask = pv_event_mask_bit(view, port);
    /* One step: other bits of the word are the guest's to change. */
    if (!mask.word || !(pv_fetch_and(mask.word, ~mask.mask) & mask.mask))
        return false;
    return pv_event_is_pending(view, port) && select_word(view, port);
}
