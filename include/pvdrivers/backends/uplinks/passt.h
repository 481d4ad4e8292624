/*
 * An uplink to the Internet that needs no privileges: frames over a Unix stream socket to passt,
 * which translates them to sockets of its user, as QEMU's `-netdev stream` does. A frame is
 * preceded by its length as a big-endian u32. It has one queue and knows no offloads.
 */
#ifndef PVDRIVERS_BACKENDS_UPLINKS_PASST_H
#define PVDRIVERS_BACKENDS_UPLINKS_PASST_H

#include "pvdrivers/backends/uplinks/uplink.h"

/* cffi: begin */
#define PV_PASST_RETRY_NS 1000000000

/* Connects at once, and when passt is not there (any more) again every PV_PASST_RETRY_NS, while a
 * queue is pumped; meanwhile everything is dropped. NULL with errno set: ENAMETOOLONG (a socket's
 * path has at most 107 bytes), ENOMEM, EMFILE ... */
PV_API struct pv_uplink *pv_passt_uplink_create(struct pv_packet_pool *pool, const char *path);
/* Whether passt was there at the last try; from any thread. */
PV_API bool pv_passt_uplink_connected(const struct pv_uplink *uplink);
/* cffi: end */

#endif
