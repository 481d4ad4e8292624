/* Packets between a TAP's queue and its user: one system call each, since the kernel has no other
 * way that costs less. */
#include "backends/uplinks/tap_private.h"

#include "pvdrivers/vnif/headers.h"
#include "pvdrivers/vnif/virtio_net_header.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define EMPTY_NS 10000 /* how long an empty queue is not read again, unless its user was asleep */
#define PURGE_PACKETS 4096 /* at most: the kernel keeps 500 a queue, and may go on adding */

/* Nothing happens at a queue without an interface, though it would be reported as failed for ever.
 */
static void leave_interface(struct tap *tap, struct tap_queue *queue)
{
    epoll_ctl(queue->wake_fd, EPOLL_CTL_DEL, queue->fd, NULL);
    queue->gone = true;
    if (tap->gone_fd >= 0) /* a pipe that is full says it too */
        eventfd_write(tap->gone_fd, 1);
}

static void set_armed(struct tap_queue *queue, bool armed)
{
    struct epoll_event event = {.events = armed ? EPOLLIN : 0};
    if (queue->armed != armed && !queue->gone)
        epoll_ctl(queue->wake_fd, EPOLL_CTL_MOD, queue->fd, &event);
    queue->armed = armed;
}

/* What a system call that has failed says about the queue. An interface that is down (EIO), a full
 * queue, and no memory are no faults of the interface. */
static void handle_error(struct tap *tap, struct tap_queue *queue, int error)
{
    if (error == EBADFD)
        leave_interface(tap, queue);
    if (error != EAGAIN && error != EIO)
        pv_add_counter(&queue->stats.errors, 1);
}

static bool send_one(struct tap *tap, struct tap_queue *queue, const struct pv_packet *packet)
{
    struct pv_virtio_net_header header;
    if (queue->gone || !pv_virtio_net_header_from_packet(&header, packet))
        return false;
    struct iovec iov[] = {{.iov_base = &header, .iov_len = sizeof header},
                          {.iov_base = packet->data, .iov_len = packet->length}};
    if (writev(queue->fd, iov, 2) >= 0)
        return true;
    handle_error(tap, queue, errno);
    return false;
}

void tap_send(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
              struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct tap *tap = tap_of(uplink);
    struct tap_queue *queue = &tap->queues[index];
    uint64_t sent = 0, bytes = 0;
    (void)now;
    for (uint32_t i = 0; i < count; i++)
        if (send_one(tap, queue, packets[i])) {
            sent++;
            bytes += packets[i]->length;
        }
    pv_add_counter(&queue->stats.tx_packets, sent);
    pv_add_counter(&queue->stats.tx_bytes, bytes);
    pv_add_counter(&queue->stats.tx_dropped, count - sent);
    pv_packet_release(cache, packets, count);
}

static bool have_buffers(struct tap_queue *queue, struct pv_packet_cache *cache)
{
    if (!queue->small)
        queue->small = pv_packet_alloc(cache, PV_PACKET_SMALL_CAPACITY);
    if (!queue->large && (queue->large = pv_packet_alloc(cache, PV_PACKET_MAX_LENGTH)))
        pv_packet_align(queue->large, 0, 0);
    return queue->small && queue->large;
}

/* Reads a packet into the small buffer, and what does not fit behind the same place in the large
 * one, which then gets the beginning too. Its length, or a negative errno. */
static ssize_t read_packet(struct tap_queue *queue, struct pv_virtio_net_header *header)
{
    struct pv_packet *small = queue->small, *large = queue->large;
    uint32_t capacity = small->capacity;
    struct iovec iov[] = {
        {.iov_base = header, .iov_len = sizeof *header},
        {.iov_base = small->data, .iov_len = capacity},
        {.iov_base = large->data + capacity, .iov_len = large->capacity - capacity}};
    ssize_t length = readv(queue->fd, iov, 3);
    if (length < 0)
        return -errno;
    return length - (ssize_t)sizeof *header;
}

static struct pv_packet *take_buffer(struct tap_queue *queue, uint32_t length)
{
    struct pv_packet *packet = queue->small;
    if (length > packet->capacity) {
        packet = queue->large;
        memcpy(packet->data, queue->small->data, queue->small->capacity);
        queue->large = NULL;
    } else {
        queue->small = NULL;
    }
    packet->length = length;
    return packet;
}

uint32_t tap_receive(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
                     struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct tap *tap = tap_of(uplink);
    struct tap_queue *queue = &tap->queues[index];
    uint32_t received = 0, dropped = 0;
    uint64_t bytes = 0;
    if (count == 0)
        set_armed(queue, false);
    if (queue->gone || now < queue->read_after)
        return 0;
    while (received + dropped < count && have_buffers(queue, cache)) {
        struct pv_virtio_net_header header;
        ssize_t length = read_packet(queue, &header);
        if (length < 0) {
            handle_error(tap, queue, (int)-length);
            queue->read_after = now + EMPTY_NS;
            break;
        }
        struct pv_packet *packet = take_buffer(queue, (uint32_t)length);
        if (length > PV_PACKET_MAX_LENGTH || !pv_virtio_net_header_to_packet(&header, packet)) {
            pv_packet_release(cache, &packet, 1);
            dropped++;
            continue;
        }
        bytes += packet->length;
        packets[received++] = packet;
    }
    /* One that takes a packet and sleeps again leaves it armed, which saves two system calls. */
    if (received + dropped > 0 && queue->took)
        set_armed(queue, false);
    queue->took |= received + dropped > 0;
    pv_add_counter(&queue->stats.rx_packets, received);
    pv_add_counter(&queue->stats.rx_bytes, bytes);
    pv_add_counter(&queue->stats.rx_dropped, dropped);
    return received;
}

bool tap_arm(struct pv_uplink *uplink, uint32_t index)
{
    struct tap_queue *queue = &tap_of(uplink)->queues[index];
    struct pollfd poll_fd = {.fd = queue->fd, .events = POLLIN};
    queue->read_after = 0; /* whoever wakes looks at once */
    queue->took = false;
    if (queue->armed) /* what is there ends the sleep at once */
        return false;
    if (!queue->gone && poll(&poll_fd, 1, 0) > 0)
        return true;
    set_armed(queue, true); /* sees what has come since */
    return false;
}

void tap_purge(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache)
{
    struct tap_queue *queue = &tap_of(uplink)->queues[index];
    uint8_t start[sizeof(struct pv_virtio_net_header)]; /* the rest of a packet is cut off */
    uint32_t dropped = 0;
    (void)cache;
    while (!queue->gone && dropped < PURGE_PACKETS && read(queue->fd, start, sizeof start) >= 0)
        dropped++;
    pv_add_counter(&queue->stats.rx_dropped, dropped);
}
