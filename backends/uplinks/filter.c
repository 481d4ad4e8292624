#include "backends/uplinks/filter.h"

#include "backends/random.h"
#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64u

static struct uplink_filter_queue *queue_of(struct pv_uplink *uplink, uint32_t queue)
{
    return &((struct uplink_filter *)uplink)->queues[queue];
}

static struct pv_uplink *below_of(struct pv_uplink *uplink)
{
    return ((struct uplink_filter *)uplink)->below;
}

bool uplink_filter_strikes(const struct uplink_filter *filter, struct filter_lane *lane,
                           uint64_t *random)
{
    uint64_t index = lane->seen++;
    *random = seeded_random(~lane->seed, index);
    return seeded_chance(lane->seed, index) < filter->config.probability;
}

/* ---- tx ---- */

static void send_due(struct uplink_filter *filter, uint32_t index, struct pv_packet_cache *cache,
                     uint64_t now)
{
    struct filter_lane *lane = &filter->queues[index].tx;
    struct pv_packet *packets[BATCH];
    uint32_t count;
    while ((count = filter_lane_take(lane, packets, BATCH, now)) > 0)
        filter->below->ops->send(filter->below, index, cache, packets, count, now);
}

static void send(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct uplink_filter *filter = (struct uplink_filter *)uplink;
    if (!(filter->config.directions & PV_UPLINK_TX)) {
        filter->below->ops->send(filter->below, index, cache, packets, count, now);
        return;
    }
    filter->queues[index].now = now;
    for (uint32_t i = 0; i < count; i++) {
        filter->pass(filter, &filter->queues[index].tx, cache, packets[i], now);
        if (i % BATCH == BATCH - 1) /* so that what is due takes no room */
            send_due(filter, index, cache, now);
    }
    send_due(filter, index, cache, now);
}

/* ---- rx ---- */

/* What the lane has no room for stays below. */
static void take_from_below(struct uplink_filter *filter, uint32_t index,
                            struct pv_packet_cache *cache, uint32_t count, uint64_t now)
{
    struct filter_lane *lane = &filter->queues[index].rx;
    struct pv_packet *packets[BATCH];
    uint32_t room = FILTER_LANE_PACKETS - lane->count;
    if (count > room)
        count = room;
    if (count > BATCH)
        count = BATCH;
    count = filter->below->ops->receive(filter->below, index, cache, packets, count, now);
    for (uint32_t i = 0; i < count; i++)
        filter->pass(filter, lane, cache, packets[i], now);
}

static uint32_t receive(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache,
                        struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct uplink_filter *filter = (struct uplink_filter *)uplink;
    struct uplink_filter_queue *queue = &filter->queues[index];
    queue->now = now;
    send_due(filter, index, cache, now);
    if (!(filter->config.directions & PV_UPLINK_RX))
        return filter->below->ops->receive(filter->below, index, cache, packets, count, now);
    take_from_below(filter, index, cache, count, now);
    return filter_lane_take(&queue->rx, packets, count, now);
}

/* ---- The rest is below's, but for what the lanes have ---- */

static bool arm(struct pv_uplink *uplink, uint32_t index)
{
    struct uplink_filter_queue *queue = queue_of(uplink, index);
    struct pv_uplink *below = below_of(uplink);
    return filter_lane_is_due(&queue->rx, queue->now) ||
           (below->ops->arm && below->ops->arm(below, index));
}

static int fd(struct pv_uplink *uplink, uint32_t index)
{
    return below_of(uplink)->ops->fd(below_of(uplink), index);
}

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static uint64_t deadline(struct pv_uplink *uplink, uint32_t index)
{
    struct uplink_filter_queue *queue = queue_of(uplink, index);
    struct pv_uplink *below = below_of(uplink);
    uint64_t due =
        earlier(filter_lane_next(&queue->tx, queue->now), filter_lane_next(&queue->rx, queue->now));
    return below->ops->deadline ? earlier(due, below->ops->deadline(below, index)) : due;
}

static int set_rx_offloads(struct pv_uplink *uplink, const struct pv_uplink_offloads *offloads)
{
    struct pv_uplink *below = below_of(uplink);
    return below->ops->set_rx_offloads ? below->ops->set_rx_offloads(below, offloads) : 0;
}

