#include "backends/uplinks/packet_queue.h"

#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int packet_queue_init(struct packet_queue *queue, uint32_t size)
{
    *queue = (struct packet_queue){.size = 1};
    while (queue->size < size)
        queue->size *= 2;
    queue->slots = calloc(queue->size, sizeof queue->slots[0]);
    if (!queue->slots)
        return -ENOMEM;
    queue->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->fd < 0) {
        int error = errno;
        free(queue->slots);
        return -error;
    }
    pthread_mutex_init(&queue->lock, NULL);
    return 0;
}

void packet_queue_destroy(struct packet_queue *queue)
{
    packet_queue_purge(queue, NULL);
    pthread_mutex_destroy(&queue->lock);
    close(queue->fd);
    free(queue->slots);
}

/* Count and `armed` are written so that the receiver may look at them without the lock. */
static void set_count(struct packet_queue *queue, uint32_t count)
{
    pv_write_once(&queue->count, count);
}

static void set_armed(struct packet_queue *queue, bool armed)
{
    pv_write_once_byte(&queue->armed, armed);
}

/* Under the lock: a receiver that finds `signalled` set finds the fd readable. */
static void signal_receiver(struct packet_queue *queue)
{
    set_armed(queue, false);
    queue->signalled = true;
    eventfd_write(queue->fd, 1);
}

static void receiver_is_awake(struct packet_queue *queue)
{
    set_armed(queue, false);
    if (queue->signalled) {
        eventfd_t signals;
        eventfd_read(queue->fd, &signals);
        queue->signalled = false;
    }
}

uint32_t packet_queue_push(struct packet_queue *queue, struct pv_packet **packets, uint32_t count)
{
    uint32_t taken = 0;
    pthread_mutex_lock(&queue->lock);
    uint32_t tail = queue->head + queue->count, room = queue->size - queue->count;
    for (; taken < count && taken < room; taken++) {
        struct pv_packet *packet = packets[taken];
        if (queue->memory + packet->capacity > PACKET_QUEUE_MAX_MEMORY)
            break;
        queue->memory += packet->capacity;
        queue->slots[tail++ & (queue->size - 1)] = packet;
    }
    set_count(queue, queue->count + taken);
    queue->dropped += count - taken;
    if (taken > 0 && queue->armed)
        signal_receiver(queue);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

void packet_queue_count_dropped(struct packet_queue *queue, uint32_t count)
{
    pthread_mutex_lock(&queue->lock);
    queue->dropped += count;
    pthread_mutex_unlock(&queue->lock);
}

/* Under the lock. */
static uint32_t take(struct packet_queue *queue, struct pv_packet **packets, uint32_t count,
                     uint64_t *bytes)
{
    if (count > queue->count)
        count = queue->count;
    for (uint32_t i = 0; i < count; i++) {
        packets[i] = queue->slots[queue->head++ & (queue->size - 1)];
        queue->memory -= packets[i]->capacity;
        *bytes += packets[i]->length;
    }
    set_count(queue, queue->count - count);
    return count;
}

uint32_t packet_queue_pop(struct packet_queue *queue, struct pv_packet **packets, uint32_t count)
{
    if (pv_read_once(&queue->count) == 0 && !pv_read_once_byte(&queue->armed))
        return 0; /* as most looks of a receiver that polls */
    pthread_mutex_lock(&queue->lock);
    count = take(queue, packets, count, &queue->bytes);
    queue->packets += count;
    receiver_is_awake(queue);
    pthread_mutex_unlock(&queue->lock);
    return count;
}

bool packet_queue_arm(struct packet_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool waiting = queue->count > 0;
    set_armed(queue, !waiting);
    pthread_mutex_unlock(&queue->lock);
    return waiting;
}

void packet_queue_purge(struct packet_queue *queue, struct pv_packet_cache *cache)
{
    struct pv_packet *packets[64];
    uint32_t count;
    do {
        uint64_t bytes = 0;
        pthread_mutex_lock(&queue->lock);
        count = take(queue, packets, 64, &bytes);
        queue->dropped += count;
        pthread_mutex_unlock(&queue->lock);
        pv_packet_release(cache, packets, count);
    } while (count > 0);
}
