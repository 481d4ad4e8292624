/* An uplink that gives the guest the packets of a file. They stay shared with what it gives, so
 * that a round costs no copy. */
#include "pvdrivers/backends/uplinks/pcapng.h"
#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BETWEEN_ROUNDS 1000000u /* ns */

struct replay {
    struct pv_uplink uplink;
    struct pv_packet **packets;
    uint64_t *times; /* NULL: all at once */
    uint32_t count;
    bool again;
    uint32_t connections; /* even: no guest is there */
    /* The queue's thread's. */
    uint32_t connection; /* that `start` and `next` are of */
    uint64_t start;
    uint64_t now; /* the last that it was told */
    uint32_t next;
    struct pv_uplink_stats stats;
};

static bool is_connected(const struct replay *replay)
{
    return pv_load_acquire(&replay->connections) & 1;
}

/* When the next packet is, or UINT64_MAX. */
static uint64_t due(const struct replay *replay)
{
    if (replay->next == replay->count)
        return UINT64_MAX;
    return replay->times ? replay->start + replay->times[replay->next] : 0;
}

static void begin_again_when_connected_again(struct replay *replay, uint64_t now)
{
    uint32_t connection = pv_load_acquire(&replay->connections);
    if (replay->connection == connection)
        return;
    replay->connection = connection;
    replay->start = now;
    replay->next = 0;
}

static uint32_t receive(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                        struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)queue, (void)cache;
    struct replay *replay = (struct replay *)uplink;
    uint32_t given = 0;
    if (!is_connected(replay))
        return 0;
    begin_again_when_connected_again(replay, now);
    replay->now = now;
    while (given < count && due(replay) <= now) {
        struct pv_packet *packet = replay->packets[replay->next++];
        pv_packet_hold(packet, 1);
        packets[given++] = packet;
        pv_add_counter(&replay->stats.rx_packets, 1);
        pv_add_counter(&replay->stats.rx_bytes, packet->length);
        if (replay->next == replay->count && replay->again) {
            replay->next = 0;
            if (replay->times)
                replay->start += replay->times[replay->count - 1] + BETWEEN_ROUNDS;
        }
    }
    return given;
}

static void send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)queue, (void)now;
    struct replay *replay = (struct replay *)uplink;
    for (uint32_t i = 0; i < count; i++)
        pv_add_counter(&replay->stats.tx_bytes, packets[i]->length);
    pv_add_counter(&replay->stats.tx_packets, count);
    pv_packet_release(cache, packets, count);
}

/* The first look of a connection tells when it began. */
static bool must_look(const struct replay *replay)
{
    return replay->connection != pv_load_acquire(&replay->connections);
}

static bool arm(struct pv_uplink *uplink, uint32_t queue)
{
    (void)queue;
    struct replay *replay = (struct replay *)uplink;
    return is_connected(replay) && (must_look(replay) || due(replay) <= replay->now);
}

static int fd(struct pv_uplink *uplink, uint32_t queue)
{
    (void)uplink, (void)queue;
    return -1;
}

/* What is due already is for `arm` to tell of: a guest that takes nothing must not keep its queue
 * awake. */
static uint64_t deadline(struct pv_uplink *uplink, uint32_t queue)
{
    (void)queue;
    struct replay *replay = (struct replay *)uplink;
    bool waits = is_connected(replay) && !must_look(replay) && due(replay) > replay->now;
    return waits ? due(replay) : UINT64_MAX;
}

static int set_carrier(struct pv_uplink *uplink, uint32_t queues)
{
    struct replay *replay = (struct replay *)uplink;
    if (is_connected(replay) != (queues > 0))
        pv_store_release(&replay->connections, replay->connections + 1);
    return 0;
}

static void get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    struct replay *replay = (struct replay *)uplink;
    *stats = (struct pv_uplink_stats){
        .tx_packets = pv_read_counter(&replay->stats.tx_packets),
        .tx_bytes = pv_read_counter(&replay->stats.tx_bytes),
        .rx_packets = pv_read_counter(&replay->stats.rx_packets),
        .rx_bytes = pv_read_counter(&replay->stats.rx_bytes),
    };
}

static void destroy(struct replay *replay)
{
    free(replay->packets);
    free(replay->times);
    free(replay);
}

static void close_uplink(struct pv_uplink *uplink)
{
    struct replay *replay = (struct replay *)uplink;
    pv_packet_release(NULL, replay->packets, replay->count);
    destroy(replay);
}

static const struct pv_uplink_ops replay_ops = {.name = "replay",
                                                .send = send,
                                                .receive = receive,
                                                .arm = arm,
                                                .fd = fd,
                                                .deadline = deadline,
                                                .set_carrier = set_carrier,
                                                .get_stats = get_stats,
                                                .close = close_uplink};

struct pv_uplink *pv_replay_uplink_create(struct pv_packet_pool *pool, struct pv_packet **packets,
                                          const uint64_t *times, uint32_t count, bool again)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    if (!replay)
        return NULL;
    replay->uplink = (struct pv_uplink){.ops = &replay_ops,
                                        .pool = pool,
                                        .queues = 1,
                                        .tx_offloads = {true, true, true, true},
                                        .no_data = true};
    replay->count = count;
    replay->again = again;
    replay->packets = calloc(count, sizeof(*packets));
    replay->times = times ? calloc(count, sizeof(*times)) : NULL;
    if (count == 0 || !replay->packets || (times && !replay->times)) {
        destroy(replay);
        errno = count ? ENOMEM : EINVAL;
        return NULL;
    }
    memcpy(replay->packets, packets, count * sizeof(*packets));
    if (times)
        memcpy(replay->times, times, count * sizeof(*times));
    return &replay->uplink;
}
