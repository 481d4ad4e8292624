/* A TAP's packets of each length, and its queues in threads of their own. The kernel's end is a
 * packet socket on the interface. Does nothing where no network namespace may be made. */
#include "pvdrivers/backends/uplinks/tap.h"
#include "uplink_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUES 2u
#define MTU 9000
#define TYPE ETH_P_IP /* of the test's frames; the kernel sends some of IPv6 itself */
#define EACH 2000u    /* packets of a thread */

static struct pv_packet_pool *pool;
static struct pv_uplink *uplink;
static int kernel; /* the packet socket */
static uint64_t now = 1;

static bool can_make_interfaces(void)
{
    return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static void open_queues(int *fds)
{
    for (uint32_t i = 0; i < QUEUES; i++) {
        struct ifreq request = {.ifr_name = "tap0",
                                .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
        fds[i] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        assert(fds[i] >= 0 && ioctl(fds[i], TUNSETIFF, &request) == 0);
    }
}

static void set_up_interface(void)
{
    struct ifreq request = {.ifr_name = "tap0", .ifr_mtu = MTU};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert(ioctl(fd, SIOCSIFMTU, &request) == 0);
    request.ifr_flags = IFF_UP;
    assert(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
    close(fd);
}

static void open_kernel_end(void)
{
    struct timeval patience = {.tv_sec = 60};
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(TYPE),
                                  .sll_ifindex = (int)if_nametoindex("tap0")};
    int size = 64 << 20;
    kernel = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
    assert(kernel >= 0 && bind(kernel, (struct sockaddr *)&address, sizeof address) == 0);
    setsockopt(kernel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(kernel, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

static struct pv_packet *receive_one(uint32_t queue, struct pv_packet_cache *cache)
{
    struct pv_packet *packet;
    struct pollfd readable = {.fd = uplink->ops->fd(uplink, queue), .events = POLLIN};
    for (;;) {
        if (uplink->ops->receive(uplink, queue, cache, &packet, 1, now) == 0) {
            if (!uplink->ops->arm(uplink, queue))
                assert(poll(&readable, 1, 60000) == 1);
        } else if (packet->data[12] == TYPE >> 8 && packet->data[13] == (TYPE & 0xff)) {
            return packet;
        } else {
            pv_packet_release(cache, &packet, 1);
        }
    }
}

static bool ends_a_sleep(uint32_t queue)
{
    struct pollfd readable = {.fd = uplink->ops->fd(uplink, queue), .events = POLLIN};
    return poll(&readable, 1, 0) == 1;
}

/* A queue that stays armed from one sleep to the next ends the sleep itself. */
static bool has_packet(uint32_t queue)
{
    return uplink->ops->arm(uplink, queue) || ends_a_sleep(queue);
}

static uint32_t fill(uint8_t *data, uint32_t length)
{
    for (uint32_t i = HEADER; i < length; i++)
        data[i] = (uint8_t)(i * 31 + length);
    return length;
}

/* Around the small packets' capacity, where a second buffer gets the rest. */
static void test_lengths(struct pv_packet_cache *cache)
{
    static const uint32_t lengths[] = {60,
                                       1514,
                                       PV_PACKET_SMALL_CAPACITY - 1,
                                       PV_PACKET_SMALL_CAPACITY,
                                       PV_PACKET_SMALL_CAPACITY + 1,
                                       4096,
                                       MTU + HEADER};
    static uint8_t sent[PV_PACKET_MAX_LENGTH], got[PV_PACKET_MAX_LENGTH];
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint32_t length = lengths[i];
        struct pv_packet *packet = make_frame(cache, 1, 2, 0, length);
        memcpy(sent, packet->data, HEADER);
        fill(sent, length);
        memcpy(packet->data, sent, length);
        send_one(uplink, 0, cache, packet, now);
        assert(recv(kernel, got, sizeof got, MSG_TRUNC) == (ssize_t)length);
        assert(memcmp(got, sent, length) == 0);
        for (uint32_t times = 0; times < 2; times++) {
            assert(send(kernel, sent, length, 0) == (ssize_t)length);
            uint32_t queue = 0;
            while (!has_packet(queue)) /* the kernel chooses it */
                queue = (queue + 1) % QUEUES;
            packet = receive_one(queue, cache);
            assert(packet->length == length && memcmp(packet->data, sent, length) == 0);
            assert(!packet->csum_blank && !packet->gso_type);
            pv_packet_release(cache, &packet, 1);
        }
    }
    assert(stats_of(uplink).tx_dropped == 0 && stats_of(uplink).rx_dropped == 0);
}

static uint32_t send_and_find(uint8_t *frame)
{
    assert(send(kernel, frame, 60, 0) == 60);
    for (uint32_t queue = 0;; queue = (queue + 1) % QUEUES)
        if (has_packet(queue))
            return queue;
}

/* A queue whose user takes a packet and sleeps stays armed; one that is busy, or whose user has no
 * room, does not end sleeps. */
static void test_arming(struct pv_packet_cache *cache)
{
    static uint8_t frame[60] = {[12] = TYPE >> 8, [13] = TYPE & 0xff};
    uint32_t queue = send_and_find(frame);
    for (int batch = 0; batch < 2; batch++) {
        struct pv_packet *packet = receive_one(queue, cache);
        pv_packet_release(cache, &packet, 1);
        assert(!uplink->ops->arm(uplink, queue) && !ends_a_sleep(queue));
        assert(send_and_find(frame) == queue); /* of the same flow */
    }
    struct pv_packet *packets[2];
    packets[0] = receive_one(queue, cache);
    assert(send(kernel, frame, sizeof frame, 0) == sizeof frame && ends_a_sleep(queue));
    packets[1] = receive_one(queue, cache);
    assert(send(kernel, frame, sizeof frame, 0) == sizeof frame && !ends_a_sleep(queue));
    assert(has_packet(queue));
    assert(uplink->ops->receive(uplink, queue, cache, packets, 0, now) == 0);
    assert(!ends_a_sleep(queue) && has_packet(queue));
    pv_packet_release(cache, packets, 2);
    packets[0] = receive_one(queue, cache);
    pv_packet_release(cache, packets, 1);
}

static void *use_queue(void *argument)
{
    uint32_t queue = (uint32_t)(uintptr_t)argument;
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    struct pv_packet *packets[64];
    for (uint32_t i = 0; i < EACH; i++) {
        send_one(uplink, queue, cache, make_frame(cache, (uint8_t)queue, 9, i, 60), now);
        pv_packet_release(cache, packets,
                          uplink->ops->receive(uplink, queue, cache, packets, 64, now));
        uplink->ops->arm(uplink, queue);
    }
    uplink->ops->purge(uplink, queue, cache);
    pv_packet_cache_destroy(cache);
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[QUEUES];
    uint64_t before = stats_of(uplink).tx_packets;
    uint32_t next[QUEUES] = {0};
    for (uintptr_t i = 0; i < QUEUES; i++)
        pthread_create(&threads[i], NULL, use_queue, (void *)i);
    for (uint32_t i = 0; i < QUEUES * EACH; i++) {
        struct frame frame;
        assert(recv(kernel, &frame, sizeof frame, MSG_TRUNC) == 60);
        assert(frame.from[5] < QUEUES && frame.number == next[frame.from[5]]++); /* in order */
        assert(stats_of(uplink).tx_dropped == 0);
    }
    for (uint32_t i = 0; i < QUEUES; i++)
        pthread_join(threads[i], NULL);
    assert(stats_of(uplink).tx_packets == before + QUEUES * EACH);
}

static void test_bad_descriptor(void)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    assert(!pv_tap_uplink_create(pool, &fd, 1, -1) && errno == ENOTTY);
    assert(!pv_tap_uplink_create(pool, &fd, 0, -1) && errno == EINVAL);
    assert(!pv_tap_uplink_create(pool, &fd, PV_UPLINK_MAX_QUEUES + 1, -1) && errno == EINVAL);
    assert(close(fd) == 0); /* it is ours still */
}

int main(void)
{
    int fds[QUEUES];
    pool = pv_packet_pool_create();
    test_bad_descriptor();
    if (!can_make_interfaces()) {
        printf("no network namespace: %s\n", strerror(errno));
        return 0;
    }
    open_queues(fds);
    uplink = pv_tap_uplink_create(pool, fds, QUEUES, -1);
    assert(uplink && uplink->ops->set_carrier(uplink, QUEUES) == 0);
    set_up_interface();
    open_kernel_end();
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    test_lengths(cache);
    test_arming(cache);
    test_threads();
    uplink->ops->close(uplink);
    pv_packet_cache_destroy(cache);
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_pool_destroy(pool);
    close(kernel);
    return 0;
}
