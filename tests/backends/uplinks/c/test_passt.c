/* A passt uplink against the other end of its socket: frames cut anywhere, a peer that does not
 * read, one that goes and comes back, and one that sends nonsense. */
#include "pvdrivers/backends/uplinks/passt.h"
#include "uplink_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LENGTH 100u
#define SECOND 1000000000u

static struct pv_packet_pool *pool;
static struct pv_packet_cache *cache;
static char path[64];
static uint64_t now = 1;

static int listen_at_path(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    assert(listen(fd, 1) == 0);
    return fd;
}

static int accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert(fd >= 0);
    return fd;
}

static uint32_t receive(struct pv_uplink *uplink, struct pv_packet **packets, uint32_t count)
{
    now += 1000000; /* an empty socket is read again */
    return uplink->ops->receive(uplink, 0, cache, packets, count, now);
}

static void expect_number(struct pv_packet *packet, uint32_t number, uint32_t length)
{
    assert(packet->length == length && number_of(packet) == number);
    assert(!packet->csum_blank && !packet->gso_type);
    pv_packet_release(cache, &packet, 1);
}

static void write_all(int fd, const void *data, size_t length)
{
    assert(write(fd, data, length) == (ssize_t)length);
}

static size_t put_frame(uint8_t *at, uint32_t number, uint32_t length)
{
    struct pv_packet *packet = make_frame(cache, 1, 2, number, length);
    uint32_t prefix = htonl(length);
    memcpy(at, &prefix, 4);
    memcpy(at + 4, packet->data, length);
    pv_packet_release(cache, &packet, 1);
    return 4 + length;
}

static void test_received_frames_are_cut_anywhere(void)
{
    int listener = listen_at_path();
    struct pv_uplink *uplink = pv_passt_uplink_create(pool, path);
    assert(uplink && pv_passt_uplink_connected(uplink));
    int peer = accept_one(listener);
    uint8_t stream[3 * (4 + LENGTH)];
    size_t length = 0;
    for (uint32_t i = 0; i < 3; i++)
        length += put_frame(stream + length, i, LENGTH - i);
    for (size_t cut = 0; cut <= length; cut++) {
        struct pv_packet *packets[4];
        write_all(peer, stream, cut);
        uint32_t count = receive(uplink, packets, 4);
        uint32_t whole = cut >= 4 + LENGTH;
        whole += cut >= 2 * (4 + LENGTH) - 1;
        whole += cut >= length;
        assert(count == whole);
        write_all(peer, stream + cut, length - cut);
        count += receive(uplink, packets + count, 4 - count);
        assert(count == 3);
        for (uint32_t i = 0; i < 3; i++)
            expect_number(packets[i], i, LENGTH - i);
    }
    assert(stats_of(uplink).rx_packets == 3 * (length + 1));
    uplink->ops->close(uplink);
    close(peer);
    close(listener);
}

static void test_no_more_than_asked_for(void)
{
    int listener = listen_at_path();
    struct pv_uplink *uplink = pv_passt_uplink_create(pool, path);
    int peer = accept_one(listener);
    struct pv_packet *packet;
    uint8_t stream[2 * (4 + LENGTH)];
    put_frame(stream, 7, LENGTH);
    put_frame(stream + 4 + LENGTH, 8, LENGTH);
    assert(!uplink->ops->arm(uplink, 0) && !is_readable(uplink->ops->fd(uplink, 0)));
    write_all(peer, stream, sizeof stream);
    assert(is_readable(uplink->ops->fd(uplink, 0)));
    assert(receive(uplink, &packet, 0) == 0 && !is_readable(uplink->ops->fd(uplink, 0)));
    assert(receive(uplink, &packet, 1) == 1);
    expect_number(packet, 7, LENGTH);
    assert(uplink->ops->arm(uplink, 0)); /* for what was read with the first */
    assert(receive(uplink, &packet, 1) == 1);
    expect_number(packet, 8, LENGTH);
    assert(!uplink->ops->arm(uplink, 0));
    write_all(peer, stream, sizeof stream);
    uplink->ops->purge(uplink, 0, cache);
    assert(receive(uplink, &packet, 1) == 0);
    uplink->ops->close(uplink);
    close(peer);
    close(listener);
}

/* Reads what there is: whole frames with rising numbers, and keeps what is cut. Returns the number
 * that is next. */
static uint32_t read_frames(int peer, uint8_t *rest, size_t *have, uint32_t next)
{
    ssize_t bytes;
    while ((bytes = read(peer, rest + *have, 777)) > 0) { /* no whole number of frames */
        *have += (size_t)bytes;
        uint32_t length;
        while (*have >= 4 && (memcpy(&length, rest, 4), *have >= 4 + ntohl(length))) {
            struct frame frame;
            memcpy(&frame, rest + 4, sizeof frame);
            assert(ntohl(length) == 1000 && frame.number >= next);
            next = frame.number + 1;
            *have -= 4 + 1000;
            memmove(rest, rest + 4 + 1000, *have);
        }
    }
    return next;
}

