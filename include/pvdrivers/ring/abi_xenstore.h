/*
 * The store's wire protocol: message header and the ring page of a guest (io/xs_wire.h). Alike on
 * every ABI; headers of ia64's time end the page's struct at rsp_prod, what follows is zero there.
 */
#ifndef PVDRIVERS_RING_ABI_XENSTORE_H
#define PVDRIVERS_RING_ABI_XENSTORE_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define XENSTORE_RING_SIZE 1024
#define XENSTORE_PAYLOAD_MAX 4096
#define XENSTORE_ABS_PATH_MAX 3072
#define XENSTORE_REL_PATH_MAX 2048

#define XENSTORE_SERVER_FEATURE_RECONNECTION 1
#define XENSTORE_SERVER_FEATURE_ERROR 2

#define XENSTORE_CONNECTED 0
#define XENSTORE_RECONNECT 1

#define XENSTORE_ERROR_NONE 0
#define XENSTORE_ERROR_COMM 1
#define XENSTORE_ERROR_RINGIDX 2
#define XENSTORE_ERROR_PROTO 3

struct xsd_sockmsg {
    uint32_t type;
    uint32_t req_id;
    uint32_t tx_id;
    uint32_t len; /* bytes that follow */
};

/* Indices run freely; a guest must not assume that they start at 0. */
struct xenstore_domain_interface {
    char req[XENSTORE_RING_SIZE];
    char rsp[XENSTORE_RING_SIZE];
    uint32_t req_cons, req_prod;
    uint32_t rsp_cons, rsp_prod;
    uint32_t server_features; /* XENSTORE_SERVER_FEATURE_* */
    uint32_t connection;
    uint32_t error;       /* XENSTORE_ERROR_* */
    uint32_t evtchn_port; /* used when not 0 */
};
/* cffi: end */

static_assert(sizeof(struct xsd_sockmsg) == 16, "xsd_sockmsg");
static_assert(sizeof(struct xenstore_domain_interface) == 2080, "xenstore_domain_interface");

#endif
