/*
 * What the switch's files share. switch.c has the switch and its ports, switch_learn.c which port
 * an address is at, switch_forward.c how a port's packets go to others.
 *
 * One lock that many read and few write: sending a batch reads, and what changes ports, carriers or
 * known addresses writes. So a port that was closed is in no sender's hands.
 */
#ifndef BACKENDS_UPLINKS_SWITCH_H
#define BACKENDS_UPLINKS_SWITCH_H

#include "backends/uplinks/mac_table.h"
#include "backends/uplinks/queued_uplink.h"
#include "pvdrivers/backends/uplinks/switch.h"

struct pv_switch {
    struct pv_packet_pool *pool;
    uint64_t ageing_ns;
    pthread_rwlock_t lock;
    struct switch_port **ports;
    uint32_t count, room; /* of ports */
    uint32_t macs;        /* that the ports may have together */
    struct mac_table table;
    uint64_t moved;
    uint64_t refused, flooded; /* added to by senders */
};

struct switch_port {
    struct queued_uplink queued;
    struct pv_switch *sw;
    bool isolated;
    uint32_t carrier; /* queues of the guest's that are used; 0: there is none */
    uint32_t max_macs;
    struct mac_entry *macs;   /* all */
    struct mac_entry *unused; /* those that are in no table */
    uint64_t next_expiry;     /* ns; when to look again for what is too old */
};

/* ---- switch_learn.c ---- */
/* Whether the source is not known to be there though it could be; reads only. */
bool switch_must_learn(struct switch_port *port, uint64_t key, uint64_t now, uint32_t *refused);
/* Under the lock, for writing. */
void switch_learn(struct switch_port *port, uint64_t key, uint64_t now);
void switch_forget_all(struct switch_port *port);
/* Where the address is; NULL: not known. Reads only. */
struct switch_port *switch_find(struct pv_switch *sw, uint64_t key, uint64_t now);

/* ---- switch_forward.c ---- */
void switch_send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now);

#endif
