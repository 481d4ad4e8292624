/* The table of subsystems; what the order means is in core/subsystem.h. */
#include "pvdrivers/sim/core/subsystem.h"

#include "pvdrivers/sim/console/console.h"
#include "pvdrivers/sim/events/events.h"
#include "pvdrivers/sim/grants/grants.h"
#include "pvdrivers/sim/ia64/ia64.h"
#include "pvdrivers/sim/memory/guest_pages.h"
#include "pvdrivers/sim/memory/memory.h"
#include "pvdrivers/sim/sched/sched.h"
#include "pvdrivers/sim/vcpus/vcpus.h"
#include "pvdrivers/sim/xentrace/xentrace.h"

const struct subsystem *const subsystems[SUBSYSTEM_COUNT] = {
    [SUBSYSTEM_GUEST_PAGES] = &guest_pages_subsystem,
    [SUBSYSTEM_EVENTS] = &events_subsystem,
    [SUBSYSTEM_XENTRACE] = &xentrace_subsystem,
    [SUBSYSTEM_SCHED] = &sched_subsystem,
    [SUBSYSTEM_VCPUS] = &vcpus_subsystem,
    [SUBSYSTEM_GRANTS] = &grants_subsystem,
    [SUBSYSTEM_MEMORY] = &memory_subsystem,
    [SUBSYSTEM_IA64] = &ia64_subsystem,
    [SUBSYSTEM_CONSOLE] = &console_subsystem,
};
