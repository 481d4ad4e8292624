/*
 * What filters share. A filter is an uplink that stands on another. What it does to a packet is one
 * function, which gives it on at once, later, twice or not at all. All of it happens in `send` and
 * `receive`, at the time that they are told.
 */
#ifndef BACKENDS_UPLINKS_FILTER_H
#define BACKENDS_UPLINKS_FILTER_H

#include "backends/uplinks/filter_lane.h"
#include "pvdrivers/backends/uplinks/uplinks.h"

struct uplink_filter;

/* Adds the packet to the lane, once or more, with the time when it is due; or drops it. */
typedef void uplink_filter_pass(struct uplink_filter *filter, struct filter_lane *lane,
                                struct pv_packet_cache *cache, struct pv_packet *packet,
                                uint64_t now);

struct uplink_filter_queue {
    struct filter_lane tx, rx;
    uint64_t now; /* the last that it was told */
} __attribute__((aligned(128)));

struct uplink_filter {
    struct pv_uplink uplink;
    struct pv_uplink_ops ops;
    struct pv_uplink *below;
    struct pv_uplink_filter_config config;
    uplink_filter_pass *pass;
    struct uplink_filter_queue *queues;
};

/* Of `size` bytes, which begin with a struct uplink_filter and are zero behind it. NULL with errno
 * set: EINVAL is a configuration that makes no sense. */
void *uplink_filter_create(size_t size, const char *name, struct pv_uplink *below,
                           const struct pv_uplink_filter_config *config, uplink_filter_pass *pass);
/* Counts a packet of the lane: whether the filter's probability strikes it, and a random number
 * for what is done to it then. */
bool uplink_filter_strikes(const struct uplink_filter *filter, struct filter_lane *lane,
                           uint64_t *random);

#endif
