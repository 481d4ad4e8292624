#include "pvdrivers/vnif/packet.h"

#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/vnif/packet_pool.h"

#include <stdlib.h>
#include <string.h>

/* What a cache has of a size at most. It takes and gives half of it at once, which is one lock for
 * that many packets. */
static const struct {
    uint32_t capacity, cached_max;
} sizes[PACKET_SIZES] = {
    [PACKET_SMALL] = {PV_PACKET_SMALL_CAPACITY, PACKET_CACHED_MAX},
    [PACKET_LARGE] = {PV_PACKET_LARGE_CAPACITY, 16},
};

/* ---- Caches ---------------------------------------------------------------------------------- */

struct pv_packet_cache *pv_packet_cache_create(struct pv_packet_pool *pool)
{
    struct pv_packet_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    cache->pool = pool;
    packet_pool_add_cache(cache);
    return cache;
}

void pv_packet_cache_destroy(struct pv_packet_cache *cache)
{
    if (!cache)
        return;
    pv_packet_cache_flush(cache);
    packet_pool_remove_cache(cache);
    free(cache);
}

/* Those that have lain longest. */
static void give(struct pv_packet_cache *cache, enum packet_size size, uint32_t count)
{
    struct packet_shelf *shelf = &cache->shelves[size];
    uint32_t left = shelf->count - count;
    packet_pool_give(cache->pool, size, shelf->blocks, count);
    memmove(shelf->blocks, shelf->blocks + count, left * sizeof(struct packet_block *));
    pv_write_once(&shelf->count, left);
}

void pv_packet_cache_flush(struct pv_packet_cache *cache)
{
    for (enum packet_size size = 0; size < PACKET_SIZES; size++)
        if (cache->shelves[size].count)
            give(cache, size, cache->shelves[size].count);
}

/* ---- Packets --------------------------------------------------------------------------------- */

static size_t block_bytes(enum packet_size size)
{
    size_t slack = size == PACKET_LARGE ? PACKET_LARGE_SLACK : 0;
    return PACKET_LINE + PV_PACKET_HEADROOM + sizes[size].capacity + slack;
}

/* From a shelf that is not empty. */
static inline struct pv_packet *take(struct pv_packet_cache *cache, enum packet_size size)
{
    struct packet_shelf *shelf = &cache->shelves[size];
    uint32_t count = shelf->count - 1;
    struct packet_block *block = shelf->blocks[count];
    pv_write_once(&shelf->count, count);
    ASAN_UNPOISON_MEMORY_REGION(block, block_bytes(size));
    *block = (struct packet_block){
        .size = size,
        .packet = {.data = (uint8_t *)block + PACKET_LINE + PV_PACKET_HEADROOM,
                   .capacity = sizes[size].capacity,
                   .users = 1,
                   .pool = cache->pool},
    };
    return &block->packet;
}

/* Apart from what most packets need, so that these save no registers for it. */
__attribute__((noinline)) static struct pv_packet *fill_and_take(struct pv_packet_cache *cache,
                                                                 enum packet_size size)
{
    struct packet_shelf *shelf = &cache->shelves[size];
    uint32_t filled =
        packet_pool_take(cache->pool, size, shelf->blocks, sizes[size].cached_max / 2);
    pv_write_once(&shelf->count, filled);
    return filled ? take(cache, size) : NULL;
}

struct pv_packet *pv_packet_alloc(struct pv_packet_cache *cache, uint32_t length)
{
    enum packet_size size = length <= PV_PACKET_SMALL_CAPACITY ? PACKET_SMALL : PACKET_LARGE;
    return cache->shelves[size].count ? take(cache, size) : fill_and_take(cache, size);
}

void pv_packet_align(struct pv_packet *packet, uint32_t at, uint32_t offset)
{
    uint32_t now = (uint32_t)(uintptr_t)packet->data + at;
    if (packet->capacity > PV_PACKET_SMALL_CAPACITY)
        packet->data += (offset - now) & (PACKET_PAGE - 1);
}

static void put(struct pv_packet_cache *cache, struct packet_block *block)
{
    enum packet_size size = block->size;
    struct pv_packet_pool *pool = block->packet.pool;
    ASAN_POISON_MEMORY_REGION(block, block_bytes(size));
    if (!cache || cache->pool != pool) {
        packet_pool_give(pool, size, &block, 1);
        return;
    }
    struct packet_shelf *shelf = &cache->shelves[size];
    if (shelf->count == sizes[size].cached_max)
        give(cache, size, shelf->count / 2);
    shelf->blocks[shelf->count] = block;
    pv_write_once(&shelf->count, shelf->count + 1);
}

void pv_packet_release(struct pv_packet_cache *cache, struct pv_packet **packets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct pv_packet *packet = packets[i];
        /* Acquire: what other users did with it is over before it is used again. The only user need
         * not count: nobody else can add one. */
        if (pv_load_acquire(&packet->users) == 1 || pv_fetch_sub(&packet->users, 1) == 1)
            put(cache, (struct packet_block *)packet);
    }
}

void pv_packet_hold(struct pv_packet *packet, uint32_t users)
{
    pv_fetch_add(&packet->users, users);
}

struct pv_packet *pv_packet_make_private(struct pv_packet_cache *cache, struct pv_packet *packet)
{
    /* Acquire: others have read it before it is changed. */
    if (pv_load_acquire(&packet->users) == 1)
        return packet;
    struct pv_packet *copy = pv_packet_alloc(cache, packet->length);
    if (copy) {
        memcpy(copy->data, packet->data, packet->length);
        copy->length = packet->length;
        copy->csum_blank = packet->csum_blank;
        copy->data_validated = packet->data_validated;
        copy->gso_type = packet->gso_type;
        copy->gso_size = packet->gso_size;
        copy->hash_algorithm = packet->hash_algorithm;
        copy->hash_type = packet->hash_type;
        copy->hash = packet->hash;
        copy->time = packet->time;
    }
    pv_packet_release(cache, &packet, 1);
    return copy;
}
