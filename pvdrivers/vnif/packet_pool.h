/*
 * The memory behind packets: blocks of two sizes, cut from mappings that take memory when they are
 * first written. A block begins with its struct pv_packet.
 */
#ifndef PVDRIVERS_VNIF_PACKET_POOL_H
#define PVDRIVERS_VNIF_PACKET_POOL_H

#include "pvdrivers/vnif/packet.h"

enum packet_size { PACKET_SMALL, PACKET_LARGE, PACKET_SIZES };

struct packet_block {
    struct pv_packet packet;
    enum packet_size size;
};

#define PACKET_LINE 64u /* of the processor's cache: the packet's own */
static_assert(sizeof(struct packet_block) <= PACKET_LINE, "a packet's own line");

/* The data of a large packet may begin so much later (pv_packet_align). */
#define PACKET_PAGE 4096u
#define PACKET_LARGE_SLACK (PACKET_PAGE - 1)

/* What a cache has of one size; the last one in is the first one out, since it is in the
 * processor's caches. Only its owner changes it; `count` is read by others too. */
#define PACKET_CACHED_MAX 64
struct packet_shelf {
    uint32_t count;
    struct packet_block *blocks[PACKET_CACHED_MAX];
};

struct pv_packet_cache {
    struct pv_packet_pool *pool;
    struct pv_packet_cache *next; /* of the pool's caches */
    struct packet_shelf shelves[PACKET_SIZES];
};

void packet_pool_add_cache(struct pv_packet_cache *cache);
void packet_pool_remove_cache(struct pv_packet_cache *cache);
/* Up to `count` blocks; returns how many. 0: there is no memory. */
uint32_t packet_pool_take(struct pv_packet_pool *pool, enum packet_size size,
                          struct packet_block **blocks, uint32_t count);
void packet_pool_give(struct pv_packet_pool *pool, enum packet_size size,
                      struct packet_block *const *blocks, uint32_t count);

/* AddressSanitizer is told which blocks are nobody's. */
#if defined(__SANITIZE_ADDRESS__)
#define PACKET_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PACKET_POISON 1
#endif
#endif
#ifdef PACKET_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#endif
