/*
 * A guest's xenstore page (io/xs_wire.h, docs/misc/xenstore-ring.txt): two rings of 1024 bytes, one
 * each way, with indices that run freely through 2^32 and need not start at 0.
 *
 * Whoever moved bytes or changed `connection` notifies the peer afterwards, consumer as well as
 * producer. Every call reads the peer's index once and gives -EPROTO when the two indices are more
 * than a ring apart: the peer is broken, nothing was moved.
 */
#ifndef PVDRIVERS_XENSTORE_RING_H
#define PVDRIVERS_XENSTORE_RING_H

#include "pvdrivers/types.h"

/* cffi: begin */
#define XENSTORE_RING_SIZE 1024

/* server_features */
#define XENSTORE_SERVER_FEATURE_RECONNECTION 1
#define XENSTORE_SERVER_FEATURE_ERROR 2
#define XENSTORE_SERVER_FEATURE_WATCH_DEPTH 4
#define XENSTORE_SERVER_FEATURE_DOMID_ANY 8

/* connection */
#define XENSTORE_CONNECTED 0
#define XENSTORE_RECONNECT 1

/* error */
#define XENSTORE_ERROR_NONE 0
#define XENSTORE_ERROR_COMM 1
#define XENSTORE_ERROR_RINGIDX 2
#define XENSTORE_ERROR_PROTO 3

struct pv_xenstore_page {
    uint8_t req[1024]; /* guest to server */
    uint8_t rsp[1024]; /* server to guest */
    uint32_t req_cons, req_prod;
    uint32_t rsp_cons, rsp_prod;
    uint32_t server_features;
    uint32_t connection;
    uint32_t error;
    uint32_t evtchn_port; /* used when not 0 (dom0less) */
};

/* Each moves at most `len` bytes and returns how many, possibly 0, or -EPROTO. */
PV_API int pv_xenstore_write_request(struct pv_xenstore_page *page, const void *data, uint32_t len);
PV_API int pv_xenstore_read_response(struct pv_xenstore_page *page, void *data, uint32_t len);
PV_API int pv_xenstore_read_request(struct pv_xenstore_page *page, void *data, uint32_t len);
PV_API int pv_xenstore_write_response(struct pv_xenstore_page *page, const void *data,
                                      uint32_t len);
/* Server: bytes that write_response would take now, or -EPROTO. */
PV_API int pv_xenstore_response_room(const struct pv_xenstore_page *page);

/* Server: empties both rings (the guest waits meanwhile) and then says it is connected. */
PV_API void pv_xenstore_accept(struct pv_xenstore_page *page, uint32_t features);
/* Server: why it will not serve this page any more (XENSTORE_ERROR_*). */
PV_API void pv_xenstore_set_error(struct pv_xenstore_page *page, uint32_t error);
/* Guest: asks for a fresh start; the rings must not be touched until the server accepted. */
PV_API void pv_xenstore_ask_reconnect(struct pv_xenstore_page *page);
PV_API uint32_t pv_xenstore_connection(const struct pv_xenstore_page *page);
PV_API uint32_t pv_xenstore_error(const struct pv_xenstore_page *page);
PV_API uint32_t pv_xenstore_features(const struct pv_xenstore_page *page);
/* cffi: end */

#endif
