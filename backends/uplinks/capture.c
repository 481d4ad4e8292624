#include "backends/uplinks/capture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RESERVED 65536u           /* bytes of a buffer that packets leave to other blocks */
#define WRITE_AFTER_NS 100000000u /* how long a packet lies in the buffer when few come */
#define NS_PER_SECOND 1000000000ull

struct pv_capture {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the writer */
    pthread_t writer;
    int fd;
    size_t size;
    uint8_t *filling, *writing; /* the writer exchanges them */
    size_t used;                /* bytes of the one that is filled */
    uint64_t wall_offset;
    uint64_t last_time;
    uint32_t interfaces; /* that have been, or are */
    uint32_t open;
    struct pv_capture_stats stats;
    bool closing;
};

/* ---- The writer ------------------------------------------------------------------------------ */

static int write_all(int fd, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static void wait_a_while(struct pv_capture *capture)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WRITE_AFTER_NS;
    if (until.tv_nsec >= (long)NS_PER_SECOND) {
        until.tv_nsec -= (long)NS_PER_SECOND;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&capture->wake, &capture->lock, &until);
}

/* Under the lock but while it writes. */
static void write_buffer(struct pv_capture *capture)
{
    uint8_t *bytes = capture->filling;
    size_t length = capture->used;
    capture->filling = capture->writing;
    capture->writing = bytes;
    capture->used = 0;
    if (capture->stats.error)
        return;
    pthread_mutex_unlock(&capture->lock);
    int error = write_all(capture->fd, bytes, length);
    pthread_mutex_lock(&capture->lock);
    capture->stats.error = error;
}

static void *write_until_closed(void *argument)
{
    struct pv_capture *capture = argument;
    pthread_mutex_lock(&capture->lock);
    while (!capture->closing || capture->used > 0) {
        if (!capture->closing && capture->used == 0)
            pthread_cond_wait(&capture->wake, &capture->lock);
        if (!capture->closing && capture->used < capture->size / 2)
            wait_a_while(capture);
        write_buffer(capture);
    }
    pthread_mutex_unlock(&capture->lock);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_writer(struct pv_capture *capture)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&capture->writer, NULL, write_until_closed, capture);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* ---- Filling the buffer, under the lock ------------------------------------------------------ */

static void append(struct pv_capture *capture, const void *bytes, size_t length)
{
    size_t half = capture->size / 2, before = capture->used;
    memcpy(capture->filling + before, bytes, length);
    capture->used += length;
    if (before == 0 || (before < half && capture->used >= half))
        pthread_cond_signal(&capture->wake);
}

static bool append_block(struct pv_capture *capture, const struct pcapng_block *block)
{
    bool fits = block->length <= capture->size - capture->used;
    if (fits)
        append(capture, block->bytes, block->length);
    return fits;
}

static uint64_t wall_time(struct pv_capture *capture, uint64_t now)
{
    if (capture->wall_offset == 0) {
        struct timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        capture->wall_offset = (uint64_t)wall.tv_sec * NS_PER_SECOND + (uint64_t)wall.tv_nsec - now;
    }
    return capture->last_time = capture->wall_offset + now;
}

static bool append_blocks(struct pv_capture *capture, const struct pcapng_packet *packet)
{
    struct pcapng_block front, behind;
    pcapng_packet(&front, &behind, packet);
    size_t length = (size_t)front.length + packet->captured + behind.length;
    if (capture->stats.error || capture->used + length > capture->size - RESERVED)
        return false;
    append(capture, front.bytes, front.length);
    append(capture, packet->packet->data, packet->captured);
    append(capture, behind.bytes, behind.length);
    return true;
}

static void append_packet(struct pv_capture *capture, struct capture_interface *interface,
                          struct pcapng_packet *packet)
{
    packet->interface = interface->number;
    if (packet->captured > interface->captured_max)
        packet->captured = interface->captured_max;
    packet->not_recorded = interface->not_recorded - interface->told;
    if (append_blocks(capture, packet)) {
        interface->recorded++;
        interface->told = interface->not_recorded;
        capture->stats.recorded++;
    } else {
        interface->not_recorded++;
        capture->stats.not_recorded++;
    }
}

/* ---- For uplinks ----------------------------------------------------------------------------- */

