/* Ports, for the debug key 'e'. */
#include "pvdrivers/sim/console/console.h"
#include "pvdrivers/sim/events/internal.h"

#include <inttypes.h>

static void dump_port(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    static const char *const states[] = {"free", "unbound", "interdomain", "virq", "ipi"};
    const struct evtchn *chn = port_entry(machine, d, port);
    struct binding b = load_binding(chn);
    if (b.state == ECS_FREE)
        return;
    console_print(machine->shared, "    %4" PRIu32 ": s=%s v=%u d=%u p=%" PRIu32 " queued=%d%s",
                  port, states[b.state], chn->notify_vcpu, b.remote_domid, b.remote_port,
                  chn->queued, chn->handle ? " handle" : "");
}

void events_dump(struct pv_machine *machine, struct domain *d)
{
    event_lock(machine, d);
    console_print(machine->shared, "Domain %u: %s ABI, %" PRIu32 " ports", d->domain_id,
                  d->event_channels.fifo ? "FIFO" : "2-level", d->event_channels.active);
    for (evtchn_port_t port = 1; port < d->event_channels.end; port++)
        dump_port(machine, d, port);
    event_unlock(machine, d);
}
