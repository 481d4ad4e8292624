/* Frames are made when the guest has room for them, so none waits and none is dropped. */
#include "tools/pvbench/load/packet_source.h"
#include "tools/pvbench/load/packets_private.h"

#include <stdlib.h>
#include <string.h>

#define BACKLOG_NS 10000000u /* that is made up for */

struct source_queue {
    uint64_t start_ns, sent;
    uint64_t now_ns; /* of the last look */
    uint64_t tx_packets, tx_bytes, rx_bytes;
    struct pv_frame_headers headers;
} __attribute__((aligned(128)));

struct packet_source {
    struct pv_uplink uplink;
    struct pv_packet_workload_config frames;
    struct source_queue *queues;
};

static struct packet_source *source_of(struct pv_uplink *uplink)
{
    return (struct packet_source *)uplink;
}

static void source_send(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
                        struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)now;
    struct source_queue *queue = &source_of(uplink)->queues[index];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += packets[i]->length;
    pv_add_counter(&queue->tx_packets, count);
    pv_add_counter(&queue->tx_bytes, bytes);
    pv_packet_release(cache, packets, count);
}

/* A guest that had no room gets no flood when it has. */
static void forget_backlog(struct source_queue *queue, uint64_t rate, uint64_t now)
{
    uint64_t due = queue->start_ns + (rate ? pv_frame_due_ns(queue->sent, rate) : 0);
    if (queue->sent == 0 || now > due + BACKLOG_NS)
        queue->start_ns += now - due;
}

/* How many may have been sent by now. */
static uint64_t allowed(const struct source_queue *queue, uint64_t rate)
{
    return rate ? pv_frames_due(queue->now_ns - queue->start_ns, rate) : UINT64_MAX;
}

static uint32_t source_receive(struct pv_uplink *uplink, uint32_t index,
                               struct pv_packet_cache *cache, struct pv_packet **packets,
                               uint32_t count, uint64_t now)
{
    const struct packet_source *source = source_of(uplink);
    struct source_queue *queue = &source->queues[index];
    uint64_t rate = source->frames.rate;
    queue->now_ns = now;
    forget_backlog(queue, rate, now);
    uint64_t sent = queue->sent, limit = allowed(queue, rate);
    uint32_t made = 0;
    for (; made < count && sent < limit; made++, sent++) {
        struct pv_packet *packet = pv_packet_alloc(cache, source->frames.size);
        if (!packet)
            break;
        pv_frame_init(packet, source->frames.size, &queue->headers);
        pv_frame_fill(packet, pv_frame_number((uint8_t)index, sent));
        packets[made] = packet;
    }
    pv_add_counter(&queue->sent, made);
    pv_add_counter(&queue->rx_bytes, (uint64_t)made * source->frames.size);
    return made;
}

static bool source_arm(struct pv_uplink *uplink, uint32_t index)
{
    const struct packet_source *source = source_of(uplink);
    const struct source_queue *queue = &source->queues[index];
    return queue->sent < allowed(queue, source->frames.rate);
}

static uint64_t source_deadline(struct pv_uplink *uplink, uint32_t index)
{
    const struct packet_source *source = source_of(uplink);
    const struct source_queue *queue = &source->queues[index];
    uint64_t rate = source->frames.rate;
    if (!rate || queue->sent == 0)
        return UINT64_MAX; /* arm says so, or the guest's buffers do */
    return queue->start_ns + pv_frame_due_ns(queue->sent, rate);
}

static int source_fd(struct pv_uplink *uplink, uint32_t index)
{
    (void)uplink, (void)index;
    return -1;
}

static void source_get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    *stats = (struct pv_uplink_stats){0};
    for (uint32_t i = 0; i < uplink->queues; i++) {
        const struct source_queue *queue = &source_of(uplink)->queues[i];
        stats->tx_packets += pv_read_counter(&queue->tx_packets);
        stats->tx_bytes += pv_read_counter(&queue->tx_bytes);
        stats->rx_packets += pv_read_counter(&queue->sent);
        stats->rx_bytes += pv_read_counter(&queue->rx_bytes);
    }
}

static void source_close(struct pv_uplink *uplink)
{
    free(source_of(uplink)->queues);
    free(uplink);
}

static const struct pv_uplink_ops source_ops = {.name = "source",
                                                .send = source_send,
                                                .receive = source_receive,
                                                .arm = source_arm,
                                                .deadline = source_deadline,
                                                .fd = source_fd,
                                                .get_stats = source_get_stats,
                                                .close = source_close};

struct pv_uplink *pv_packet_source_create(const struct pv_packet_source_config *config)
{
    if (!config->pool || config->queues == 0 || config->queues > PV_UPLINK_MAX_QUEUES ||
        config->size < PV_PACKET_WORKLOAD_MIN_SIZE || config->size > PV_PACKET_MAX_LENGTH) {
        errno = EINVAL;
        return NULL;
    }
    struct packet_source *source = calloc(1, sizeof *source);
    struct source_queue *queues =
        aligned_alloc(_Alignof(struct source_queue), config->queues * sizeof queues[0]);
    if (!source || !queues) {
        free(source);
        free(queues);
        return NULL;
    }
    memset(queues, 0, config->queues * sizeof queues[0]);
    source->uplink = (struct pv_uplink){.ops = &source_ops,
                                        .pool = config->pool,
                                        .queues = config->queues,
                                        .tx_offloads = {true, true, true, true}};
    source->frames.size = config->size;
    source->frames.rate = config->rate;
    memcpy(source->frames.source, config->source, sizeof config->source);
    memcpy(source->frames.destination, config->destination, sizeof config->destination);
    for (uint32_t i = 0; i < config->queues; i++)
        pv_frame_make_headers(&source->frames, (uint8_t)i, &queues[i].headers);
    source->queues = queues;
    return &source->uplink;
}
