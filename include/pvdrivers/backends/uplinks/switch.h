/*
 * An Ethernet switch in the backend's memory: packets go from guest to guest as they are, with
 * blank checksums, as GSO packets and with VLAN tags. Each vif has a port of its own, which is an
 * uplink.
 *
 * A learning bridge as IEEE 802.1Q has it, without a spanning tree: a packet for a known address
 * goes to that address's port, any other to all ports; the sources of a port's packets are learnt,
 * for each VLAN by itself, and forgotten when they are silent. A port learns a limited number of
 * addresses, in memory of its own, so a flood of sources takes no other guest's place; a packet for
 * an address that was not learnt goes to all. A flooded packet is one packet with several users.
 *
 * Ports may be created and closed by any thread, while packets pass.
 */
#ifndef PVDRIVERS_BACKENDS_UPLINKS_SWITCH_H
#define PVDRIVERS_BACKENDS_UPLINKS_SWITCH_H

#include "pvdrivers/backends/uplinks/uplinks.h"

/* cffi: begin */
#define PV_SWITCH_AGEING_NS 300000000000 /* IEEE 802.1Q's recommendation */
#define PV_SWITCH_PORT_MACS 64
#define PV_SWITCH_MAX_PORT_MACS 65536

struct pv_switch;

struct pv_switch_config {
    struct pv_packet_pool *pool; /* outlives the switch; that of its ports */
    uint64_t ageing_ns;          /* after which a silent source is forgotten */
};

struct pv_switch_port_config {
    uint32_t queues;  /* of a guest that has more only so many are used */
    uint32_t macs;    /* sources that are learnt from it, 1 to PV_SWITCH_MAX_PORT_MACS */
    uint32_t waiting; /* packets that wait for each queue, 1 to PV_UPLINK_MAX_WAITING_PACKETS; and
                         no more than 8 MiB of them */
    bool isolated;    /* nothing passes between two isolated ports, as Linux's bridge has it */
};

struct pv_switch_stats {
    uint32_t ports;
    uint32_t macs;    /* addresses that are known now */
    uint64_t moved;   /* times an address was seen at another port than before */
    uint64_t refused; /* packets whose source was not learnt, since the port has its number */
    uint64_t flooded; /* packets that went to all ports */
};

/* NULL with errno set on failure. */
PV_API struct pv_switch *pv_switch_create(const struct pv_switch_config *config);
/* Its ports are closed before. NULL is fine. */
PV_API void pv_switch_destroy(struct pv_switch *sw);
/* Closed as any uplink. NULL with errno set: EINVAL is a number that is not
 * allowed. */
PV_API struct pv_uplink *pv_switch_port_create(struct pv_switch *sw,
                                               const struct pv_switch_port_config *config);
PV_API void pv_switch_get_stats(struct pv_switch *sw,
                                struct pv_switch_stats *stats); /* any thread */
/* cffi: end */

#endif
