/* Limits the bytes per second of each direction by a token bucket, kept as the time up to which its
 * tokens are spent. All queues share it. */
#include "backends/uplinks/filter.h"

#include <errno.h>
#include <pthread.h>

struct bucket {
    pthread_mutex_t lock;
    uint64_t paid; /* ns; the next packet may pass then */
};

struct rate_filter {
    struct uplink_filter filter;
    double bytes_per_ns;
    uint64_t burst_time; /* ns in which a bucket fills */
    struct bucket tx, rx;
};

/* When the packet may pass; its tokens are spent. */
static uint64_t spend(const struct rate_filter *rate, struct bucket *bucket, uint32_t bytes,
                      uint64_t now)
{
    pthread_mutex_lock(&bucket->lock);
    if (bucket->paid + rate->burst_time < now)
        bucket->paid = now - rate->burst_time;
    uint64_t due = bucket->paid > now ? bucket->paid : now;
    bucket->paid += (uint64_t)((double)bytes / rate->bytes_per_ns);
    pthread_mutex_unlock(&bucket->lock);
    return due;
}

static void pass(struct uplink_filter *filter, struct filter_lane *lane,
                 struct pv_packet_cache *cache, struct pv_packet *packet, uint64_t now)
{
    struct rate_filter *rate = (struct rate_filter *)filter;
    if (!filter_lane_has_room(lane, packet)) { /* what is dropped costs nothing */
        filter_lane_drop(lane, cache, packet);
        return;
    }
    struct bucket *bucket = lane->direction == PV_UPLINK_TX ? &rate->tx : &rate->rx;
    filter_lane_add(lane, cache, packet, spend(rate, bucket, packet->length, now));
}

struct pv_uplink *pv_uplink_rate_create(struct pv_uplink *below,
                                        const struct pv_uplink_filter_config *config,
                                        uint64_t bytes_per_second, uint64_t burst)
{
    struct pv_uplink_filter_config all = *config;
    all.probability = 1;
    if (bytes_per_second == 0) {
        errno = EINVAL;
        return NULL;
    }
    struct rate_filter *rate = uplink_filter_create(sizeof *rate, "rate", below, &all, pass);
    if (!rate)
        return NULL;
    rate->bytes_per_ns = (double)bytes_per_second / 1e9;
    rate->burst_time = (uint64_t)((double)burst / rate->bytes_per_ns);
    pthread_mutex_init(&rate->tx.lock, NULL);
    pthread_mutex_init(&rate->rx.lock, NULL);
    return &rate->filter.uplink;
}
