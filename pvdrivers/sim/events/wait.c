/* vcpus that wait for events. Each step is under the event lock, as every event is, so that none is
 * missed between the look and the wait. */
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>

static void begin(struct pv_machine *machine, struct domain *d, uint32_t vcpu, uint32_t polled)
{
    struct event_channels *ec = &d->event_channels;
    ec->pollers += (polled != 0) - (ec->vcpu[vcpu].polled != 0);
    ec->vcpu[vcpu].polled = polled;
    vcpu_set_paused(machine, d, vcpu, VPF_blocked, true);
}

void wake_waiting(struct pv_machine *machine, struct domain *d, uint32_t vcpu)
{
    struct event_channels *ec = &d->event_channels;
    ec->pollers -= ec->vcpu[vcpu].polled != 0;
    ec->vcpu[vcpu].polled = 0;
    vcpu_set_paused(machine, d, vcpu, VPF_blocked, false);
}

/* One that polls several ports looks again at any, as Xen has it. */
void wake_pollers(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++) {
        uint32_t polled = d->event_channels.vcpu[vcpu].polled;
        if (polled == port || polled == ANY_PORT)
            wake_waiting(machine, d, vcpu);
    }
}

void repair_pollers(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    ec->pollers = 0;
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        ec->pollers += ec->vcpu[vcpu].polled != 0;
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        stop_waiting(machine, d, vcpu);
}

int wait_for_event(struct pv_machine *machine, struct domain *d, uint32_t vcpu)
{
    event_lock(machine, d);
    struct pv_event_view view = event_view(machine, d, vcpu);
    pv_write_once_byte(pv_event_upcall_mask(&view), 0);
    bool waits = !pv_read_once_byte(pv_event_upcall_pending(&view));
    if (waits)
        begin(machine, d, vcpu, 0);
    event_unlock(machine, d);
    return waits;
}

/* 1 when the vcpu has nothing to do yet. */
static int look(struct pv_machine *machine, struct domain *d, uint32_t vcpu,
                const evtchn_port_t *ports, uint32_t count)
{
    struct pv_event_view view = event_view(machine, d, vcpu);
    if (pv_read_once_byte(pv_event_upcall_pending(&view)) &&
        !pv_read_once_byte(pv_event_upcall_mask(&view)))
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!find_port(machine, d, ports[i]))
            return -EINVAL;
        if (pv_event_is_pending(&view, ports[i]))
            return 0;
    }
    return 1;
}

int wait_for_ports(struct pv_machine *machine, struct domain *d, uint32_t vcpu,
                   const evtchn_port_t *ports, uint32_t count)
{
    event_lock(machine, d);
    int result = look(machine, d, vcpu, ports, count);
    if (result == 1)
        begin(machine, d, vcpu, count == 1 ? ports[0] : ANY_PORT);
    event_unlock(machine, d);
    return result;
}

void end_poll(struct pv_machine *machine, struct domain *d, uint32_t vcpu)
{
    event_lock(machine, d);
    if (d->event_channels.vcpu[vcpu].polled)
        wake_waiting(machine, d, vcpu);
    event_unlock(machine, d);
}
