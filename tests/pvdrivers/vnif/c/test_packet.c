/* Packets, their pool and its caches, on one thread. */
#include "pvdrivers/vnif/packet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1 << 20)

static struct pv_packet_pool *pool;
static struct pv_packet_cache *cache;

static void begin(void)
{
    pool = pv_packet_pool_create();
    cache = pv_packet_cache_create(pool);
    assert(pool && cache && pv_packet_pool_used(pool) == 0);
}

static void end(void)
{
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_cache_destroy(cache);
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_pool_destroy(pool);
}

static struct pv_packet *filled(uint32_t length, uint8_t value)
{
    struct pv_packet *packet = pv_packet_alloc(cache, length);
    assert(packet);
    packet->length = length;
    memset(packet->data, value, length);
    return packet;
}

static void test_a_new_packet_has_nothing_of_the_last_one(void)
{
    begin();
    static const uint32_t lengths[] = {0,
                                       60,
                                       PV_PACKET_SMALL_CAPACITY,
                                       PV_PACKET_SMALL_CAPACITY + 1,
                                       PV_PACKET_MAX_LENGTH,
                                       PV_PACKET_LARGE_CAPACITY};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (int again = 0; again < 2; again++) {
            struct pv_packet *packet = pv_packet_alloc(cache, lengths[i]);
            assert(packet->capacity >= lengths[i]);
            assert(packet->length == 0 && packet->users == 1 && !packet->next);
            assert(!packet->csum_blank && !packet->data_validated && !packet->gso_type);
            assert(packet->pool == pool && packet->hash_algorithm == 0);
            assert((uintptr_t)packet->data % 64 == 0);
            memset(packet->data - PV_PACKET_HEADROOM, 1, PV_PACKET_HEADROOM + packet->capacity);
            packet->length = packet->capacity;
            packet->data -= 12; /* as for an uplink's header */
            packet->csum_blank = packet->data_validated = true;
            packet->gso_type = packet->hash_algorithm = 1;
            pv_packet_release(cache, &packet, 1);
        }
    }
    end();
}

static void test_packets_do_not_overlap(void)
{
    begin();
    struct pv_packet *packets[300];
    for (uint32_t i = 0; i < 300; i++)
        packets[i] = filled(i % 3 ? 1514 : 40000, (uint8_t)i);
    for (uint32_t i = 0; i < 300; i++) {
        assert(packets[i]->data[0] == (uint8_t)i);
        assert(packets[i]->data[packets[i]->length - 1] == (uint8_t)i);
    }
    assert(pv_packet_pool_used(pool) == 300);
    pv_packet_release(cache, packets, 300);
    end();
}

/* Of 64 sets of lines, each takes about as many headers as the others, and as many first lines. */
static void test_packets_of_a_batch_lie_in_different_cache_sets(void)
{
    begin();
    for (uint32_t length = 60; length <= 60000; length += 59940) {
        struct pv_packet *packets[64];
        uint32_t headers[64] = {0}, data[64] = {0};
        for (int i = 0; i < 64; i++) {
            packets[i] = pv_packet_alloc(cache, length);
            headers[(uintptr_t)packets[i] / 64 % 64]++;
            data[(uintptr_t)packets[i]->data / 64 % 64]++;
        }
        for (int set = 0; set < 64; set++)
            assert(headers[set] <= 8 && data[set] <= 8); /* an L1 cache has 8 ways or more */
        pv_packet_release(cache, packets, 64);
    }
    end();
}

/* Wherever the data begin, there is as much room as before, in front of them too. */
static void test_a_large_packet_can_be_laid_on_pages(void)
{
    begin();
    for (uint32_t at = 0; at < 200; at += 66) {
        for (uint32_t offset = 0; offset < 4096; offset += 1365) {
            struct pv_packet *packet = pv_packet_alloc(cache, PV_PACKET_MAX_LENGTH);
            pv_packet_align(packet, at, offset);
            assert((uintptr_t)(packet->data + at) % 4096 == offset);
            assert(packet->capacity == PV_PACKET_LARGE_CAPACITY);
            memset(packet->data - PV_PACKET_HEADROOM, 1, PV_PACKET_HEADROOM + packet->capacity);
            assert(packet->length == 0 && packet->users == 1);
            pv_packet_release(cache, &packet, 1);
        }
    }
    struct pv_packet *small = pv_packet_alloc(cache, 60);
    uint8_t *data = small->data;
    pv_packet_align(small, 14, 0);
    assert(small->data == data);
    pv_packet_release(cache, &small, 1);
    end();
}

static void test_a_small_packet_is_in_one_page(void)
{
    begin();
    struct pv_packet *packets[200];
    for (int i = 0; i < 200; i++) {
        packets[i] = pv_packet_alloc(cache, PV_PACKET_SMALL_CAPACITY);
        uintptr_t last = (uintptr_t)packets[i]->data + PV_PACKET_SMALL_CAPACITY - 1;
        assert((uintptr_t)packets[i] / 4096 == last / 4096);
    }
    pv_packet_release(cache, packets, 200);
    end();
}

static void test_the_last_one_released_is_the_next_one(void)
{
    begin();
    struct pv_packet *packets[2] = {pv_packet_alloc(cache, 60), pv_packet_alloc(cache, 60)};
    pv_packet_release(cache, packets, 2);
    struct pv_packet *again = pv_packet_alloc(cache, 60);
    assert(again == packets[1]);
    pv_packet_release(cache, &again, 1);
    end();
}