static void test_peer_that_does_not_read(void)
{
    int listener = listen_at_path();
    struct pv_uplink *uplink = pv_passt_uplink_create(pool, path);
    int peer = accept_one(listener);
    static uint8_t rest[4096];
    size_t have = 0;
    uint32_t sent = 0, next = 0;
    struct pv_packet *packet;
    while (stats_of(uplink).tx_dropped == 0)
        send_one(uplink, 0, cache, make_frame(cache, 1, 2, sent++, 1000), now);
    assert(pv_packet_pool_used(pool) == 256); /* the memory is bounded */
    assert(!uplink->ops->arm(uplink, 0) && !is_readable(uplink->ops->fd(uplink, 0)));
    next = read_frames(peer, rest, &have, next);
    assert(next < sent - 1 && is_readable(uplink->ops->fd(uplink, 0)));
    while (stats_of(uplink).tx_packets < sent - 1) {
        assert(receive(uplink, &packet, 1) == 0); /* sends on what has waited */
        next = read_frames(peer, rest, &have, next);
    }
    assert(next == sent - 1 && have == 0); /* all but the dropped one, in order */
    assert(stats_of(uplink).tx_dropped == 1 && pv_packet_pool_used(pool) == 0);
    uplink->ops->close(uplink);
    close(peer);
    close(listener);
}

static void test_peer_that_goes_and_comes_back(void)
{
    int listener = listen_at_path();
    struct pv_uplink *uplink = pv_passt_uplink_create(pool, path);
    int peer = accept_one(listener);
    struct pv_packet *packet;
    uint8_t stream[4 + LENGTH];
    put_frame(stream, 1, LENGTH);
    write_all(peer, stream, 50); /* half a frame, which must not begin the next connection's */
    assert(receive(uplink, &packet, 1) == 0);
    close(peer);
    close(listener);
    unlink(path);
    assert(receive(uplink, &packet, 1) == 0 && !pv_passt_uplink_connected(uplink));
    assert(uplink->ops->deadline(uplink, 0) > now);
    send_one(uplink, 0, cache, make_frame(cache, 1, 2, 1, LENGTH), now);
    assert(stats_of(uplink).tx_dropped == 1 && stats_of(uplink).errors == 1);
    listener = listen_at_path();
    assert(receive(uplink, &packet, 1) == 0 && !pv_passt_uplink_connected(uplink)); /* not yet */
    now = uplink->ops->deadline(uplink, 0);
    assert(receive(uplink, &packet, 1) == 0 && pv_passt_uplink_connected(uplink));
    assert(uplink->ops->deadline(uplink, 0) == UINT64_MAX);
    peer = accept_one(listener);
    write_all(peer, stream, sizeof stream);
    assert(receive(uplink, &packet, 1) == 1);
    expect_number(packet, 1, LENGTH);
    uplink->ops->close(uplink);
    close(peer);
    close(listener);
}

/* Frames that are too short are dropped; behind a length that is too long nothing can be read. */
static void test_nonsense(void)
{
    int listener = listen_at_path();
    struct pv_uplink *uplink = pv_passt_uplink_create(pool, path);
    int peer = accept_one(listener);
    struct pv_packet *packets[4];
    uint8_t stream[4 + LENGTH];
    put_frame(stream, 5, LENGTH);
    write_all(peer, "\0\0\0\0\0\0\0\3abc", 11);
    write_all(peer, stream, sizeof stream);
    assert(receive(uplink, packets, 4) == 1);
    expect_number(packets[0], 5, LENGTH);
    assert(stats_of(uplink).rx_dropped == 2 && stats_of(uplink).errors == 0);
    write_all(peer, "\0\1\0\0", 4);
    assert(receive(uplink, packets, 4) == 0);
    assert(!pv_passt_uplink_connected(uplink) && stats_of(uplink).errors == 1);
    uplink->ops->close(uplink);
    close(peer);
    close(listener);
}

static void test_no_socket(void)
{
    char longer[109];
    memset(longer, 'a', sizeof longer - 1);
    longer[108] = 0;
    assert(!pv_passt_uplink_create(pool, longer) && errno == ENAMETOOLONG);
    unlink(path);
    struct pv_uplink *uplink = pv_passt_uplink_create(pool, path);
    assert(uplink && !pv_passt_uplink_connected(uplink));
    assert(!uplink->ops->arm(uplink, 0));
    uplink->ops->close(uplink);
}

int main(void)
{
    pool = pv_packet_pool_create();
    cache = pv_packet_cache_create(pool);
    snprintf(path, sizeof path, "/tmp/pvdrivers-test-passt-%d", getpid());
    test_received_frames_are_cut_anywhere();
    test_no_more_than_asked_for();
    test_peer_that_does_not_read();
    test_peer_that_goes_and_comes_back();
    test_nonsense();
    test_no_socket();
    assert(pv_packet_pool_used(pool) == 0);
    unlink(path);
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
    return 0;
}
