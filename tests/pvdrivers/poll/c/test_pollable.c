/* What a group asks of a pollable, and nothing of a device class: these have a counter of work to
 * be done, and two of them share an event channel handle. */
#include "pvdrivers/poll/group.h"

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PORTS 2u
#define MS 1000000u

/* An event channel handle whose ports fire when a test says so. */
static struct {
    int fd;
    bool fired[PORTS], masked[PORTS];
} channels;

struct counter {
    struct pv_pollable pollable; /* first */
    int work;                    /* to be done, or a negative errno: broken */
    bool arms;                   /* else the next arm finds that there is work, once */
    uint64_t due;
    unsigned pumps;
    uint32_t budget;
};

static struct counter counters[PORTS];
static struct pv_poll_group *group;
static uint64_t now;

static int channels_fd(struct pv_evtchn *handle)
{
    assert((void *)handle == &channels);
    return channels.fd;
}

static int pending(struct pv_evtchn *handle)
{
    eventfd_t count;
    assert((void *)handle == &channels);
    eventfd_read(channels.fd, &count);
    for (int port = 0; port < (int)PORTS; port++)
        if (channels.fired[port] && !channels.masked[port]) {
            channels.fired[port] = false;
            channels.masked[port] = true;
            return port;
        }
    return -EAGAIN;
}

static int unmask(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert((void *)handle == &channels && port < PORTS);
    channels.masked[port] = false;
    if (channels.fired[port])
        eventfd_write(channels.fd, 1);
    return 0;
}

static void fire(unsigned port)
{
    channels.fired[port] = true;
    if (!channels.masked[port])
        eventfd_write(channels.fd, 1);
}

static int pump(struct pv_pollable *pollable, uint32_t budget, uint64_t at)
{
    struct counter *counter = (struct counter *)pollable;
    assert(at == now);
    counter->pumps++;
    counter->budget = budget;
    int work = counter->work;
    if (work > 0)
        counter->work = 0;
    return work;
}

static bool arm(struct pv_pollable *pollable)
{
    struct counter *counter = (struct counter *)pollable;
    bool finds_work = !counter->arms;
    counter->arms = true;
    return finds_work;
}

static uint64_t deadline(struct pv_pollable *pollable)
{
    return ((struct counter *)pollable)->due;
}

static void set_up(enum pv_poll_mode mode)
{
    static const struct pv_hypervisor_ops hypervisor_ops = {
        .evtchn_fd = channels_fd, .evtchn_pending = pending, .evtchn_unmask = unmask};
    static struct pv_hypervisor hypervisor = {.ops = &hypervisor_ops};
    static const struct pv_pollable_ops ops = {.pump = pump, .arm = arm, .deadline = deadline};
    memset(&channels, 0, sizeof channels);
    channels.fd = eventfd(0, EFD_NONBLOCK);
    group = pv_poll_group_create(mode);
    assert(group);
    for (unsigned i = 0; i < PORTS; i++) {
        counters[i] = (struct counter){.pollable = {.ops = &ops,
                                                    .hypervisor = &hypervisor,
                                                    .evtchn = (struct pv_evtchn *)&channels,
                                                    .port = i,
                                                    .fd = -1},
                                       .arms = true,
                                       .due = UINT64_MAX};
        assert(pv_poll_group_add(group, &counters[i].pollable) == 0);
    }
    assert(pv_poll_group_awake(group) == PORTS);
}

static void tear_down(void)
{
    pv_poll_group_destroy(group);
    close(channels.fd);
    for (unsigned i = 0; i < PORTS; i++)
        assert(!channels.masked[i]);
}

static int iterate(uint64_t later)
{
    now += later;
    return pv_poll_group_iterate(group, now);
}

static void test_an_event_wakes_its_own(void)
{
    set_up(PV_POLL_MODE_EVENT);
    assert(iterate(1) == 0 && pv_poll_group_awake(group) == 0);
    for (unsigned round = 0; round < 10; round++) {
        struct counter *woken = &counters[round % PORTS], *other = &counters[(round + 1) % PORTS];
        unsigned before = other->pumps;
        woken->work = 1;
        fire(round % PORTS);
        assert(iterate(1) == 1 && woken->work == 0 && woken->budget > 0);
        assert(other->pumps == before && pv_poll_group_awake(group) == 1);
        assert(iterate(1) == 0 && pv_poll_group_awake(group) == 0);
    }
    assert(pv_poll_group_spurious_events(group) == 0);
    tear_down();
}

static void test_work_found_by_the_arm_is_done(void)
{
    set_up(PV_POLL_MODE_EVENT);
    counters[0].arms = false;
    iterate(1);
    assert(pv_poll_group_awake(group) == 1);
    counters[0].work = 1;
    assert(iterate(1) == 1);
    tear_down();
}

static void test_a_deadline_wakes(void)
{
    set_up(PV_POLL_MODE_EVENT);
    assert(pv_poll_group_deadline(group) == UINT64_MAX);
    uint64_t due = counters[1].due = now + 5 * MS;
    iterate(1);
    assert(pv_poll_group_awake(group) == 0 && pv_poll_group_deadline(group) == due);
    counters[1].work = 1;
    counters[1].due = UINT64_MAX;
    assert(iterate(due - now - 1) == 0);
    assert(iterate(1) == 1 && counters[0].pumps == 1);
    iterate(1);
    assert(pv_poll_group_deadline(group) == UINT64_MAX);
    tear_down();
}

/* It sleeps however often it is called, and the other is served. */
static void test_a_broken_one_delays_no_other(void)
{
    set_up(PV_POLL_MODE_EVENT);
    counters[0].work = -EPROTO;
    iterate(1);
    for (unsigned round = 0; round < 100; round++) {
        fire(0);
        fire(1);
        counters[1].work = 1;
        assert(iterate(MS) == 1);
        iterate(MS);
    }
    assert(pv_poll_group_awake(group) == 0 && counters[0].pumps < 20);
    assert(pv_poll_group_spurious_events(group) > 5);
    tear_down();
}

static int results[4];

static int pump_and_meddle(struct pv_pollable *pollable, uint32_t budget, uint64_t at)
{
    results[0] = pv_poll_group_remove(group, pollable);
    results[1] = pv_poll_group_add(group, pollable);
    results[2] = pv_poll_group_iterate(group, at);
    results[3] = pv_poll_group_wait(group, at, 0);
    return budget > 0;
}

/* It would wait for itself. */
static void test_a_pump_cannot_change_its_group(void)
{
    static const struct pv_pollable_ops meddling = {
        .pump = pump_and_meddle, .arm = arm, .deadline = deadline};
    set_up(PV_POLL_MODE_EVENT);
    counters[0].pollable.ops = &meddling;
    assert(iterate(1) == 1);
    for (unsigned i = 0; i < 4; i++)
        assert(results[i] == -EDEADLK);
    assert(pv_poll_group_remove(group, &counters[0].pollable) == 0);
    assert(iterate(1) == 0);
    tear_down();
}

int main(void)
{
    test_an_event_wakes_its_own();
    test_work_found_by_the_arm_is_done();
    test_a_deadline_wakes();
    test_a_broken_one_delays_no_other();
    test_a_pump_cannot_change_its_group();
    return 0;
}
