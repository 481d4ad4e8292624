/*
 * What a network backend's packets go to and come from: a TAP, a switch, a socket, a file. An
 * uplink has a number of queues, each of which one thread uses at a time; different queues may be
 * used by different threads. See docs/uplinks.md.
 *
 * tx is what the guest transmits, rx is what it receives, as in the protocol and for all of an
 * uplink's users.
 */
#ifndef PVDRIVERS_BACKENDS_UPLINKS_UPLINK_H
#define PVDRIVERS_BACKENDS_UPLINKS_UPLINK_H

#include "pvdrivers/vnif/packet.h"

/* cffi: begin */
#define PV_UPLINK_MAX_QUEUES 64

struct pv_uplink;

/* What of a packet may be left undone. */
struct pv_uplink_offloads {
    bool csum_ipv4, csum_ipv6; /* TCP and UDP checksums may be blank */
    bool gso_tcpv4, gso_tcpv6;
};

struct pv_uplink_stats {
    uint64_t tx_packets, tx_bytes, tx_dropped; /* dropped: it could not be passed on */
    uint64_t rx_packets, rx_bytes, rx_dropped; /* dropped: no room for it here */
    uint64_t errors; /* of system calls, and of what is behind the uplink */
};

enum pv_uplink_direction { PV_UPLINK_TX = 1, PV_UPLINK_RX = 2, PV_UPLINK_BOTH = 3 };

/* A packet that its backend has dropped: the guest's that was not sent, or one for the guest that
 * had been received. */
struct pv_uplink_drop {
    enum pv_uplink_direction direction;
    const struct pv_packet *packet; /* still the backend's; NULL: its bytes were not read */
    uint32_t length;                /* bytes, as far as it says */
    const char *reason;             /* what is wrong with it, in a few words */
};

struct pv_uplink_ops {
    const char *name;
    /* Takes all of the packets, none of which exceeds `tx_offloads`. Never blocks: what it cannot
     * pass on now it drops and counts. `cache` is the calling thread's. */
    void (*send)(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now);
    /* Gives up to `count` packets for the guest, which become the caller's; returns how many. Never
     * blocks. They may need any offload, and have other users: a switch passes on what another
     * guest has sent. Called in each pump, with a count of 0 when the guest has no room: what an
     * uplink has to do at a time, it does here. */
    uint32_t (*receive)(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                        struct pv_packet **packets, uint32_t count, uint64_t now);
    /* Before sleeping, when the guest has room: asks that `fd` becomes readable when there is
     * something to receive; true when there is already. May be absent. */
    bool (*arm)(struct pv_uplink *uplink, uint32_t queue);
    /* The queue's, or -1. The same for all of the uplink's life. */
    int (*fd)(struct pv_uplink *uplink, uint32_t queue);
    /* When to call receive though nothing happens, ns, later than its last `now`; UINT64_MAX:
     * never. May be absent. */
    uint64_t (*deadline)(struct pv_uplink *uplink, uint32_t queue);
    /* What the guest takes: an uplink that can make packets so spares the receiver work. Called
     * before it is connected, and again for each connection. May be absent. 0 or a negative errno.
     */
    int (*set_rx_offloads)(struct pv_uplink *uplink, const struct pv_uplink_offloads *offloads);
    /* Whether a guest is there, with that many queues (0: none, as at first). What comes for a
     * guest that is not there is dropped. Called while no queue uses it, and with 0 between two
     * connections. May be absent. 0 or a negative errno. */
    int (*set_carrier)(struct pv_uplink *uplink, uint32_t queues);
    /* Drops what waits on one queue for the guest. May be absent. */
    void (*purge)(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache);
    /* Tells of a packet that the backend has dropped. From any thread. May be absent. */
    void (*dropped)(struct pv_uplink *uplink, uint32_t queue, const struct pv_uplink_drop *drop,
                    uint64_t now);
    void (*get_stats)(struct pv_uplink *uplink, struct pv_uplink_stats *stats); /* any thread */
    /* Frees the uplink, which no queue uses any more. */
    void (*close)(struct pv_uplink *uplink);
};

struct pv_uplink {
    const struct pv_uplink_ops *ops;
    struct pv_packet_pool *pool;
    uint32_t queues;                       /* at most PV_UPLINK_MAX_QUEUES */
    struct pv_uplink_offloads tx_offloads; /* what it takes from the guest */
    bool no_data;   /* it looks at no byte of what it is sent, so none need be copied */
    uint32_t users; /* vifs whose uplink it is: it must outlive them */
};
/* cffi: end */

#endif