int capture_add_interface(struct pv_capture *capture, struct capture_interface *interface,
                          const char *name)
{
    struct pcapng_block block;
    pcapng_interface(&block, name, interface->captured_max);
    pthread_mutex_lock(&capture->lock);
    bool added = append_block(capture, &block);
    if (added) {
        interface->number = capture->interfaces++;
        capture->open++;
    }
    pthread_mutex_unlock(&capture->lock);
    return added ? 0 : -ENOBUFS;
}

void capture_add_packets(struct pv_capture *capture, struct capture_interface *interface,
                         uint32_t direction, uint32_t queue, struct pv_packet *const *packets,
                         uint32_t count, uint64_t now)
{
    struct pcapng_packet packet = {.direction = direction, .queue = queue};
    pthread_mutex_lock(&capture->lock);
    packet.time = wall_time(capture, now);
    for (uint32_t i = 0; i < count; i++) {
        packet.packet = packets[i];
        packet.captured = packets[i]->length;
        append_packet(capture, interface, &packet);
    }
    pthread_mutex_unlock(&capture->lock);
}

void capture_add_drop(struct pv_capture *capture, struct capture_interface *interface,
                      uint32_t queue, const struct pv_uplink_drop *drop, uint64_t now)
{
    const struct pv_packet unread = {.length = drop->length};
    struct pcapng_packet packet = {.packet = drop->packet ? drop->packet : &unread,
                                   .captured = drop->packet ? drop->length : 0,
                                   .direction = drop->direction == PV_UPLINK_TX ? PCAPNG_OUTBOUND
                                                                                : PCAPNG_INBOUND,
                                   .queue = queue,
                                   .drop_reason = drop->reason};
    pthread_mutex_lock(&capture->lock);
    packet.time = wall_time(capture, now);
    append_packet(capture, interface, &packet);
    interface->dropped++;
    pthread_mutex_unlock(&capture->lock);
}

void capture_end_interface(struct pv_capture *capture, const struct capture_interface *interface,
                           const struct pv_uplink_stats *stats)
{
    struct pcapng_block block;
    pthread_mutex_lock(&capture->lock);
    pcapng_statistics(&block, &(struct pcapng_statistics){
                                  .interface = interface->number,
                                  .time = capture->last_time,
                                  .seen = interface->recorded + interface->not_recorded,
                                  .recorded = interface->recorded,
                                  .not_recorded = interface->not_recorded,
                                  .dropped = interface->dropped,
                                  .tx_dropped = stats->tx_dropped,
                                  .rx_dropped = stats->rx_dropped,
                              });
    append_block(capture, &block);
    capture->open--;
    pthread_mutex_unlock(&capture->lock);
}

/* ---- For its owner --------------------------------------------------------------------------- */

static void destroy(struct pv_capture *capture)
{
    pthread_mutex_destroy(&capture->lock);
    pthread_cond_destroy(&capture->wake);
    free(capture->filling);
    free(capture->writing);
    free(capture);
}

struct pv_capture *pv_capture_create(int fd, size_t buffer, uint64_t wall_offset)
{
    if (buffer < PV_CAPTURE_MIN_BUFFER) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_capture *capture = calloc(1, sizeof(*capture));
    if (!capture)
        return NULL;
    capture->fd = fd;
    capture->size = buffer;
    capture->wall_offset = wall_offset;
    capture->filling = malloc(buffer);
    capture->writing = malloc(buffer);
    pthread_mutex_init(&capture->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&capture->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = ENOMEM;
    if (capture->filling && capture->writing) {
        struct pcapng_block block;
        pcapng_section(&block);
        append_block(capture, &block);
        error = start_writer(capture);
    }
    if (error) {
        destroy(capture);
        errno = error;
        return NULL;
    }
    return capture;
}

void pv_capture_get_stats(struct pv_capture *capture, struct pv_capture_stats *stats)
{
    pthread_mutex_lock(&capture->lock);
    *stats = capture->stats;
    pthread_mutex_unlock(&capture->lock);
}

int pv_capture_close(struct pv_capture *capture)
{
    pthread_mutex_lock(&capture->lock);
    bool busy = capture->open > 0;
    capture->closing = !busy;
    pthread_cond_signal(&capture->wake);
    pthread_mutex_unlock(&capture->lock);
    if (busy)
        return -EBUSY;
    pthread_join(capture->writer, NULL);
    int error = capture->stats.error;
    if (close(capture->fd) && !error)
        error = errno;
    destroy(capture);
    return -error;
}
