/*
 * The uplinks that need nothing of the host, and filters. Each constructor returns NULL with errno
 * set on failure: EINVAL is a number of queues that no uplink has. The pool outlives the uplink.
 */
#ifndef PVDRIVERS_BACKENDS_UPLINKS_UPLINKS_H
#define PVDRIVERS_BACKENDS_UPLINKS_UPLINKS_H

#include "pvdrivers/backends/uplinks/uplink.h"

/* cffi: begin */
#define PV_UPLINK_WAITING_PACKETS 1024 /* for a guest's queue that does not read */
#define PV_UPLINK_MAX_WAITING_PACKETS 65536

/* What is sent goes nowhere, and nothing comes. */
PV_API struct pv_uplink *pv_null_uplink_create(struct pv_packet_pool *pool, uint32_t queues);
/* What is sent comes back on the same queue. What the guest does not read is dropped when there are
 * PV_UPLINK_WAITING_PACKETS or 8 MiB of it. */
PV_API struct pv_uplink *pv_hairpin_uplink_create(struct pv_packet_pool *pool, uint32_t queues);

/* Takes what a queue has sent, on its thread; the packets go back to the pool afterwards, but for
 * those held. 0, or else all count as dropped, and as an error. */
typedef int pv_external_uplink_sent(struct pv_uplink *uplink, uint32_t queue,
                                    struct pv_packet **packets, uint32_t count);
/* An uplink whose creator is what is behind it. */
PV_API struct pv_uplink *pv_external_uplink_create(struct pv_packet_pool *pool, uint32_t queues,
                                                   const struct pv_uplink_offloads *tx_offloads,
                                                   pv_external_uplink_sent *sent);
/* Packets for the guest, which are the uplink's from now on. From any thread; `cache` is that
 * thread's. Returns how many there was room for. */
PV_API uint32_t pv_external_uplink_deliver(struct pv_uplink *uplink, struct pv_packet_cache *cache,
                                           struct pv_packet **packets, uint32_t count);

/* A cable between two uplinks, such as a port of a switch and a TAP: what one gives is sent to the
 * other, by a thread of its own, which uses queue 0 of both. NULL with errno set: ENOTSUP is an
 * uplink that does not take all offloads, since nobody completes packets here. */
struct pv_uplink_patch;
PV_API struct pv_uplink_patch *pv_uplink_patch_create(struct pv_uplink *one,
                                                      struct pv_uplink *other);
/* Closes both uplinks too. NULL is fine. */
PV_API void pv_uplink_patch_destroy(struct pv_uplink_patch *patch);

/* ---- Filters: what closes one closes the uplink below too. ----
 * They work in `send` and `receive`, at the time these are told. Everything random comes from a
 * seed: the same packets in the same order on a queue have the same outcome. What a filter holds of
 * a queue and direction is at most 1024 packets and 8 MiB; more is dropped. Its counters are those
 * of the uplink below, and what it has dropped. */

/* errno EINVAL: one of these is something else. */
struct pv_uplink_filter_config {
    uint64_t seed;
    uint32_t directions; /* enum pv_uplink_direction */
    double probability;  /* 0 to 1: of the packets that the filter does something to */
};

PV_API struct pv_uplink *pv_uplink_loss_create(struct pv_uplink *below,
                                               const struct pv_uplink_filter_config *config);
PV_API struct pv_uplink *pv_uplink_duplicate_create(struct pv_uplink *below,
                                                    const struct pv_uplink_filter_config *config);
/* Flips a bit behind the Ethernet header. A blank checksum is filled in before, and a GSO packet
 * cut into its segments, of which one is struck; one that cannot be cut is dropped. */
PV_API struct pv_uplink *pv_uplink_corrupt_create(struct pv_uplink *below,
                                                  const struct pv_uplink_filter_config *config);
/* Holds each that it strikes back for `delay` ns, so that those behind it overtake it. */
PV_API struct pv_uplink *pv_uplink_reorder_create(struct pv_uplink *below,
                                                  const struct pv_uplink_filter_config *config,
                                                  uint64_t delay);
/* Holds all back for `delay` ns and a random part of `jitter` ns more, which reorders them. The
 * probability does not count. */
PV_API struct pv_uplink *pv_uplink_delay_create(struct pv_uplink *below,
                                                const struct pv_uplink_filter_config *config,
                                                uint64_t delay, uint64_t jitter);
/* Lets `bytes_per_second` (not 0) of each direction through, of all queues together, and at most
 * `burst` bytes at once after a pause. The probability does not count. */
PV_API struct pv_uplink *pv_uplink_rate_create(struct pv_uplink *below,
                                               const struct pv_uplink_filter_config *config,
                                               uint64_t bytes_per_second, uint64_t burst);
/* cffi: end */

#endif
