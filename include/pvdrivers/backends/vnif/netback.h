/*
 * The network backend's data plane. A vif is one network device of a guest: its features, its
 * uplink, its hash and its multicast filter, which its queues share. A queue is a tx and an rx ring
 * mapped here, with one event channel or two. The control ring is one more pollable.
 *
 * tx is what the guest transmits. Each pump takes whole packets from the tx ring and sends them to
 * the uplink, and gives what the uplink has to the guest on the rx ring. Nothing here blocks.
 *
 * Return values below 0 are negative errnos. What a frontend does wrong with one packet is answered
 * on the ring and counted. What Linux's netback calls fatal breaks the queue: it touches its rings
 * no more, every later pump returns -EPROTO, and an eventfd tells the owner to close the device.
 */
#ifndef PVDRIVERS_BACKENDS_VNIF_NETBACK_H
#define PVDRIVERS_BACKENDS_VNIF_NETBACK_H

#include "pvdrivers/backends/uplinks/uplink.h"
#include "pvdrivers/hypervisor.h"
#include "pvdrivers/poll/pollable.h"
#include "pvdrivers/ring/abi_netif.h"
#include "pvdrivers/vnif/hash.h"

/* cffi: begin */
struct pv_netback_vif;
struct pv_netback_queue;
struct pv_netback_control;

#define PV_NETBACK_MAX_QUEUES 64
#define PV_NETBACK_MAX_MULTICAST 64 /* addresses, as Linux's netback */
#define PV_NETBACK_MAX_MAPPING 128  /* entries of the hash mapping, as Linux's netback */
#define PV_NETBACK_FATAL_SLOTS 20   /* a packet of more slots after its first is fatal */

struct pv_netback_vif_config {
    struct pv_hypervisor *hypervisor;
    domid_t frontend;
    enum pv_abi abi;          /* the frontend's: gives the page size */
    struct pv_uplink *uplink; /* outlives the vif, or its exchange */
    uint8_t mac[6];           /* the guest's */
    uint32_t queues;          /* that it has, 1 to PV_NETBACK_MAX_QUEUES */
    /* What the frontend takes on rx, as its keys say. */
    bool sg, gso_tcpv4, gso_tcpv6, csum_ipv4, csum_ipv6;
    bool rx_notify; /* false: it does not say when it has posted buffers, so they are looked for */
    bool multicast_control; /* it has asked for a filter */
    bool resumed; /* an earlier backend has served this connection: what the guest has told it and
                     no log knows, it does not tell again */
    uint16_t xdp_headroom;          /* bytes in front of each packet; 0: none */
    uint64_t rate_bytes, rate_usec; /* of each queue's tx; 0 bytes: unlimited */
    uint64_t rx_drain_ns,
        rx_stall_ns; /* how long packets wait for buffers: 10 s and 60 s in Linux; 0: for ever */
};

struct pv_netback_queue_config {
    struct pv_evtchn *evtchn; /* this queue's; outlives it */
    uint32_t index; /* of the vif's queues, and of the uplink's modulo its number: when some share
                       one, the first takes what comes, so that it stays in order */
    grant_ref_t tx_ring_ref, rx_ring_ref;
    evtchn_port_t tx_port, rx_port; /* the frontend's; the same: one for both directions */
    /* Where to log what is answered: pv_netback_log_size bytes, aligned to 128, all zero or as an
     * earlier queue of this connection left them. NULL: memory of the queue's own. */
    void *log;
    size_t log_size;
    int fault_fd; /* an eventfd, written to when the queue breaks; 0: faults are not reported */
};

struct pv_netback_control_config {
    struct pv_evtchn *evtchn;
    grant_ref_t ring_ref;
    evtchn_port_t port;
    void *log; /* as above, pv_netback_control_log_size bytes */
    size_t log_size;
    int fault_fd;
};

