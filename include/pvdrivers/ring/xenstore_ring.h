/*
 * A guest's xenstore page (io/xs_wire.h, docs/misc/xenstore-ring.txt): two rings of 1024 bytes, one
 * each way, with indices that run freely through 2^32 and need not start at 0.
 *
 * An end that moved bytes or changed `connection` notifies the peer afterwards, consumer as well as
 * producer. Every call reads the peer's index once and gives -EPROTO when the two indices are more
 * than a ring apart: the peer is broken, nothing was moved.
 */
#ifndef PVDRIVERS_RING_XENSTORE_RING_H
#define PVDRIVERS_RING_XENSTORE_RING_H

#include "pvdrivers/ring/abi_xenstore.h"

/* cffi: begin */
/* Each moves at most `len` bytes and returns how many, possibly 0, or -EPROTO. */
PV_API int pv_xenstore_write_request(struct xenstore_domain_interface *page, const void *data,
                                     uint32_t len);
PV_API int pv_xenstore_read_response(struct xenstore_domain_interface *page, void *data,
                                     uint32_t len);
PV_API int pv_xenstore_read_request(struct xenstore_domain_interface *page, void *data,
                                    uint32_t len);
PV_API int pv_xenstore_write_response(struct xenstore_domain_interface *page, const void *data,
                                      uint32_t len);
/* Server: bytes that write_response would take now, or -EPROTO. */
PV_API int pv_xenstore_response_room(const struct xenstore_domain_interface *page);

/* Server: empties both rings (the guest waits meanwhile) and then says it is connected. */
PV_API void pv_xenstore_accept(struct xenstore_domain_interface *page, uint32_t features);
/* Server: why it will not serve this page any more (XENSTORE_ERROR_*). */
PV_API void pv_xenstore_set_error(struct xenstore_domain_interface *page, uint32_t error);
/* Guest: asks for a fresh start; the rings must not be touched until the server accepted. */
PV_API void pv_xenstore_ask_reconnect(struct xenstore_domain_interface *page);
PV_API uint32_t pv_xenstore_connection(const struct xenstore_domain_interface *page);
PV_API uint32_t pv_xenstore_error(const struct xenstore_domain_interface *page);
PV_API uint32_t pv_xenstore_features(const struct xenstore_domain_interface *page);
/* cffi: end */

#endif
