/* A TAP interface as an uplink: how it is opened and closed, its offloads and its carrier. */
#include "backends/uplinks/tap_private.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int tap_ioctl(const struct tap_queue *queue, unsigned long request, unsigned long argument)
{
    return ioctl(queue->fd, request, argument) < 0 ? -errno : 0;
}

static int tap_fd(struct pv_uplink *uplink, uint32_t index)
{
    return tap_of(uplink)->queues[index].wake_fd;
}

/* The kernel has one offload for the checksums of both versions of IP, and none for segments
 * without it. */
static int tap_set_rx_offloads(struct pv_uplink *uplink, const struct pv_uplink_offloads *offloads)
{
    unsigned long flags = 0;
    if (offloads->csum_ipv4 || offloads->csum_ipv6)
        flags |= TUN_F_CSUM;
    if (flags && offloads->gso_tcpv4)
        flags |= TUN_F_TSO4;
    if (flags && offloads->gso_tcpv6)
        flags |= TUN_F_TSO6;
    return tap_ioctl(&tap_of(uplink)->queues[0], TUNSETOFFLOAD, flags);
}

static int set_attached(const struct tap_queue *queue, bool attached)
{
    struct ifreq request = {.ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};
    int status = tap_ioctl(queue, TUNSETQUEUE, (unsigned long)&request);
    return status == -EINVAL ? 0 : status; /* it is so already */
}

/* The first queue stays attached: a descriptor without an interface cannot set its carrier. */
static int tap_set_carrier(struct pv_uplink *uplink, uint32_t queues)
{
    struct tap *tap = tap_of(uplink);
    int carrier = queues > 0, status = 0;
    for (uint32_t i = 1; i < uplink->queues && status == 0; i++)
        status = set_attached(&tap->queues[i], i < queues);
    return status ? status : tap_ioctl(&tap->queues[0], TUNSETCARRIER, (unsigned long)&carrier);
}

static void tap_get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    *stats = (struct pv_uplink_stats){0};
    for (uint32_t i = 0; i < uplink->queues; i++) {
        const struct pv_uplink_stats *one = &tap_of(uplink)->queues[i].stats;
        stats->tx_packets += pv_read_counter(&one->tx_packets);
        stats->tx_bytes += pv_read_counter(&one->tx_bytes);
        stats->tx_dropped += pv_read_counter(&one->tx_dropped);
        stats->rx_packets += pv_read_counter(&one->rx_packets);
        stats->rx_bytes += pv_read_counter(&one->rx_bytes);
        stats->rx_dropped += pv_read_counter(&one->rx_dropped);
        stats->errors += pv_read_counter(&one->errors);
    }
}

static void tap_close(struct pv_uplink *uplink)
{
    struct tap *tap = tap_of(uplink);
    for (uint32_t i = 0; i < uplink->queues; i++) {
        struct tap_queue *queue = &tap->queues[i];
        close(queue->fd);
        close(queue->wake_fd);
        if (queue->small)
            pv_packet_release(NULL, &queue->small, 1);
        if (queue->large)
            pv_packet_release(NULL, &queue->large, 1);
    }
    if (tap->gone_fd >= 0)
        close(tap->gone_fd);
    free(tap);
}

static const struct pv_uplink_ops tap_ops = {.name = "tap",
                                             .send = tap_send,
                                             .receive = tap_receive,
                                             .arm = tap_arm,
                                             .fd = tap_fd,
                                             .set_rx_offloads = tap_set_rx_offloads,
                                             .set_carrier = tap_set_carrier,
                                             .purge = tap_purge,
                                             .get_stats = tap_get_stats,
                                             .close = tap_close};

static int open_wake_fd(struct tap_queue *queue)
{
    struct epoll_event nothing = {.events = 0};
    queue->wake_fd = epoll_create1(EPOLL_CLOEXEC);
    if (queue->wake_fd < 0 || epoll_ctl(queue->wake_fd, EPOLL_CTL_ADD, queue->fd, &nothing) < 0)
        return -errno;
    return 0;
}

static int set_up(struct tap *tap)
{
    int header_size = sizeof(struct virtio_net_hdr_v1), little_endian = 1;
    const struct pv_uplink_offloads none = {0};
    int status = tap_ioctl(&tap->queues[0], TUNSETVNETHDRSZ, (unsigned long)&header_size);
    if (status == 0)
        status = tap_ioctl(&tap->queues[0], TUNSETVNETLE, (unsigned long)&little_endian);
    if (status == 0)
        status = tap_set_rx_offloads(&tap->uplink, &none);
    for (uint32_t i = 0; i < tap->uplink.queues && status == 0; i++)
        status = open_wake_fd(&tap->queues[i]);
    return status ? status : tap_set_carrier(&tap->uplink, 0);
}

/* What could not be set up: its descriptors stay the caller's. */
static void discard(struct tap *tap)
{
    for (uint32_t i = 0; i < tap->uplink.queues; i++)
        if (tap->queues[i].wake_fd >= 0)
            close(tap->queues[i].wake_fd);
    free(tap);
}

struct pv_uplink *pv_tap_uplink_create(struct pv_packet_pool *pool, const int *fds, uint32_t queues,
                                       int gone_fd)
{
    if (queues < 1 || queues > PV_UPLINK_MAX_QUEUES) {
        errno = EINVAL;
        return NULL;
    }
    size_t size = sizeof(struct tap) + queues * sizeof(struct tap_queue);
    struct tap *tap = aligned_alloc(_Alignof(struct tap), size);
    if (!tap)
        return NULL;
    tap->uplink = (struct pv_uplink){
        .ops = &tap_ops, .pool = pool, .queues = queues, .tx_offloads = {true, true, true, true}};
    tap->gone_fd = gone_fd;
    for (uint32_t i = 0; i < queues; i++)
        tap->queues[i] = (struct tap_queue){.fd = fds[i], .wake_fd = -1};
    int status = set_up(tap);
    if (status < 0) {
        discard(tap);
        errno = -status;
        return NULL;
    }
    return &tap->uplink;
}
