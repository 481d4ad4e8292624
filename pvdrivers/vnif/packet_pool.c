#include "pvdrivers/vnif/packet_pool.h"

#include "pvdrivers/ring/barrier.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE PACKET_PAGE
#define SMALL_PLACE PAGE /* for two small blocks, neither of which crosses a page */
#define LARGE_PLACE (18 * PAGE)
#define CHUNK_PLACES 16u

#define BLOCK(capacity) (PACKET_LINE + PV_PACKET_HEADROOM + (capacity)) /* bytes */
static_assert(2 * BLOCK(PV_PACKET_SMALL_CAPACITY) <= SMALL_PLACE, "two small blocks");
#define LARGE_BLOCK (BLOCK(PV_PACKET_LARGE_CAPACITY) + PACKET_LARGE_SLACK)
static_assert(LARGE_BLOCK <= LARGE_PLACE, "a large block");

/* Memory is mapped by chunks of CHUNK_PLACES places; a place is whole pages with one or two blocks.
 * What is left of it goes in front of its blocks, in another number of lines for each place: else
 * the headers of a batch of packets would meet in few sets of the processor's cache. */
static const struct {
    uint32_t block, place; /* bytes */
    uint32_t blocks_of_place;
    uint32_t free_max; /* free blocks that keep their memory */
} sizes[PACKET_SIZES] = {
    [PACKET_SMALL] = {BLOCK(PV_PACKET_SMALL_CAPACITY), SMALL_PLACE, 2, UINT32_MAX},
    [PACKET_LARGE] = {LARGE_BLOCK, LARGE_PLACE, 1, 256},
};
#define COOLED 32u /* large blocks that lose their memory at once */

struct chunk {
    struct chunk *next;
    uint8_t *memory;
    size_t bytes;
};

struct stack {
    struct packet_block **blocks;
    uint32_t count;
};

struct blocks {
    struct stack free; /* those used last are on top */
    struct stack cold; /* they have no memory */
    uint32_t made;     /* of all chunks; either stack has room for so many */
};

struct pv_packet_pool {
    pthread_mutex_t lock;
    struct blocks blocks[PACKET_SIZES];
    struct chunk *chunks;
    struct pv_packet_cache *caches;
};

