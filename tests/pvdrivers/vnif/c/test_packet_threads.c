/* Packets that end on another thread than they began, and packets with users on several threads;
 * under TSan too. */
#include "pvdrivers/vnif/packet.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PACKETS 20000
#define BATCH 32

static struct pv_packet_pool *pool;

/* A queue of packets from one thread to another. */
struct channel {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct pv_packet *packets[BATCH];
    uint32_t count;
};

static void channel_send(struct channel *channel, struct pv_packet *packet)
{
    pthread_mutex_lock(&channel->lock);
    while (channel->count == BATCH)
        pthread_cond_wait(&channel->changed, &channel->lock);
    channel->packets[channel->count++] = packet;
    pthread_cond_signal(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
}

static uint32_t channel_receive(struct channel *channel, struct pv_packet **packets)
{
    pthread_mutex_lock(&channel->lock);
    while (channel->count == 0)
        pthread_cond_wait(&channel->changed, &channel->lock);
    uint32_t count = channel->count;
    memcpy(packets, channel->packets, count * sizeof(*packets));
    channel->count = 0;
    pthread_cond_signal(&channel->changed);
    pthread_mutex_unlock(&channel->lock);
    return count;
}

#define CHANNELS 2
static struct channel channels[CHANNELS] = {
    {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER},
    {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER},
};

/* Checks what it receives, changes it when told so, and releases it. */
struct receiver {
    struct channel *channel;
    bool changes;
};

static void *receive(void *argument)
{
    struct receiver *receiver = argument;
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    for (uint32_t received = 0; received < PACKETS;) {
        struct pv_packet *packets[BATCH];
        uint32_t count = channel_receive(receiver->channel, packets);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t number;
            memcpy(&number, packets[i]->data, sizeof(number));
            assert(number == received + i);
            assert(packets[i]->data[packets[i]->length - 1] == (uint8_t)number);
            if (receiver->changes) {
                packets[i] = pv_packet_make_private(cache, packets[i]);
                memset(packets[i]->data, 0xff, packets[i]->length);
            }
        }
        pv_packet_release(received % 3 ? cache : NULL, packets, count);
        received += count;
    }
    pv_packet_cache_destroy(cache);
    return NULL;
}

/* Gives every packet to each of the receivers. */
static void run(uint32_t receivers, bool one_changes)
{
    pool = pv_packet_pool_create();
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    struct receiver of[CHANNELS] = {{&channels[0], one_changes}, {&channels[1], false}};
    pthread_t threads[CHANNELS];
    for (uint32_t i = 0; i < receivers; i++)
        assert(pthread_create(&threads[i], NULL, receive, &of[i]) == 0);
    for (uint32_t number = 0; number < PACKETS; number++) {
        struct pv_packet *packet = pv_packet_alloc(cache, number % 8 ? 64 : 3000);
        packet->length = number % 8 ? 64 : 3000;
        memcpy(packet->data, &number, sizeof(number));
        packet->data[packet->length - 1] = (uint8_t)number;
        if (receivers > 1)
            pv_packet_hold(packet, receivers - 1);
        for (uint32_t i = 0; i < receivers; i++)
            channel_send(&channels[i], packet);
        if (number % 1000 == 0)
            (void)pv_packet_pool_memory(pool), (void)pv_packet_pool_used(pool);
    }
    for (uint32_t i = 0; i < receivers; i++)
        pthread_join(threads[i], NULL);
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
}

int main(void)
{
    run(1, false);
    run(2, false);
    run(2, true);
    return 0;
}
