/* Pages of the guest's that the hypervisor writes to: FIFO pages, and those with a vcpu_info or a
 * runstate area. Such a page has one reference, however often it is used. */
#include "pvdrivers/sim/events/internal.h"

/* Release: the changes to the page that was pending are complete by then. */
static void set_pending_repair(struct domain *d, uint64_t mfn)
{
    __atomic_store_n(&d->event_channels.page_pending_repair, mfn + 1, __ATOMIC_RELEASE);
}

int event_page_hold(struct pv_machine *machine, struct domain *d, uint64_t mfn)
{
    set_pending_repair(d, mfn);
    int error = get_event_page(machine, mfn, d);
    if (error)
        set_pending_repair(d, NO_FRAME);
    return error;
}

void event_page_let_go(struct domain *d, uint64_t mfn)
{
    set_pending_repair(d, mfn);
}

static bool vcpu_uses_page(struct pv_machine *machine, const struct domain *d, uint32_t vcpu,
                           uint64_t mfn)
{
    const uint64_t *runstate = d->vcpu[vcpu].sched.area.page;
    return d->event_channels.vcpu[vcpu].fifo.control_mfn == mfn + 1 ||
           vcpu_info_page(machine, d, vcpu) == mfn || runstate[0] == mfn + 1 ||
           runstate[1] == mfn + 1;
}

static bool uses_page(struct pv_machine *machine, const struct domain *d, uint64_t mfn)
{
    const struct event_channels *ec = &d->event_channels;
    for (uint32_t i = 0; i < ec->event_frame_count; i++)
        if (ec->event_frames[i] == mfn)
            return true;
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        if (vcpu_uses_page(machine, d, vcpu, mfn))
            return true;
    return false;
}

void event_page_settle(struct pv_machine *machine, struct domain *d)
{
    uint64_t mfn = d->event_channels.page_pending_repair - 1;
    if (mfn != NO_FRAME && !uses_page(machine, d, mfn))
        put_event_page(machine, mfn, d);
    set_pending_repair(d, NO_FRAME);
}
