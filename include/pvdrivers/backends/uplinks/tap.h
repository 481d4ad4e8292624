/*
 * An uplink into the host's network: a TAP interface, whose other end is the kernel's bridge,
 * router or socket. The kernel chooses by a packet's flow the queue on which the guest gets it.
 *
 * Checksums and TCP segments stay undone on their way in both directions, as far as the guest takes
 * them. While the interface is down, or the kernel has no memory, packets are dropped and counted.
 */
#ifndef PVDRIVERS_BACKENDS_UPLINKS_TAP_H
#define PVDRIVERS_BACKENDS_UPLINKS_TAP_H

#include "pvdrivers/backends/uplinks/uplink.h"

/* cffi: begin */
/* An uplink on an interface's queues, made with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR and, for more
 * than one, IFF_MULTI_QUEUE. Its carrier is off at first. The descriptors, which are non-blocking,
 * become the uplink's. So does `gone_fd`, a pipe or an eventfd that gets a uint64_t for each queue
 * when the interface has been deleted, from when on everything is dropped; -1: nobody wants to
 * know. NULL with errno set: EINVAL (no queues, or too many), ENOMEM, or what the kernel said; then
 * the descriptors stay the caller's. */
PV_API struct pv_uplink *pv_tap_uplink_create(struct pv_packet_pool *pool, const int *fds,
                                              uint32_t queues, int gone_fd);
/* cffi: end */

#endif
