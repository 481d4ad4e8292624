/*
 * The network frontend's data plane: one queue is a tx and an rx ring with granted pages of its own
 * and one event channel or two. It never blocks and is driven by one thread: send, receive, and
 * before sleeping arm. Packets are copied between the caller's memory and the granted pages, which
 * hold nothing else (XSA-403) and stay granted as long as the connection.
 *
 * Return values below 0 are negative errnos. -EINVAL is always the caller's mistake. A backend that
 * breaks the protocol makes the queue broken: it touches the rings no more, and every later call
 * returns -EPROTO.
 */
#ifndef PVDRIVERS_FRONTENDS_VNIF_NETFRONT_H
#define PVDRIVERS_FRONTENDS_VNIF_NETFRONT_H

#include "pvdrivers/hypervisor.h"
#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/packet.h"

/* cffi: begin */
struct pv_netfront_queue;

#define PV_NETFRONT_MAX_QUEUES 64

struct pv_netfront_config {
    struct pv_hypervisor *hypervisor; /* the guest's own view; its ABI is the rings' */
    struct pv_evtchn *evtchn;         /* may serve several queues; outlives them */
    domid_t backend;
    bool split_event_channels;
    struct pv_packet_pool *pool; /* of received packets; outlives the queue */
    /* Pages posted at most, rounded down to a power of two; 0: 256. The longest packet needs 32. */
    uint32_t rx_buffers;
};

/* What is agreed with the backend. */
struct pv_netfront_features {
    bool sg;                   /* it takes packets of several slots */
    bool gso_tcpv4, gso_tcpv6; /* it takes these on tx */
    bool csum_ipv4, csum_ipv6; /* it takes blank checksums on tx */
    bool hash;                 /* it takes a packet's hash on tx: it has a control ring */
};

enum pv_netfront_violation {
    PV_NETFRONT_OK,
    PV_NETFRONT_RESPONSE_OVERFLOW, /* more responses than there were requests */
    PV_NETFRONT_BAD_ID,            /* a tx response for nothing that is in flight */
    PV_NETFRONT_VIOLATION_COUNT
};

/* Why a packet that the backend gave was dropped; its buffers are posted again. */
enum pv_netfront_error {
    PV_NETFRONT_BAD_STATUS, /* below 0, or beyond the page */
    PV_NETFRONT_TOO_MANY_SLOTS,
    PV_NETFRONT_CUT_SHORT, /* its slots or extras are not all there */
    PV_NETFRONT_BAD_EXTRA,
    PV_NETFRONT_BAD_GSO,
    PV_NETFRONT_TOO_SHORT, /* for an Ethernet header */
    PV_NETFRONT_TOO_LONG,
    PV_NETFRONT_ERROR_COUNT
};

struct pv_netfront_stats {
    uint64_t tx_packets, tx_bytes, tx_slots, tx_gso;
    uint64_t tx_errors;  /* answered with another status than OKAY */
    uint64_t tx_no_room; /* times packets were not taken for want of slots */
    uint64_t rx_packets, rx_bytes, rx_slots, rx_gso, rx_dropped;
    uint64_t bytes_copied;
    uint64_t notifications_sent, notifications_suppressed;
    uint64_t grants_made, grants_ended, grants_leaked;
    uint64_t violations;
    uint64_t errors[PV_NETFRONT_ERROR_COUNT];
};

/* Allocates, initialises and grants the rings and posts rx buffers; NULL with errno set on failure.
 */
PV_API struct pv_netfront_queue *pv_netfront_create(const struct pv_netfront_config *config);
/* What goes into xenstore. */
PV_API grant_ref_t pv_netfront_tx_ring_ref(const struct pv_netfront_queue *queue);
PV_API grant_ref_t pv_netfront_rx_ring_ref(const struct pv_netfront_queue *queue);
PV_API evtchn_port_t pv_netfront_tx_port(const struct pv_netfront_queue *queue);
PV_API evtchn_port_t pv_netfront_rx_port(const struct pv_netfront_queue *queue); /* may be tx's */
/* Takes over what is agreed; packets may be sent and received from now on, before with -ENOTCONN.
 */
PV_API int pv_netfront_connect(struct pv_netfront_queue *queue,
                               const struct pv_netfront_features *features);

/* Lists the pages of data, at most `count`, which stay granted until pv_netfront_disconnect: what a
 * backend may keep mapped. Returns how many. */
PV_API uint32_t pv_netfront_list_grants(const struct pv_netfront_queue *queue,
                                        struct xen_netif_gref *list, uint32_t count);

/* Copies as many of the packets, in order, as the ring has room for, publishes them together and
 * notifies at most once. The packets stay the caller's. Returns how many; -EINVAL: one of them is
 * too long or needs an offload that is not agreed, and none was sent. */
PV_API int pv_netfront_send(struct pv_netfront_queue *queue, struct pv_packet **packets,
                            uint32_t count);
/* Adds an address to the backend's multicast filter or takes it away: a request without a packet,
 * which carries the extra info. 0, or -EAGAIN: there is no room. */
PV_API int pv_netfront_multicast(struct pv_netfront_queue *queue, const uint8_t address[6],
                                 bool add);
/* Takes tx responses, gives at most `count` received packets, which become the caller's, and posts
 * their buffers again. Returns how many. */
PV_API int pv_netfront_receive(struct pv_netfront_queue *queue, struct pv_packet **packets,
                               uint32_t count);
/* Packets of one slot that could be sent now. */
PV_API uint32_t pv_netfront_room(struct pv_netfront_queue *queue);
/* Whether receive would find something: a look at both rings, for a caller that spins. */
PV_API bool pv_netfront_has_news(const struct pv_netfront_queue *queue);
/* Asks for a notification at the next received packet and, with `want_room`, at the next tx
 * response; true when there is something already (do not sleep). */
PV_API bool pv_netfront_arm(struct pv_netfront_queue *queue, bool want_room);
/* tx slots without a response. */
PV_API uint32_t pv_netfront_outstanding(const struct pv_netfront_queue *queue);

/* Ends every grant and closes the ports; a second call does nothing. A page whose grant the backend
 * still uses is leaked, never reused (XSA-396). */
PV_API void pv_netfront_disconnect(struct pv_netfront_queue *queue);
PV_API void pv_netfront_destroy(struct pv_netfront_queue *queue); /* disconnects; NULL is fine */
PV_API enum pv_netfront_violation pv_netfront_broken(const struct pv_netfront_queue *queue);
PV_API void pv_netfront_get_stats(const struct pv_netfront_queue *queue,
                                  struct pv_netfront_stats *stats);
/* One line about the queue as it is now; returns what snprintf does. */
PV_API int pv_netfront_describe(const struct pv_netfront_queue *queue, char *line, size_t size);
/* cffi: end */

#endif
