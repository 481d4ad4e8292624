#ifndef BENCHMARKS_INSTRUCTIONS_STATIC_GRANTS_H
#define BENCHMARKS_INSTRUCTIONS_STATIC_GRANTS_H

#include "pvdrivers/backends/vnif/netback.h"
#include "pvdrivers/frontends/vnif/netfront.h"

/* Has the backend map the pages of queue 0 and keep them mapped. Returns the control ring that was
 * asked, to be destroyed before the vif; NULL: it was refused. `event`: of the backend. */
struct pv_netback_control *add_static_grants(struct pv_netback_vif *vif, struct pv_evtchn *event,
                                             struct pv_hypervisor *guest,
                                             struct pv_evtchn *guest_event,
                                             const struct pv_netfront_queue *front);

#endif