/* What a guest has left held on a queue would come out when the next guest uses that queue. */
static void drop_held(struct pv_uplink *uplink)
{
    for (uint32_t i = 0; i < uplink->queues; i++) {
        filter_lane_drop_all(&queue_of(uplink, i)->tx, NULL);
        filter_lane_drop_all(&queue_of(uplink, i)->rx, NULL);
    }
}

static int set_carrier(struct pv_uplink *uplink, uint32_t queues)
{
    struct pv_uplink *below = below_of(uplink);
    if (queues == 0)
        drop_held(uplink);
    return below->ops->set_carrier ? below->ops->set_carrier(below, queues) : 0;
}

static void purge(struct pv_uplink *uplink, uint32_t index, struct pv_packet_cache *cache)
{
    struct pv_uplink *below = below_of(uplink);
    filter_lane_drop_all(&queue_of(uplink, index)->rx, cache);
    if (below->ops->purge)
        below->ops->purge(below, index, cache);
}

static void dropped(struct pv_uplink *uplink, uint32_t index, const struct pv_uplink_drop *drop,
                    uint64_t now)
{
    struct pv_uplink *below = below_of(uplink);
    if (below->ops->dropped)
        below->ops->dropped(below, index, drop, now);
}

static void get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    below_of(uplink)->ops->get_stats(below_of(uplink), stats);
    for (uint32_t i = 0; i < uplink->queues; i++) {
        stats->tx_dropped += pv_read_counter(&queue_of(uplink, i)->tx.dropped);
        stats->rx_dropped += pv_read_counter(&queue_of(uplink, i)->rx.dropped);
    }
}

static void destroy(struct uplink_filter *filter)
{
    for (uint32_t i = 0; filter->queues && i < filter->uplink.queues; i++) {
        struct uplink_filter_queue *queue = &filter->queues[i];
        filter_lane_drop_all(&queue->tx, NULL);
        filter_lane_drop_all(&queue->rx, NULL);
        free(queue->tx.held);
        free(queue->rx.held);
    }
    free(filter->queues);
    free(filter);
}

static void close_filter(struct pv_uplink *uplink)
{
    struct pv_uplink *below = below_of(uplink);
    destroy((struct uplink_filter *)uplink);
    below->ops->close(below);
}

static const struct pv_uplink_ops filter_ops = {.send = send,
                                                .receive = receive,
                                                .arm = arm,
                                                .fd = fd,
                                                .deadline = deadline,
                                                .set_rx_offloads = set_rx_offloads,
                                                .set_carrier = set_carrier,
                                                .purge = purge,
                                                .dropped = dropped,
                                                .get_stats = get_stats,
                                                .close = close_filter};

/* Each queue's lanes have numbers of their own. */
static bool make_lane(struct filter_lane *lane, uint64_t seed, uint32_t queue,
                      enum pv_uplink_direction direction)
{
    lane->direction = direction;
    lane->seed = seeded_random(seed, 2 * queue + (direction == PV_UPLINK_RX));
    lane->held = calloc(FILTER_LANE_PACKETS, sizeof lane->held[0]);
    return lane->held;
}

static bool make_queues(struct uplink_filter *filter)
{
    size_t size = filter->uplink.queues * sizeof filter->queues[0];
    filter->queues = aligned_alloc(_Alignof(struct uplink_filter_queue), size);
    if (!filter->queues)
        return false;
    memset(filter->queues, 0, size);
    for (uint32_t i = 0; i < filter->uplink.queues; i++)
        if (!make_lane(&filter->queues[i].tx, filter->config.seed, i, PV_UPLINK_TX) ||
            !make_lane(&filter->queues[i].rx, filter->config.seed, i, PV_UPLINK_RX))
            return false;
    return true;
}

void *uplink_filter_create(size_t size, const char *name, struct pv_uplink *below,
                           const struct pv_uplink_filter_config *config, uplink_filter_pass *pass)
{
    if (!(config->probability >= 0 && config->probability <= 1) || config->directions == 0 ||
        config->directions > PV_UPLINK_BOTH) {
        errno = EINVAL;
        return NULL;
    }
    struct uplink_filter *filter = calloc(1, size);
    if (!filter)
        return NULL;
    filter->ops = filter_ops;
    filter->ops.name = name;
    filter->uplink = *below;
    filter->uplink.ops = &filter->ops;
    filter->below = below;
    filter->config = *config;
    filter->pass = pass;
    if (!make_queues(filter)) {
        destroy(filter);
        errno = ENOMEM;
        return NULL;
    }
    return filter;
}