static void test_users(void)
{
    begin();
    struct pv_packet *packet = filled(100, 7);
    pv_packet_hold(packet, 2);
    assert(packet->users == 3);
    pv_packet_release(cache, &packet, 1);
    pv_packet_release(NULL, &packet, 1);
    assert(packet->users == 1 && pv_packet_pool_used(pool) == 1);
    assert(pv_packet_make_private(cache, packet) == packet);
    pv_packet_release(cache, &packet, 1);
    end();
}

static void test_a_shared_packet_is_copied_before_it_is_changed(void)
{
    begin();
    for (uint32_t length = 60; length <= 60060; length += 60000) {
        struct pv_packet *packet = filled(length, 7);
        packet->csum_blank = packet->data_validated = true;
        packet->gso_type = 1;
        packet->gso_size = 1448;
        packet->hash_algorithm = 1;
        packet->hash_type = 2;
        packet->hash = 3;
        packet->time = 4;
        pv_packet_hold(packet, 1);
        struct pv_packet *own = pv_packet_make_private(cache, packet);
        assert(own != packet && own->users == 1 && packet->users == 1);
        assert(own->length == length && memcmp(own->data, packet->data, length) == 0);
        assert(own->csum_blank && own->data_validated && own->gso_type == 1 &&
               own->gso_size == 1448 && own->hash_algorithm == 1 && own->hash_type == 2 &&
               own->hash == 3 && own->time == 4);
        own->data[0] = 8;
        assert(packet->data[0] == 7);
        pv_packet_release(cache, (struct pv_packet *[]){packet, own}, 2);
    }
    end();
}

static void test_released_without_a_cache_or_with_another_pools(void)
{
    begin();
    struct pv_packet_pool *other = pv_packet_pool_create();
    struct pv_packet_cache *others = pv_packet_cache_create(other);
    struct pv_packet *packets[100];
    for (int i = 0; i < 100; i++)
        packets[i] = filled(i % 2 ? 60 : 60000, 1);
    pv_packet_release(NULL, packets, 50);
    assert(pv_packet_pool_used(pool) == 50);
    pv_packet_release(others, packets + 50, 50);
    assert(pv_packet_pool_used(pool) == 0 && pv_packet_pool_used(other) == 0);
    struct pv_packet *packet = pv_packet_alloc(others, 60);
    assert(packet->pool == other && pv_packet_pool_used(other) == 1);
    pv_packet_release(others, &packet, 1);
    pv_packet_cache_destroy(others);
    pv_packet_pool_destroy(other);
    end();
}

static void test_what_one_cache_flushes_another_one_uses(void)
{
    begin();
    struct pv_packet_cache *second = pv_packet_cache_create(pool);
    struct pv_packet *packet = filled(60000, 1);
    pv_packet_release(cache, &packet, 1);
    pv_packet_cache_flush(cache);
    struct pv_packet *again = pv_packet_alloc(second, 60000);
    assert(again == packet);
    pv_packet_release(second, &again, 1);
    pv_packet_cache_destroy(second);
    end();
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void test_idle_queues_take_little(void)
{
    begin();
    struct pv_packet_cache *caches[100];
    size_t before = pv_packet_pool_memory(pool);
    for (int i = 0; i < 100; i++) {
        caches[i] = pv_packet_cache_create(pool);
        struct pv_packet *packet = pv_packet_alloc(caches[i], 60);
        packet->data[0] = 1;
        pv_packet_release(caches[i], &packet, 1);
        pv_packet_cache_flush(caches[i]);
    }
    assert(pv_packet_pool_memory(pool) - before < 100 * 2048);
    for (int i = 0; i < 100; i++)
        pv_packet_cache_destroy(caches[i]);
    end();
}

static void test_a_large_packet_takes_what_was_written(void)
{
    begin();
    struct pv_packet *first = filled(2000, 1);
    size_t before = pv_packet_pool_memory(pool);
    struct pv_packet *second = filled(2000, 1);
    size_t with_little = pv_packet_pool_memory(pool);
    assert(with_little - before == 4096);
    memset(second->data, 1, 60000);
    assert(pv_packet_pool_memory(pool) - with_little >= 56000);
    pv_packet_release(cache, (struct pv_packet *[]){first, second}, 2);
    end();
}

static void test_memory_of_many_large_packets_is_given_back(void)
{
    begin();
    enum { MANY = 1000 };
    static struct pv_packet *packets[MANY];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            packets[i] = filled(PV_PACKET_MAX_LENGTH, (uint8_t)i);
        assert(pv_packet_pool_memory(pool) > MANY * 65536ull);
        for (int i = 0; i < MANY; i++)
            assert(packets[i]->data[PV_PACKET_MAX_LENGTH - 1] == (uint8_t)i);
        pv_packet_release(cache, packets, MANY);
        assert(pv_packet_pool_memory(pool) < 20 * MIB);
    }
    end();
}

int main(void)
{
    test_a_new_packet_has_nothing_of_the_last_one();
    test_packets_do_not_overlap();
    test_packets_of_a_batch_lie_in_different_cache_sets();
    test_a_large_packet_can_be_laid_on_pages();
    test_a_small_packet_is_in_one_page();
    test_the_last_one_released_is_the_next_one();
    test_users();
    test_a_shared_packet_is_copied_before_it_is_changed();
    test_released_without_a_cache_or_with_another_pools();
    test_what_one_cache_flushes_another_one_uses();
    test_idle_queues_take_little();
    test_a_large_packet_takes_what_was_written();
    test_memory_of_many_large_packets_is_given_back();
    pv_packet_pool_destroy(NULL);
    pv_packet_cache_destroy(NULL);
    return 0;
}
