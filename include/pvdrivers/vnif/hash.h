/* Hashes of flows: Toeplitz as in Microsoft's receive side scaling, and one of our own for choosing
 * queues when nobody has asked for another. */
#ifndef PVDRIVERS_VNIF_HASH_H
#define PVDRIVERS_VNIF_HASH_H

#include "pvdrivers/vnif/headers.h"

/* cffi: begin */
#define PV_HASH_MAX_KEY 40 /* bytes */

/* Of `length` bytes of input under a key of at most PV_HASH_MAX_KEY; behind its end the key counts
 * as 0. */
PV_API uint32_t pv_toeplitz(const uint8_t *key, uint32_t key_length, const uint8_t *input,
                            uint32_t length);
/* The hash of the most specific of `types` (XEN_NETIF_CTRL_HASH_TYPE_*) that applies. True and the
 * type's bit number and hash, or false: none applies. The TCP types apply to no fragment, not even
 * to the first: all of a packet's fragments go by the same bytes. */
PV_API bool pv_packet_toeplitz(const struct pv_packet *packet, uint32_t types, const uint8_t *key,
                               uint32_t key_length, uint8_t *type, uint32_t *hash);
/* The same for all packets of a flow: IP addresses, and the ports of TCP and UDP. A fragment, the
 * first too, goes by the addresses alone, so that a packet's fragments stay together; so a UDP flow
 * some of whose packets are fragmented may use two queues. What is no IP goes by its Ethernet
 * addresses. */
PV_API uint32_t pv_packet_flow_hash(const struct pv_packet *packet);
/* cffi: end */

#endif
