/* A pollable with an event channel for each direction is woken by either, and both are unmasked. */
#include "pvdrivers/poll/group.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PORTS 64

static struct {
    int fd, queued[PORTS], count;
    bool masked[PORTS];
} handle;

static unsigned work;

static int evtchn_fd(struct pv_evtchn *self)
{
    (void)self;
    return handle.fd;
}

static int pending(struct pv_evtchn *self)
{
    eventfd_t count;
    (void)self;
    if (handle.count == 0) {
        eventfd_read(handle.fd, &count);
        return -EAGAIN;
    }
    return handle.queued[--handle.count];
}

static int unmask(struct pv_evtchn *self, evtchn_port_t port)
{
    (void)self;
    assert(port == 7 || port == 40);
    handle.masked[port] = false;
    return 0;
}

static void fire(int port)
{
    assert(!handle.masked[port]);
    handle.masked[port] = true;
    handle.queued[handle.count++] = port;
    eventfd_write(handle.fd, 1);
    work++;
}

static int pump(struct pv_pollable *self, uint32_t budget, uint64_t now)
{
    (void)self, (void)budget, (void)now;
    int done = (int)work;
    work = 0;
    return done;
}

static bool arm(struct pv_pollable *self)
{
    (void)self;
    return work > 0;
}

static uint64_t deadline(struct pv_pollable *self)
{
    (void)self;
    return UINT64_MAX;
}

static const struct pv_pollable_ops pollable_ops = {pump, arm, deadline};
static const struct pv_hypervisor_ops hypervisor_ops = {
    .evtchn_fd = evtchn_fd, .evtchn_pending = pending, .evtchn_unmask = unmask};

int main(void)
{
    struct pv_hypervisor hypervisor = {.ops = &hypervisor_ops};
    struct pv_pollable queue = {.ops = &pollable_ops,
                                .hypervisor = &hypervisor,
                                .evtchn = (struct pv_evtchn *)&handle,
                                .port = 7,
                                .second_port = 40,
                                .fd = -1};
    uint64_t now = 1;
    handle.fd = eventfd(0, EFD_NONBLOCK);
    struct pv_poll_group *group = pv_poll_group_create(PV_POLL_MODE_EVENT);
    assert(pv_poll_group_add(group, &queue) == 0);
    pv_poll_group_iterate(group, ++now);
    assert(pv_poll_group_awake(group) == 0);
    const int either[] = {7, 40, 40, 7};
    for (unsigned i = 0; i < 4; i++) {
        fire(either[i]);
        assert(pv_poll_group_wait(group, now, 1000) == 0);
        assert(pv_poll_group_iterate(group, ++now) == 1 && work == 0);
        assert(pv_poll_group_iterate(group, ++now) == 0);
        assert(pv_poll_group_awake(group) == 0 && !handle.masked[7] && !handle.masked[40]);
    }
    fire(7);
    fire(40); /* both before the group looks: one iteration takes both */
    assert(pv_poll_group_wait(group, now, 1000) == 0);
    assert(handle.count == 0);
    pv_poll_group_iterate(group, ++now);
    pv_poll_group_iterate(group, ++now);
    assert(!handle.masked[7] && !handle.masked[40]);
    fire(40);
    assert(pv_poll_group_wait(group, now, 1000) == 0);
    assert(pv_poll_group_remove(group, &queue) == 0); /* with its port masked */
    assert(!handle.masked[40]);
    pv_poll_group_destroy(group);
    close(handle.fd);
    return 0;
}
