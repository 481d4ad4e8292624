/* A cable between two uplinks: a thread of its own takes what one gives and sends it to the other,
 * as the guest of both. */
#include "pvdrivers/backends/uplinks/uplinks.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64u

struct pv_uplink_patch {
    struct pv_uplink *ends[2];
    struct pv_packet_cache *caches[2]; /* of each end's pool */
    int stop_fd;                       /* an eventfd */
    pthread_t thread;
};

static uint64_t monotonic(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint32_t pass(struct pv_uplink_patch *patch, int from, uint64_t now)
{
    struct pv_uplink *giver = patch->ends[from], *taker = patch->ends[!from];
    struct pv_packet *packets[BATCH];
    uint32_t count = giver->ops->receive(giver, 0, patch->caches[from], packets, BATCH, now);
    if (count > 0)
        taker->ops->send(taker, 0, patch->caches[!from], packets, count, now);
    return count;
}

/* True: there is something to receive already. */
static bool arm(struct pv_uplink *uplink)
{
    return uplink->ops->arm && uplink->ops->arm(uplink, 0);
}

static uint64_t deadline(struct pv_uplink *uplink)
{
    return uplink->ops->deadline ? uplink->ops->deadline(uplink, 0) : UINT64_MAX;
}

/* Looks whether it is to stop; before, unless it is busy, sleeps until there is something to do. */
static bool may_go_on(struct pv_uplink_patch *patch, bool busy, uint64_t now)
{
    struct pollfd fds[3] = {{.fd = patch->stop_fd, .events = POLLIN}};
    uint64_t due = busy ? now : UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        struct pv_uplink *end = patch->ends[i];
        fds[1 + i] = (struct pollfd){.fd = end->ops->fd(end, 0), .events = POLLIN};
        if (!busy && arm(end))
            due = now;
        if (deadline(end) < due)
            due = deadline(end);
    }
    uint64_t left = due > now ? due - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000u),
                               .tv_nsec = (long)(left % 1000000000u)};
    ppoll(fds, 3, due == UINT64_MAX ? NULL : &timeout, NULL);
    return !(fds[0].revents & POLLIN);
}

static void *run(void *argument)
{
    struct pv_uplink_patch *patch = argument;
    uint64_t now;
    uint32_t passed;
    do {
        now = monotonic();
        passed = pass(patch, 0, now);
        passed += pass(patch, 1, now);
    } while (may_go_on(patch, passed > 0, now));
    return NULL;
}

static const struct pv_uplink_offloads all_offloads = {true, true, true, true};

static bool takes_all(const struct pv_uplink *uplink)
{
    const struct pv_uplink_offloads *takes = &uplink->tx_offloads;
    return takes->csum_ipv4 && takes->csum_ipv6 && takes->gso_tcpv4 && takes->gso_tcpv6;
}

static int connect_end(struct pv_uplink *uplink)
{
    int status = 0;
    if (uplink->ops->set_rx_offloads)
        status = uplink->ops->set_rx_offloads(uplink, &all_offloads);
    if (status == 0 && uplink->ops->set_carrier)
        status = uplink->ops->set_carrier(uplink, 1);
    return status;
}

static void disconnect_end(struct pv_uplink *uplink)
{
    if (uplink->ops->set_carrier)
        uplink->ops->set_carrier(uplink, 0);
}

static void free_patch(struct pv_uplink_patch *patch)
{
    for (int i = 0; i < 2; i++)
        pv_packet_cache_destroy(patch->caches[i]);
    if (patch->stop_fd >= 0)
        close(patch->stop_fd);
    free(patch);
}

static int start(struct pv_uplink_patch *patch)
{
    patch->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (patch->stop_fd < 0)
        return -errno;
    int status = 0;
    for (int i = 0; i < 2 && status == 0; i++) {
        patch->caches[i] = pv_packet_cache_create(patch->ends[i]->pool);
        status = patch->caches[i] ? connect_end(patch->ends[i]) : -ENOMEM;
    }
    if (status == 0)
        status = -pthread_create(&patch->thread, NULL, run, patch);
    if (status < 0)
        for (int i = 0; i < 2; i++)
            disconnect_end(patch->ends[i]);
    return status;
}

struct pv_uplink_patch *pv_uplink_patch_create(struct pv_uplink *one, struct pv_uplink *other)
{
    if (!takes_all(one) || !takes_all(other)) {
        errno = ENOTSUP;
        return NULL;
    }
    struct pv_uplink_patch *patch = calloc(1, sizeof *patch);
    if (!patch)
        return NULL;
    patch->ends[0] = one;
    patch->ends[1] = other;
    int status = start(patch);
    if (status < 0) {
        free_patch(patch);
        errno = -status;
        return NULL;
    }
    return patch;
}

void pv_uplink_patch_destroy(struct pv_uplink_patch *patch)
{
    if (!patch)
        return;
    eventfd_write(patch->stop_fd, 1);
    pthread_join(patch->thread, NULL);
    for (int i = 0; i < 2; i++) {
        disconnect_end(patch->ends[i]);
        patch->ends[i]->ops->close(patch->ends[i]);
    }
    free_patch(patch);
}
