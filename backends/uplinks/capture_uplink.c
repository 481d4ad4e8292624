/* An uplink that stands on another and records what passes. */
#include "backends/uplinks/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct capture_uplink {
    struct pv_uplink uplink;
    struct pv_uplink *below;
    struct pv_capture *capture;
    struct capture_interface interface; /* under the capture's lock */
};

static struct pv_uplink *below_of(struct pv_uplink *uplink)
{
    return ((struct capture_uplink *)uplink)->below;
}

static void record(struct pv_uplink *uplink, uint32_t direction, uint32_t queue,
                   struct pv_packet *const *packets, uint32_t count, uint64_t now)
{
    struct capture_uplink *own = (struct capture_uplink *)uplink;
    if (count > 0)
        capture_add_packets(own->capture, &own->interface, direction, queue, packets, count, now);
}

static void send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    record(uplink, PCAPNG_OUTBOUND, queue, packets, count, now); /* before they are somebody's */
    below_of(uplink)->ops->send(below_of(uplink), queue, cache, packets, count, now);
}

static uint32_t receive(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                        struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct pv_uplink *below = below_of(uplink);
    count = below->ops->receive(below, queue, cache, packets, count, now);
    record(uplink, PCAPNG_INBOUND, queue, packets, count, now);
    return count;
}

static void dropped(struct pv_uplink *uplink, uint32_t queue, const struct pv_uplink_drop *drop,
                    uint64_t now)
{
    struct capture_uplink *own = (struct capture_uplink *)uplink;
    capture_add_drop(own->capture, &own->interface, queue, drop, now);
    if (own->below->ops->dropped)
        own->below->ops->dropped(own->below, queue, drop, now);
}

/* ---- The rest is below's --------------------------------------------------------------------- */

static bool arm(struct pv_uplink *uplink, uint32_t queue)
{
    struct pv_uplink *below = below_of(uplink);
    return below->ops->arm && below->ops->arm(below, queue);
}

static int fd(struct pv_uplink *uplink, uint32_t queue)
{
    return below_of(uplink)->ops->fd(below_of(uplink), queue);
}

static uint64_t deadline(struct pv_uplink *uplink, uint32_t queue)
{
    struct pv_uplink *below = below_of(uplink);
    return below->ops->deadline ? below->ops->deadline(below, queue) : UINT64_MAX;
}

static int set_rx_offloads(struct pv_uplink *uplink, const struct pv_uplink_offloads *offloads)
{
    struct pv_uplink *below = below_of(uplink);
    return below->ops->set_rx_offloads ? below->ops->set_rx_offloads(below, offloads) : 0;
}

static int set_carrier(struct pv_uplink *uplink, uint32_t queues)
{
    struct pv_uplink *below = below_of(uplink);
    return below->ops->set_carrier ? below->ops->set_carrier(below, queues) : 0;
}

static void purge(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache)
{
    struct pv_uplink *below = below_of(uplink);
    if (below->ops->purge)
        below->ops->purge(below, queue, cache);
}

static void get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    below_of(uplink)->ops->get_stats(below_of(uplink), stats);
}

static void close_uplink(struct pv_uplink *uplink)
{
    struct capture_uplink *own = (struct capture_uplink *)uplink;
    struct pv_uplink_stats stats;
    get_stats(uplink, &stats);
    capture_end_interface(own->capture, &own->interface, &stats);
    own->below->ops->close(own->below);
    free(own);
}

static const struct pv_uplink_ops capture_ops = {.name = "capture",
                                                 .send = send,
                                                 .receive = receive,
                                                 .dropped = dropped,
                                                 .arm = arm,
                                                 .fd = fd,
                                                 .deadline = deadline,
                                                 .set_rx_offloads = set_rx_offloads,
                                                 .set_carrier = set_carrier,
                                                 .purge = purge,
                                                 .get_stats = get_stats,
                                                 .close = close_uplink};

struct pv_uplink *pv_capture_uplink_create(struct pv_capture *capture, struct pv_uplink *below,
                                           const char *name, uint32_t captured_max)
{
    if (strlen(name) > PCAPNG_NAME_MAX) {
        errno = EINVAL;
        return NULL;
    }
    struct capture_uplink *own = calloc(1, sizeof(*own));
    if (!own)
        return NULL;
    own->uplink = *below;
    own->uplink.ops = &capture_ops;
    own->uplink.no_data = false; /* it looks at every byte */
    own->below = below;
    own->capture = capture;
    own->interface.captured_max = captured_max;
    int status = capture_add_interface(capture, &own->interface, name);
    if (status < 0) {
        free(own);
        errno = -status;
        return NULL;
    }
    return &own->uplink;
}