/* Why a packet of the guest was not passed on, or a queue broke. */
enum pv_netback_error {
    /* The packet is answered with ERROR. */
    PV_NETBACK_TOO_MANY_SLOTS,
    PV_NETBACK_BAD_SIZE,  /* a slot is larger than what is left of its packet */
    PV_NETBACK_TOO_SHORT, /* for an Ethernet header */
    PV_NETBACK_BAD_GRANT,
    PV_NETBACK_BAD_GSO_PACKET, /* no TCP packet of the kind that it says */
    PV_NETBACK_BAD_CHECKSUM,   /* blank, in what is no TCP or UDP packet */
    PV_NETBACK_MULTICAST_FULL, /* the extra is answered with ERROR */
    /* The queue breaks. */
    PV_NETBACK_RING_OVERRUN,
    PV_NETBACK_CUT_SHORT,    /* a packet's slots are not all there */
    PV_NETBACK_FATAL_COUNT,  /* more than PV_NETBACK_FATAL_SLOTS after the first */
    PV_NETBACK_CROSSES_PAGE, /* offset and size leave the page */
    PV_NETBACK_BAD_EXTRA,    /* its type, or it is missing */
    PV_NETBACK_BAD_GSO,      /* size 0, or an unknown type */
    PV_NETBACK_ERROR_COUNT
};

/* The same in a few words. */
PV_API const char *pv_netback_error_text(enum pv_netback_error error);

struct pv_netback_stats {
    uint64_t tx_packets, tx_bytes, tx_slots, tx_errors; /* tx_packets: sent to the uplink */
    uint64_t rx_packets, rx_bytes, rx_slots;            /* given to the guest */
    uint64_t rx_dropped; /* waited too long for buffers, or do not fit the guest's */
    uint64_t rx_grant_errors, rx_filtered;   /* filtered: multicast that was not asked for */
    uint64_t rx_segmented, checksums_filled; /* done here because an end does not */
    uint64_t rx_stalls;      /* times the guest had posted no buffers for too long */
    uint64_t tx_gso, rx_gso; /* of the packets */
    uint64_t throttled;      /* times tx stopped for want of credit */
    uint64_t steered;        /* packets given to another queue because of the hash mapping */
    uint64_t batches, notifications_sent, notifications_suppressed;
    uint64_t grant_copies, grant_copy_calls, bytes_copied;
    uint64_t static_copies; /* from and to static grants' pages, without a call */
    uint64_t resumed;       /* responses that an earlier backend had written and not published */
    uint64_t errors[PV_NETBACK_ERROR_COUNT];
};

struct pv_netback_control_stats {
    uint64_t requests, failures; /* failures: answered with another status than SUCCESS */
    uint64_t notifications_sent, notifications_suppressed;
};

/* ---- the vif ---- */
/* NULL with errno set on failure. */
PV_API struct pv_netback_vif *pv_netback_vif_create(const struct pv_netback_vif_config *config);
/* Its queues and its control ring are destroyed before it. NULL is fine. */
PV_API void pv_netback_vif_destroy(struct pv_netback_vif *vif);
/* Goes on with another uplink, while it has no queues. All that the guest has told it stays. */
PV_API void pv_netback_vif_set_uplink(struct pv_netback_vif *vif, struct pv_uplink *uplink);
/* From any thread, while queues are pumped. */
PV_API void pv_netback_vif_set_rate(struct pv_netback_vif *vif, uint64_t bytes, uint64_t usec);
PV_API void pv_netback_vif_set_multicast_control(struct pv_netback_vif *vif, bool enabled);
PV_API void pv_netback_vif_set_xdp_headroom(struct pv_netback_vif *vif, uint16_t bytes);
/* Whether packets for the guest wait for buffers for longer than rx_stall_ns on every queue. */
PV_API bool pv_netback_vif_stalled(const struct pv_netback_vif *vif);
/* Which queue a packet for the guest belongs to: by the guest's own hash and mapping, or `queue`.
 */
