/* Timers that are set, for the debug key 'a'. */
#include "pvdrivers/sim/console/console.h"
#include "pvdrivers/sim/vcpus/internal.h"

#include <inttypes.h>

static void dump_timer(struct pv_machine *machine, const struct domain *d, const char *what,
                       uint32_t id, const uint64_t *at)
{
    uint64_t when = __atomic_load_n(at, __ATOMIC_RELAXED);
    if (when)
        console_print(machine->shared, "    d%u %s %" PRIu32 ": at %" PRIu64 " ns", d->domain_id,
                      what, id, when);
}

void timers_dump(struct pv_machine *machine, struct domain *d)
{
    static const char *const kinds[VCPU_TIMERS] = {[TIMER_PERIODIC] = "periodic timer of vcpu",
                                                   [TIMER_SINGLESHOT] = "single-shot timer of vcpu",
                                                   [TIMER_POLL] = "poll of vcpu"};
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++)
        for (int kind = 0; kind < VCPU_TIMERS; kind++)
            dump_timer(machine, d, kinds[kind], vcpu, &d->vcpu[vcpu].timers.at[kind]);
    for (uint32_t id = 0; id < WATCHDOGS; id++)
        dump_timer(machine, d, "watchdog", id + 1, &d->timers.watchdog_at[id]);
}
