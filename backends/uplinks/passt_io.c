/* Frames to passt and from it. Many go by one system call; a frame may be cut anywhere. */
#include "backends/uplinks/passt_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define EMPTY_NS 10000     /* how long an empty socket is not read again */
#define BATCH 64           /* frames in a system call */
#define PURGE_FRAMES 4096u /* at most: passt goes on sending */

/* ---- To passt ------------------------------------------------------------------------------- */

/* The frames that wait, as far as one call takes them, without what is sent of the first. */
static uint32_t gather(const struct passt *passt, uint32_t *prefixes, struct iovec *iov)
{
    uint32_t frames = passt->count < BATCH ? passt->count : BATCH;
    for (uint32_t i = 0; i < frames; i++) {
        struct pv_packet *packet = passt->waiting[(passt->head + i) % MAX_WAITING];
        prefixes[i] = htonl(packet->length);
        iov[2 * i] = (struct iovec){&prefixes[i], PREFIX_SIZE};
        iov[2 * i + 1] = (struct iovec){packet->data, packet->length};
    }
    uint32_t skip = passt->sent;
    for (struct iovec *part = iov; skip > 0; part++) {
        uint32_t of_this = skip < part->iov_len ? skip : (uint32_t)part->iov_len;
        part->iov_base = (uint8_t *)part->iov_base + of_this;
        part->iov_len -= of_this;
        skip -= of_this;
    }
    return frames;
}

static void finish_sent(struct passt *passt, struct pv_packet_cache *cache, size_t bytes)
{
    passt->sent += (uint32_t)bytes;
    while (passt->count > 0) {
        struct pv_packet *packet = passt->waiting[passt->head % MAX_WAITING];
        if (passt->sent < PREFIX_SIZE + packet->length)
            return;
        passt->sent -= PREFIX_SIZE + packet->length;
        passt->head++;
        passt->count--;
        pv_add_counter(&passt->stats.tx_packets, 1);
        pv_add_counter(&passt->stats.tx_bytes, packet->length);
        pv_packet_release(cache, &packet, 1);
    }
}

static void flush(struct passt *passt, struct pv_packet_cache *cache, uint64_t now)
{
    uint32_t prefixes[BATCH];
    struct iovec iov[2 * BATCH];
    while (passt->count > 0) {
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2 * gather(passt, prefixes, iov)};
        ssize_t bytes = sendmsg(passt->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (bytes < 0) {
            if (errno != EAGAIN)
                passt_disconnect(passt, cache, now);
            return;
        }
        finish_sent(passt, cache, (size_t)bytes);
    }
}

static bool is_connected(struct passt *passt, uint64_t now)
{
    if (passt->socket < 0)
        passt_try_to_connect(passt, now);
    return passt->socket >= 0;
}

void passt_send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct passt *passt = passt_of(uplink);
    uint32_t room = is_connected(passt, now) ? MAX_WAITING - passt->count : 0;
    uint32_t taken = count < room ? count : room;
    (void)queue;
    for (uint32_t i = 0; i < taken; i++)
        passt->waiting[(passt->head + passt->count++) % MAX_WAITING] = packets[i];
    pv_add_counter(&passt->stats.tx_dropped, count - taken);
    pv_packet_release(cache, packets + taken, count - taken);
    if (taken > 0)
        flush(passt, cache, now);
}

/* ---- From passt ----------------------------------------------------------------------------- */

/* Moves what has come of a frame to the buffer's beginning, where the rest fits. */
static void make_room(struct passt *passt)
{
    memmove(passt->input, passt->input + passt->start, passt->end - passt->start);
    passt->end -= passt->start;
    passt->start = 0;
}

/* Whether there is more in the buffer than before. */
static bool read_more(struct passt *passt, struct pv_packet_cache *cache, uint64_t now)
{
    if (passt->socket < 0 || now < passt->read_after)
        return false;
    make_room(passt);
    ssize_t bytes =
        recv(passt->socket, passt->input + passt->end, READ_SIZE - passt->end, MSG_DONTWAIT);
    if (bytes > 0) {
        passt->end += (uint32_t)bytes;
        return true;
    }
    if (bytes < 0 && errno == EAGAIN)
        passt->read_after = now + EMPTY_NS;
    else
        passt_disconnect(passt, cache, now);
    return false;
}

/* Whether the length of the frame at the front has come. */
static bool read_prefix(const struct passt *passt, uint32_t *length)
{
    if (passt->end - passt->start < PREFIX_SIZE)
        return false;
    memcpy(length, passt->input + passt->start, PREFIX_SIZE);
    *length = ntohl(*length);
    return true;
}

static bool has_frame(const struct passt *passt, uint32_t *length)
{
    return read_prefix(passt, length) && *length <= passt->end - passt->start - PREFIX_SIZE;
}

/* Behind a length that no frame has, nobody knows where the next frame begins. */
static void check_prefix(struct passt *passt, struct pv_packet_cache *cache, uint64_t now)
{
    uint32_t length;
    if (read_prefix(passt, &length) && length > PV_PACKET_MAX_LENGTH)
        passt_disconnect(passt, cache, now);
}

/* NULL: it is too short to be one, or there is no memory. */
static struct pv_packet *take_frame(struct passt *passt, struct pv_packet_cache *cache,
                                    uint32_t length)
{
    struct pv_packet *packet = NULL;
    passt->start += PREFIX_SIZE;
    if (length >= PV_PACKET_MIN_LENGTH)
        packet = pv_packet_alloc(cache, length);
    if (packet) {
        memcpy(packet->data, passt->input + passt->start, length);
        packet->length = length;
        pv_add_counter(&passt->stats.rx_packets, 1);
        pv_add_counter(&passt->stats.rx_bytes, length);
    } else {
        pv_add_counter(&passt->stats.rx_dropped, 1);
    }
    passt->start += length;
    return packet;
}

uint32_t passt_receive(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                       struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct passt *passt = passt_of(uplink);
    uint32_t received = 0, frames = 0;
    (void)queue;
    if (!is_connected(passt, now))
        return 0;
    passt_watch(passt, 0);
    flush(passt, cache, now);
    while (frames < count) {
        uint32_t length;
        check_prefix(passt, cache, now);
        if (has_frame(passt, &length)) {
            struct pv_packet *packet = take_frame(passt, cache, length);
            if (packet)
                packets[received++] = packet;
            frames++;
        } else if (!read_more(passt, cache, now)) {
            break;
        }
    }
    return received;
}

bool passt_arm(struct pv_uplink *uplink, uint32_t queue)
{
    struct passt *passt = passt_of(uplink);
    struct pollfd poll_fd = {.fd = passt->socket, .events = POLLIN};
    uint32_t length;
    (void)queue;
    passt->read_after = 0; /* whoever wakes looks at once */
    if (has_frame(passt, &length) || (passt->socket >= 0 && poll(&poll_fd, 1, 0) > 0))
        return true;
    passt_watch(passt, EPOLLIN | (passt->count > 0 ? EPOLLOUT : 0));
    return false;
}

void passt_purge(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache)
{
    struct passt *passt = passt_of(uplink);
    struct pv_packet *packets[BATCH];
    uint32_t purged = 0, count;
    passt->read_after = 0;
    while (passt->socket >= 0 && purged < PURGE_FRAMES &&
           (count = passt_receive(uplink, queue, cache, packets, BATCH, 0)) > 0) {
        pv_packet_release(cache, packets, count);
        purged += count;
    }
}
