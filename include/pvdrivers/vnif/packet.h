/*
 * Packets in this process's private memory, on their way between a ring and an uplink. They come
 * from a pool, which any number of queues share, each through a cache of its own; so no packet
 * costs an allocation. A packet may end on another thread than it began.
 */
#ifndef PVDRIVERS_VNIF_PACKET_H
#define PVDRIVERS_VNIF_PACKET_H

#include "pvdrivers/types.h"

/* cffi: begin */
#define PV_PACKET_MAX_LENGTH 65535
#define PV_PACKET_SMALL_CAPACITY 1664  /* an Ethernet frame, with VLAN tags */
#define PV_PACKET_LARGE_CAPACITY 65664 /* the longest packet, and what a segment's headers need */
#define PV_PACKET_HEADROOM 64          /* bytes in front of `data`, for an uplink's own header */
#define PV_PACKET_MIN_LENGTH 14        /* an Ethernet header */

struct pv_packet_pool;
struct pv_packet_cache;

struct pv_packet {
    uint8_t *data;             /* begins with the Ethernet header */
    uint32_t length, capacity; /* bytes */
    uint32_t users;            /* who hold it; more than one: it must not be changed */
    /* What the rings tell of it, as a network card's descriptor does. */
    bool csum_blank;        /* the TCP or UDP checksum covers the pseudo header only */
    bool data_validated;    /* the checksum is right, or blank */
    uint8_t gso_type;       /* XEN_NETIF_GSO_TYPE_* */
    uint16_t gso_size;      /* bytes of TCP payload in a segment */
    uint8_t hash_algorithm; /* XEN_NETIF_CTRL_HASH_ALGORITHM_*; NONE: there is no hash */
    uint8_t hash_type;      /* a bit's number in XEN_NETIF_CTRL_HASH_TYPE_* */
    uint32_t hash;
    uint64_t time;          /* ns: when it began to wait, for those who keep packets */
    struct pv_packet *next; /* for who holds it alone */
    struct pv_packet_pool *pool;
};

/* NULL with errno set on failure. Pools outlive their caches and packets. */
PV_API struct pv_packet_pool *pv_packet_pool_create(void);
PV_API void pv_packet_pool_destroy(struct pv_packet_pool *pool); /* NULL is fine */
/* Packets that somebody holds: those in the pool and its caches are free. From any thread; exact
 * when no other thread allocates or releases. */
PV_API uint32_t pv_packet_pool_used(const struct pv_packet_pool *pool);
/* Bytes of resident memory that the pool, its caches and all its packets take. From any thread; a
 * system call for each 16 large or 32 small packets, so for figures only. */
PV_API size_t pv_packet_pool_memory(const struct pv_packet_pool *pool);

/* For one thread at a time. */
PV_API struct pv_packet_cache *pv_packet_cache_create(struct pv_packet_pool *pool);
/* What it has goes to the pool, where other queues find it: for a queue that is about to sleep. */
PV_API void pv_packet_cache_flush(struct pv_packet_cache *cache);
PV_API void pv_packet_cache_destroy(struct pv_packet_cache *cache); /* NULL is fine */
/* A packet with room for `length` bytes, at most PV_PACKET_LARGE_CAPACITY: one user, no bytes, no
 * offloads. NULL: there is no memory. */
PV_API struct pv_packet *pv_packet_alloc(struct pv_packet_cache *cache, uint32_t length);
/* Moves the data of a packet that has no bytes yet, so that its byte `at` lies at this offset of a
 * page. The copies of a hypervisor end at pages, so this saves one for each slot's page. A packet
 * with room for no more than PV_PACKET_SMALL_CAPACITY bytes stays as it is. */
PV_API void pv_packet_align(struct pv_packet *packet, uint32_t at, uint32_t offset);
/* One user less of each; those without users go back to the pool. `cache` may be NULL, or belong to
 * another pool. */
PV_API void pv_packet_release(struct pv_packet_cache *cache, struct pv_packet **packets,
                              uint32_t count);
/* The packet, or when it has other users a copy in its place that has none; NULL: there is no
 * memory, and the packet is released. */
PV_API struct pv_packet *pv_packet_make_private(struct pv_packet_cache *cache,
                                                struct pv_packet *packet);
/* More users of it. */
PV_API void pv_packet_hold(struct pv_packet *packet, uint32_t users);
/* cffi: end */

#endif
