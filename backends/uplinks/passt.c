/* A passt uplink's life, and its connection, which comes and goes with passt. */
#include "backends/uplinks/passt_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void passt_watch(struct passt *passt, uint32_t events)
{
    struct epoll_event event = {.events = events};
    if (passt->socket >= 0 && passt->events != events)
        epoll_ctl(passt->epoll_fd, EPOLL_CTL_MOD, passt->socket, &event);
    passt->events = events;
}

static int open_socket(const struct passt *passt)
{
    struct epoll_event nothing = {.events = 0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&passt->address, sizeof passt->address) < 0 ||
        epoll_ctl(passt->epoll_fd, EPOLL_CTL_ADD, fd, &nothing) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void passt_try_to_connect(struct passt *passt, uint64_t now)
{
    if (now < passt->connect_after)
        return;
    passt->socket = open_socket(passt);
    passt->events = 0;
    pv_write_once(&passt->connected, passt->socket >= 0);
    passt->connect_after = now + PV_PASST_RETRY_NS;
    passt->read_after = 0;
}

static void drop_waiting(struct passt *passt, struct pv_packet_cache *cache)
{
    pv_add_counter(&passt->stats.tx_dropped, passt->count);
    for (; passt->count > 0; passt->count--)
        pv_packet_release(cache, &passt->waiting[passt->head++ % MAX_WAITING], 1);
    passt->sent = 0;
}

void passt_disconnect(struct passt *passt, struct pv_packet_cache *cache, uint64_t now)
{
    close(passt->socket); /* which takes it out of the epoll instance */
    passt->socket = -1;
    passt->connect_after = now + PV_PASST_RETRY_NS;
    passt->start = passt->end = 0;
    pv_write_once(&passt->connected, false);
    pv_add_counter(&passt->stats.errors, 1);
    drop_waiting(passt, cache);
}

static int passt_fd(struct pv_uplink *uplink, uint32_t queue)
{
    (void)queue;
    return passt_of(uplink)->epoll_fd;
}

static uint64_t passt_deadline(struct pv_uplink *uplink, uint32_t queue)
{
    (void)queue;
    return passt_of(uplink)->socket < 0 ? passt_of(uplink)->connect_after : UINT64_MAX;
}

static void passt_get_stats(struct pv_uplink *uplink, struct pv_uplink_stats *stats)
{
    const struct pv_uplink_stats *own = &passt_of(uplink)->stats;
    *stats = (struct pv_uplink_stats){.tx_packets = pv_read_counter(&own->tx_packets),
                                      .tx_bytes = pv_read_counter(&own->tx_bytes),
                                      .tx_dropped = pv_read_counter(&own->tx_dropped),
                                      .rx_packets = pv_read_counter(&own->rx_packets),
                                      .rx_bytes = pv_read_counter(&own->rx_bytes),
                                      .rx_dropped = pv_read_counter(&own->rx_dropped),
                                      .errors = pv_read_counter(&own->errors)};
}

static void passt_close(struct pv_uplink *uplink)
{
    struct passt *passt = passt_of(uplink);
    drop_waiting(passt, NULL);
    if (passt->socket >= 0)
        close(passt->socket);
    close(passt->epoll_fd);
    free(passt->input);
    free(passt);
}

static const struct pv_uplink_ops passt_ops = {.name = "passt",
                                               .send = passt_send,
                                               .receive = passt_receive,
                                               .arm = passt_arm,
                                               .fd = passt_fd,
                                               .deadline = passt_deadline,
                                               .purge = passt_purge,
                                               .get_stats = passt_get_stats,
                                               .close = passt_close};

struct pv_uplink *pv_passt_uplink_create(struct pv_packet_pool *pool, const char *path)
{
    struct passt *passt = calloc(1, sizeof *passt);
    if (!passt)
        return NULL;
    passt->uplink = (struct pv_uplink){.ops = &passt_ops, .pool = pool, .queues = 1};
    passt->address.sun_family = AF_UNIX;
    passt->socket = -1;
    if (strlen(path) >= sizeof passt->address.sun_path) {
        free(passt);
        errno = ENAMETOOLONG;
        return NULL;
    }
    strcpy(passt->address.sun_path, path);
    passt->input = malloc(READ_SIZE);
    passt->epoll_fd = passt->input ? epoll_create1(EPOLL_CLOEXEC) : -1;
    if (passt->epoll_fd < 0) {
        int error = errno;
        free(passt->input);
        free(passt);
        errno = error;
        return NULL;
    }
    passt_try_to_connect(passt, 0);
    passt->connect_after = 0; /* the clock of the pumps is not known here */
    return &passt->uplink;
}

bool pv_passt_uplink_connected(const struct pv_uplink *uplink)
{
    return pv_read_once(&((const struct passt *)uplink)->connected);
}
