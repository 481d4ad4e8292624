/*
 * The network protocol as it lies on its rings (io/netif.h), the same on every ABI: a transmit ring
 * (tx, the frontend sends), a receive ring (rx, the frontend posts buffers) and a control ring. A
 * slot holds a request, its response, or an extra info that belongs to the packet before it.
 */
#ifndef PVDRIVERS_RING_ABI_NETIF_H
#define PVDRIVERS_RING_ABI_NETIF_H

#include "pvdrivers/types.h"

/* cffi: begin */
#define XEN_NETIF_NR_SLOTS_MIN 18 /* slots of a packet that every backend takes */
#define XEN_NETIF_MAX_TX_SIZE 0xFFFF

#define NETTXF_csum_blank 1
#define NETTXF_data_validated 2
#define NETTXF_more_data 4
#define NETTXF_extra_info 8

#define NETRXF_data_validated 1 /* bits 0 and 1 are the other way round */
#define NETRXF_csum_blank 2
#define NETRXF_more_data 4
#define NETRXF_extra_info 8
#define NETRXF_gso_prefix 16

#define NETIF_RSP_DROPPED -2
#define NETIF_RSP_ERROR -1
#define NETIF_RSP_OKAY 0
#define NETIF_RSP_NULL 1 /* answers a slot that held an extra info */

#define XEN_NETIF_EXTRA_TYPE_NONE 0
#define XEN_NETIF_EXTRA_TYPE_GSO 1
#define XEN_NETIF_EXTRA_TYPE_MCAST_ADD 2
#define XEN_NETIF_EXTRA_TYPE_MCAST_DEL 3
#define XEN_NETIF_EXTRA_TYPE_HASH 4
#define XEN_NETIF_EXTRA_TYPE_XDP 5 /* Linux's own */
#define XEN_NETIF_EXTRA_FLAG_MORE 1

#define XEN_NETIF_GSO_TYPE_NONE 0
#define XEN_NETIF_GSO_TYPE_TCPV4 1
#define XEN_NETIF_GSO_TYPE_TCPV6 2

#define XEN_NETIF_CTRL_HASH_TYPE_IPV4 1
#define XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP 2
#define XEN_NETIF_CTRL_HASH_TYPE_IPV6 4
#define XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP 8
#define XEN_NETIF_CTRL_HASH_ALGORITHM_NONE 0
#define XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ 1

#define XEN_NETIF_CTRL_TYPE_INVALID 0
#define XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS 1
#define XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS 2
#define XEN_NETIF_CTRL_TYPE_SET_HASH_KEY 3
#define XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE 4
#define XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE 5
#define XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING 6
#define XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM 7
#define XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE 8
#define XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING 9
#define XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING 10

#define XEN_NETIF_CTRL_STATUS_SUCCESS 0
#define XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED 1
#define XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER 2
#define XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW 3

#define XEN_NETIF_CTRLF_GREF_readonly 1

struct netif_tx_request {
    grant_ref_t gref;
    uint16_t offset; /* in the granted page */
    uint16_t flags;  /* NETTXF_* */
    uint16_t id;
    uint16_t size; /* bytes: the whole packet's in its first request, else this slot's own */
};

struct netif_tx_response {
    uint16_t id;
    int16_t status; /* NETIF_RSP_* */
};

struct netif_rx_request {
    uint16_t id;
    uint16_t pad;
    grant_ref_t gref; /* of a whole page, to be written */
};

struct netif_rx_response {
    uint16_t id;
    uint16_t offset; /* in the page */
    uint16_t flags;  /* NETRXF_* */
    int16_t status;  /* bytes, or NETIF_RSP_* below 0 */
};

struct netif_extra_info {
    uint8_t type;  /* XEN_NETIF_EXTRA_TYPE_* */
    uint8_t flags; /* XEN_NETIF_EXTRA_FLAG_* */
    union {
        struct {
            uint16_t size; /* of a segment's TCP payload (MSS), bytes */
            uint8_t type;  /* XEN_NETIF_GSO_TYPE_* */
            uint8_t pad;
            uint16_t features; /* none is defined */
        } gso;
        struct {
            uint8_t addr[6];
        } mcast;
        struct {
            uint8_t type; /* a bit's number in XEN_NETIF_CTRL_HASH_TYPE_* */
            uint8_t algorithm;
            uint8_t value[4];
        } hash;
        struct {
            uint16_t headroom; /* bytes in each of the packet's pages before the data begin */
            uint16_t pad[2];
        } xdp;
    } u;
};

union netif_tx_sring_entry {
    struct netif_tx_request req;
    struct netif_tx_response rsp;
};

union netif_rx_sring_entry {
    struct netif_rx_request req;
    struct netif_rx_response rsp;
};

struct xen_netif_ctrl_request {
    uint16_t id;
    uint16_t type; /* XEN_NETIF_CTRL_TYPE_* */
    uint32_t data[3];
};

struct xen_netif_ctrl_response {
    uint16_t id;
    uint16_t type;
    uint32_t status; /* XEN_NETIF_CTRL_STATUS_* */
    uint32_t data;
};

union xen_netif_ctrl_sring_entry {
    struct xen_netif_ctrl_request req;
    struct xen_netif_ctrl_response rsp;
};

/* An element of the list of ADD_GREF_MAPPING and DEL_GREF_MAPPING. */
struct xen_netif_gref {
    grant_ref_t ref;
    uint16_t flags; /* XEN_NETIF_CTRLF_GREF_* */
    uint16_t status;
};
/* cffi: end */

static_assert(sizeof(struct netif_tx_request) == 12, "netif_tx_request");
static_assert(sizeof(struct netif_tx_response) == 4, "netif_tx_response");
static_assert(sizeof(struct netif_rx_request) == 8, "netif_rx_request");
static_assert(sizeof(struct netif_rx_response) == 8, "netif_rx_response");
static_assert(sizeof(struct netif_extra_info) == 8, "netif_extra_info");
static_assert(sizeof(union netif_tx_sring_entry) == 12, "netif_tx_sring_entry");
static_assert(sizeof(union netif_rx_sring_entry) == 8, "netif_rx_sring_entry");
static_assert(sizeof(struct xen_netif_ctrl_request) == 16, "xen_netif_ctrl_request");
static_assert(sizeof(struct xen_netif_ctrl_response) == 12, "xen_netif_ctrl_response");
static_assert(sizeof(union xen_netif_ctrl_sring_entry) == 16, "xen_netif_ctrl_sring_entry");
static_assert(sizeof(struct xen_netif_gref) == 8, "xen_netif_gref");

#endif
