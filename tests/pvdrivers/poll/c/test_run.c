/* The pumping thread at its worst moments: a guest that never stops notifying, and a stop that
 * comes just before a look at the event channels. */
#include "pvdrivers/poll/group.h"
#include "tests/backends/vbd/c/loopback.h"

#include <sys/eventfd.h>

#define ENOUGH 1000u

static unsigned looks;
static uint32_t stop;
static struct loopback loop;

static void ask(void)
{
    const struct pv_blkif_request request = {.operation = BLKIF_OP_FLUSH_DISKCACHE};
    loopback_put(&loop, &request);
    pv_front_push_requests(&loop.front);
}

/* Asks for something beside the noise. */
static int always_pending(struct pv_evtchn *handle)
{
    assert((void *)handle == &loop);
    if (++looks == 1)
        ask();
    assert(looks < ENOUGH); /* what was asked must have been served long before */
    return 5;
}

static int unmask(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert((void *)handle == &loop && port == 5);
    return 0;
}

static int always_readable(struct pv_evtchn *handle)
{
    static int fd = -1;
    assert((void *)handle == &loop);
    if (fd < 0)
        fd = eventfd(1, 0);
    return fd;
}

static int answered(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct pv_blkif_response response;
    assert((void *)handle == &loop && port == 5);
    assert(loopback_take(&loop, &response) && response.status == BLKIF_RSP_OKAY);
    pv_store_release(&stop, 1);
    return 0;
}

/* XSA-332: every look at the event channel finds another event, and the queues are pumped all the
 * same. */
static void test_xsa_332_a_storm_delays_no_queue(void)
{
    struct pv_hypervisor_ops ops = fake_ops;
    ops.evtchn_pending = always_pending;
    ops.evtchn_unmask = unmask;
    ops.evtchn_fd = always_readable;
    ops.evtchn_notify = answered;
    loopback_connect_with(&loop, pv_ram_store_create(64, 512), &ops);
    struct pv_pollable *pollable = pv_blkback_pollable(loop.back);
    assert(pv_poll_run(&pollable, 1, PV_POLL_MODE_EVENT, &stop) == 0);
    loopback_close(&loop);
    close(always_readable((struct pv_evtchn *)&loop));
}

static struct pv_poll_group *group;
static int noise; /* an eventfd */
static unsigned unmasks;

static int pending_once(struct pv_evtchn *handle)
{
    eventfd_t count;
    assert((void *)handle == &loop);
    return eventfd_read(noise, &count) == 0 ? 5 : -EAGAIN;
}

/* At first, more spurious events. The third call is the first step of an iteration, since the
 * unmasking was delayed. */
static int unmask_and_stop(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert((void *)handle == &loop && port == 5);
    if (++unmasks < 3)
        eventfd_write(noise, 1);
    else
        pv_poll_group_stop(group);
    return 0;
}

static int noise_fd(struct pv_evtchn *handle)
{
    assert((void *)handle == &loop);
    return noise;
}

/* The same iteration then takes, with the events, the kick that should end the sleep. */
static void test_a_stop_within_an_iteration_counts(void)
{
    struct pv_hypervisor_ops ops = fake_ops;
    ops.evtchn_pending = pending_once;
    ops.evtchn_unmask = unmask_and_stop;
    ops.evtchn_fd = noise_fd;
    noise = eventfd(1, EFD_NONBLOCK);
    loopback_connect_with(&loop, pv_ram_store_create(64, 512), &ops);
    group = pv_poll_group_create(PV_POLL_MODE_EVENT);
    assert(group && pv_poll_group_add(group, pv_blkback_pollable(loop.back)) == 0);
    alarm(20); /* for a driver that sleeps on */
    assert(pv_poll_group_run(group) == 0);
    alarm(0);
    assert(unmasks == 3);
    pv_poll_group_destroy(group);
    loopback_close(&loop);
    close(noise);
}

int main(void)
{
    test_xsa_332_a_storm_delays_no_queue();
    test_a_stop_within_an_iteration_counts();
    return 0;
}
