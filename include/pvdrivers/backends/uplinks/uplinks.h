/*
 * The uplinks that need nothing of the host, and filters. Each constructor returns NULL with errno
 * set on failure: EINVAL is a number of queues that no uplink has. The pool outlives the uplink.
 */
#ifndef PVDRIVERS_BACKENDS_UPLINKS_UPLINKS_H
#define PVDRIVERS_BACKENDS_UPLINKS_UPLINKS_H

#include "pvdrivers/backends/uplinks/uplink.h"

/* cffi: begin */
#define PV_UPLINK_WAITING_PACKETS 1024 /* for a guest's queue that does not read */
#define PV_UPLINK_MAX_WAITING_PACKETS 65536

/* What is sent goes nowhere, and nothing comes. */
PV_API struct pv_uplink *pv_null_uplink_create(struct pv_packet_pool *pool, uint32_t queues);
/* What is sent comes back on the same queue. What the guest does not read is dropped when there are
 * PV_UPLINK_WAITING_PACKETS or 8 MiB of it. */
PV_API struct pv_uplink *pv_hairpin_uplink_create(struct pv_packet_pool *pool, uint32_t queues);
/* cffi: end */

#endif