struct pv_packet_pool *pv_packet_pool_create(void)
{
    struct pv_packet_pool *pool = calloc(1, sizeof(*pool));
    if (pool)
        pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

void pv_packet_pool_destroy(struct pv_packet_pool *pool)
{
    if (!pool)
        return;
    for (struct chunk *chunk = pool->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        ASAN_UNPOISON_MEMORY_REGION(chunk->memory, chunk->bytes);
        munmap(chunk->memory, chunk->bytes);
        free(chunk);
    }
    for (int size = 0; size < PACKET_SIZES; size++) {
        free(pool->blocks[size].free.blocks);
        free(pool->blocks[size].cold.blocks);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* ---- Making blocks --------------------------------------------------------------------------- */

static bool stack_reserve(struct stack *stack, uint32_t count)
{
    struct packet_block **blocks = realloc(stack->blocks, count * sizeof(struct packet_block *));
    if (blocks)
        stack->blocks = blocks;
    return blocks;
}

static struct chunk *make_chunk(size_t bytes)
{
    struct chunk *chunk = malloc(sizeof(*chunk));
    if (!chunk)
        return NULL;
    *chunk = (struct chunk){.bytes = bytes};
    chunk->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk->memory == MAP_FAILED) {
        free(chunk);
        return NULL;
    }
    madvise(chunk->memory, bytes, MADV_NOHUGEPAGE); /* who writes one page has one page */
    ASAN_POISON_MEMORY_REGION(chunk->memory, bytes);
    return chunk;
}

static bool make_blocks(struct pv_packet_pool *pool, enum packet_size size)
{
    struct blocks *blocks = &pool->blocks[size];
    uint32_t block = sizes[size].block, of_place = sizes[size].blocks_of_place;
    uint32_t made = blocks->made + CHUNK_PLACES * of_place;
    if (!stack_reserve(&blocks->free, made) || !stack_reserve(&blocks->cold, made))
        return false;
    struct chunk *chunk = make_chunk((size_t)CHUNK_PLACES * sizes[size].place);
    if (!chunk)
        return false;
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    uint32_t colours = (sizes[size].place - of_place * block) / PACKET_LINE + 1;
    for (uint32_t place = CHUNK_PLACES; place-- > 0;) {
        uint32_t colour = (blocks->made / of_place + place) % colours;
        uint8_t *first = chunk->memory + (size_t)place * sizes[size].place + colour * PACKET_LINE;
        for (uint32_t i = of_place; i-- > 0;)
            blocks->cold.blocks[blocks->cold.count++] =
                (struct packet_block *)(first + (size_t)i * block);
    }
    blocks->made = made;
    return true;
}

/* ---- Taking and giving ----------------------------------------------------------------------- */

static void push(struct stack *stack, struct packet_block *const *blocks, uint32_t count)
{
    memcpy(stack->blocks + stack->count, blocks, count * sizeof(struct packet_block *));
    stack->count += count;
}

static uint32_t pop(struct stack *stack, struct packet_block **blocks, uint32_t count)
{
    if (count > stack->count)
        count = stack->count;
    stack->count -= count;
    memcpy(blocks, stack->blocks + stack->count, count * sizeof(struct packet_block *));
    return count;
}

static void take_from_bottom(struct stack *stack, struct packet_block **blocks, uint32_t count)
{
    stack->count -= count;
    memcpy(blocks, stack->blocks, count * sizeof(struct packet_block *));
    memmove(stack->blocks, stack->blocks + count, stack->count * sizeof(struct packet_block *));
}

uint32_t packet_pool_take(struct pv_packet_pool *pool, enum packet_size size,
                          struct packet_block **blocks, uint32_t count)
{
    struct blocks *from = &pool->blocks[size];
    uint32_t taken = 0;
    pthread_mutex_lock(&pool->lock);
    if (from->free.count)
        taken = pop(&from->free, blocks, count);
    else if (from->cold.count || make_blocks(pool, size))
        taken = pop(&from->cold, blocks, count);
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

/* A large block has the pages of its place for itself. */
static void give_memory_back(struct packet_block *const *blocks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uintptr_t place = (uintptr_t)blocks[i] & ~(uintptr_t)(PAGE - 1);
        madvise((void *)place, LARGE_PLACE, MADV_DONTNEED);
    }
}

void packet_pool_give(struct pv_packet_pool *pool, enum packet_size size,
                      struct packet_block *const *blocks, uint32_t count)
{
    struct blocks *to = &pool->blocks[size];
    struct packet_block *cooled[COOLED];
    pthread_mutex_lock(&pool->lock);
    push(&to->free, blocks, count);
    bool too_many = to->free.count > sizes[size].free_max;
    if (too_many)
        take_from_bottom(&to->free, cooled, COOLED);
    pthread_mutex_unlock(&pool->lock);
    if (!too_many)
        return;
    give_memory_back(cooled, COOLED); /* without the lock, since it takes long */
    pthread_mutex_lock(&pool->lock);
    push(&to->cold, cooled, COOLED);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- Caches and figures ---------------------------------------------------------------------- */

void packet_pool_add_cache(struct pv_packet_cache *cache)
{
    struct pv_packet_pool *pool = cache->pool;
    pthread_mutex_lock(&pool->lock);
    cache->next = pool->caches;
    pool->caches = cache;
    pthread_mutex_unlock(&pool->lock);
}

void packet_pool_remove_cache(struct pv_packet_cache *cache)
{
    struct pv_packet_pool *pool = cache->pool;
    pthread_mutex_lock(&pool->lock);
    struct pv_packet_cache **link = &pool->caches;
    while (*link != cache)
        link = &(*link)->next;
    *link = cache->next;
    pthread_mutex_unlock(&pool->lock);
}

uint32_t pv_packet_pool_used(const struct pv_packet_pool *pool)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&pool->lock;
    int64_t used = 0;
    pthread_mutex_lock(lock);
    for (int size = 0; size < PACKET_SIZES; size++) {
        const struct blocks *blocks = &pool->blocks[size];
        used += blocks->made - blocks->free.count - blocks->cold.count;
        for (const struct pv_packet_cache *cache = pool->caches; cache; cache = cache->next)
            used -= pv_read_once(&cache->shelves[size].count);
    }
    pthread_mutex_unlock(lock);
    return used > 0 ? (uint32_t)used : 0; /* a packet may go from cache to cache meanwhile */
}

size_t pv_packet_pool_memory(const struct pv_packet_pool *pool)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&pool->lock;
    size_t bytes = sizeof(*pool);
    pthread_mutex_lock(lock);
    for (int size = 0; size < PACKET_SIZES; size++)
        bytes += 2 * pool->blocks[size].made * sizeof(struct packet_block *);
    for (const struct pv_packet_cache *cache = pool->caches; cache; cache = cache->next)
        bytes += sizeof(*cache);
    const struct chunk *chunk = pool->chunks; /* those that are there stay, so they need no lock */
    pthread_mutex_unlock(lock);
    for (; chunk; chunk = chunk->next) {
        unsigned char resident[CHUNK_PLACES * (LARGE_PLACE / PAGE)] = {0};
        mincore(chunk->memory, chunk->bytes, resident);
        for (size_t page = 0; page < chunk->bytes / PAGE; page++)
            bytes += (resident[page] & 1) * (size_t)PAGE;
        bytes += sizeof(*chunk);
    }
    return bytes;
}