PV_API uint32_t pv_netback_vif_choose_queue(struct pv_netback_vif *vif, struct pv_packet *packet,
                                            uint32_t queue);

/* ---- a queue ---- */
/* The log of queue 0 also keeps what the guest has told the vif: its hash and its filter. */
PV_API size_t pv_netback_log_size(enum pv_abi abi, uint32_t index);
/* Maps the rings, binds the ports and takes up the rings where the last backend left them. NULL
 * with errno set: EINVAL is the caller's mistake, EIO a ring that is overrun already, ESTALE a log
 * that is not this connection's or contradicts its rings, EPROTO an ABI with other pages than the
 * frontend's, anything else what the hypervisor said. */
PV_API struct pv_netback_queue *
pv_netback_queue_create(struct pv_netback_vif *vif, const struct pv_netback_queue_config *config);
/* Whether such a queue would go on where an earlier backend stopped: 0, -EBUSY (there is no log,
 * and the frontend waits for answers) or a negative errno as above. Changes nothing; needs no
 * evtchn. */
PV_API int pv_netback_queue_resumable(struct pv_netback_vif *vif,
                                      const struct pv_netback_queue_config *config);
PV_API struct pv_pollable *pv_netback_queue_pollable(struct pv_netback_queue *queue);
PV_API evtchn_port_t pv_netback_queue_port(const struct pv_netback_queue *queue); /* tx */
PV_API evtchn_port_t
pv_netback_queue_rx_port(const struct pv_netback_queue *queue); /* may be tx's */
/* Moves at most `budget` packets each way. As a pollable's pump, arm and deadline. */
PV_API int pv_netback_queue_pump(struct pv_netback_queue *queue, uint32_t budget, uint64_t now);
PV_API bool pv_netback_queue_arm(struct pv_netback_queue *queue);
PV_API uint64_t pv_netback_queue_deadline(const struct pv_netback_queue *queue);
/* Takes no more packets from either side. */
PV_API void pv_netback_queue_stop(struct pv_netback_queue *queue);
/* Unmaps the rings, unbinds the ports, drops what waits for the guest, and frees it; NULL is fine.
 */
PV_API void pv_netback_queue_destroy(struct pv_netback_queue *queue);
PV_API bool pv_netback_queue_broken(const struct pv_netback_queue *queue);
/* From any thread: each counter is whole, but they need not be of one moment. */
PV_API void pv_netback_queue_get_stats(const struct pv_netback_queue *queue,
                                       struct pv_netback_stats *stats);
/* One line about the queue as it is now; returns what snprintf does. */
PV_API int pv_netback_queue_describe(const struct pv_netback_queue *queue, char *line, size_t size);

/* ---- the control ring ---- */
PV_API size_t pv_netback_control_log_size(enum pv_abi abi);
PV_API struct pv_netback_control *
pv_netback_control_create(struct pv_netback_vif *vif,
                          const struct pv_netback_control_config *config);
PV_API int pv_netback_control_resumable(struct pv_netback_vif *vif,
                                        const struct pv_netback_control_config *config);
PV_API struct pv_pollable *pv_netback_control_pollable(struct pv_netback_control *control);
PV_API evtchn_port_t pv_netback_control_port(const struct pv_netback_control *control);
PV_API int pv_netback_control_pump(struct pv_netback_control *control, uint32_t budget,
                                   uint64_t now);
PV_API bool pv_netback_control_arm(struct pv_netback_control *control);
PV_API void pv_netback_control_stop(struct pv_netback_control *control);
PV_API void pv_netback_control_destroy(struct pv_netback_control *control); /* NULL is fine */
PV_API bool pv_netback_control_broken(const struct pv_netback_control *control);
PV_API void pv_netback_control_get_stats(const struct pv_netback_control *control,
                                         struct pv_netback_control_stats *stats);
/* cffi: end */

#endif
