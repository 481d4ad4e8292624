/* Where memory is: extents, ascending. They never change, but for `opened`, and `count` of one that
 * is added (under machine.lock). */
#ifndef PVDRIVERS_SIM_MEMORY_EXTENTS_H
#define PVDRIVERS_SIM_MEMORY_EXTENTS_H

#include "pvdrivers/sim/core/machine.h"

void extents_init(struct machine *shared, const struct pv_machine_config *config);
/* The extent that a machine frame lies in, or NULL in a hole. */
const struct memory_extent *extent_of(const struct machine *shared, uint64_t mfn);
/* Whether a frame is one of the pages that Xen shares with domains. */
bool is_xen_heap(const struct machine *shared, uint64_t mfn);
/* Counts the nodes that have memory, after a change. Under machine.lock. */
void extents_count_nodes(struct machine *shared);
/* The last frame of memory before one, or NO_FRAME. */
uint64_t extents_last_before(const struct machine *shared, uint64_t mfn);
/* The frame behind the last of memory. */
uint64_t extents_end(const struct machine *shared);
/* Frames of a node. */
uint64_t extents_of_node(const struct machine *shared, unsigned node);

#endif
