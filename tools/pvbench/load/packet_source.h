/*
 * An uplink that frames come from without end: what a guest receives when nobody else sends. The
 * frames are those of the packet workload, each queue's a stream of its own. What the guest sends
 * goes nowhere.
 */
#ifndef TOOLS_PVBENCH_LOAD_PACKET_SOURCE_H
#define TOOLS_PVBENCH_LOAD_PACKET_SOURCE_H

#include "pvdrivers/backends/uplinks/uplink.h"

/* cffi: begin */
struct pv_packet_source_config {
    struct pv_packet_pool *pool; /* outlives the uplink */
    uint32_t queues;
    uint8_t source[6], destination[6]; /* MACs of the frames */
    uint32_t size;                     /* bytes of a frame, as of a packet workload */
    uint64_t rate;                     /* frames a second on each queue at most; 0: no limit */
};

/* NULL with errno set: EINVAL for a configuration that makes no sense. A queue begins when its
 * guest has room for the first time. */
PV_API struct pv_uplink *pv_packet_source_create(const struct pv_packet_source_config *config);
/* cffi: end */

#endif
