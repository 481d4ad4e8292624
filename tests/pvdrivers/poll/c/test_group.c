/* Who a group pumps and who it leaves alone, in virtual time: more queues than a page of pointers
 * would hold, each a loopback with an event channel handle of its own. */
#include "pvdrivers/poll/group.h"
#include "tests/backends/vbd/c/loopback.h"

#include <sys/eventfd.h>

#define QUEUES 300u
#define MS 1000000u

/* A loopback whose event channel can fire, and is masked until unmasked, as a real one. */
struct noisy {
    struct loopback loop; /* first */
    int fd;
    bool fired, masked;
    unsigned unmasks;
};

static struct noisy noisy[QUEUES];
static uint64_t now;

static int pending(struct pv_evtchn *handle)
{
    struct noisy *self = (struct noisy *)handle;
    eventfd_t count;
    eventfd_read(self->fd, &count);
    if (!self->fired || self->masked)
        return -EAGAIN;
    self->fired = false;
    self->masked = true;
    return 5;
}

static int unmask(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct noisy *self = (struct noisy *)handle;
    assert(port == 5);
    self->masked = false;
    self->unmasks++;
    if (self->fired)
        eventfd_write(self->fd, 1);
    return 0;
}

static int noisy_fd(struct pv_evtchn *handle)
{
    return ((struct noisy *)handle)->fd;
}

static void fire(struct noisy *self)
{
    self->fired = true;
    if (!self->masked)
        eventfd_write(self->fd, 1);
}

static void set_up(struct noisy *self, struct pv_blk_store *store)
{
    static struct pv_hypervisor_ops ops;
    ops = fake_ops;
    ops.evtchn_pending = pending;
    ops.evtchn_unmask = unmask;
    ops.evtchn_fd = noisy_fd;
    self->fd = eventfd(0, EFD_NONBLOCK);
    self->fired = self->masked = false;
    self->unmasks = 0;
    loopback_connect_with(&self->loop, store, &ops);
}

static void tear_down(struct noisy *self)
{
    loopback_close(&self->loop);
    close(self->fd);
}

static void ask(struct noisy *self)
{
    const struct pv_blkif_request request = {.operation = BLKIF_OP_FLUSH_DISKCACHE};
    loopback_put(&self->loop, &request);
    if (pv_front_push_requests(&self->loop.front))
        fire(self);
}

static bool answered(struct noisy *self)
{
    struct pv_blkif_response response;
    return loopback_take(&self->loop, &response) && response.status == BLKIF_RSP_OKAY;
}

static struct pv_poll_group *gather(enum pv_poll_mode mode, unsigned count)
{
    struct pv_poll_group *group = pv_poll_group_create(mode);
    assert(group);
    for (unsigned i = 0; i < count; i++)
        assert(pv_poll_group_add(group, pv_blkback_pollable(noisy[i].loop.back)) == 0);
    assert(pv_poll_group_add(group, pv_blkback_pollable(noisy[0].loop.back)) == -EBUSY);
    assert(pv_poll_group_awake(group) == count);
    return group;
}

static void test_only_a_woken_queue_is_awake(void)
{
    for (unsigned i = 0; i < QUEUES; i++)
        set_up(&noisy[i], pv_ram_store_create(64, 512));
    struct pv_poll_group *group = gather(PV_POLL_MODE_EVENT, QUEUES);
    assert(pv_poll_group_iterate(group, ++now) == 0);
    assert(pv_poll_group_awake(group) == 0);
    for (unsigned round = 0; round < 1000; round++) {
        struct noisy *one = &noisy[round * 7 % QUEUES], *two = &noisy[round * 13 % QUEUES];
        ask(one);
        if (one != two)
            ask(two);
        assert(pv_poll_group_wait(group, now, 1000) == 0);
        assert(pv_poll_group_iterate(group, ++now) == 1 + (one != two));
        assert(answered(one) && (one == two || answered(two)));
        assert(pv_poll_group_awake(group) == 1u + (one != two));
        assert(pv_poll_group_iterate(group, ++now) == 0);
        assert(pv_poll_group_awake(group) == 0 && !one->masked);
    }
    assert(pv_poll_group_remove(group, pv_blkback_pollable(noisy[3].loop.back)) == 0);
    assert(pv_poll_group_remove(group, pv_blkback_pollable(noisy[3].loop.back)) == -ENOENT);
    ask(&noisy[3]);
    assert(pv_poll_group_iterate(group, ++now) == 0 && !answered(&noisy[3]));
    pv_poll_group_destroy(group);
    for (unsigned i = 0; i < QUEUES; i++)
        tear_down(&noisy[i]);
}

static void test_a_busy_queue_delays_no_other(void)
{
    set_up(&noisy[0], pv_ram_store_create(64, 512));
    set_up(&noisy[1], pv_ram_store_create(64, 512));
    struct pv_poll_group *group = gather(PV_POLL_MODE_POLL, 2);
    pv_poll_group_iterate(group, now);
    now += 100 * MS; /* idle for longer than any poll window */
    pv_poll_group_iterate(group, now);
    assert(pv_poll_group_awake(group) == 0);
    ask(&noisy[1]);
    unsigned turns = 0;
    for (ask(&noisy[0]); !answered(&noisy[1]); turns++) {
        assert(turns < 100);
        pv_poll_group_iterate(group, now += 1000);
        if (answered(&noisy[0]))
            ask(&noisy[0]);
    }
    while (!answered(&noisy[0]))
        pv_poll_group_iterate(group, now += 1000);
    pv_poll_group_destroy(group);
    tear_down(&noisy[0]);
    tear_down(&noisy[1]);
}

static void fill_ring(struct noisy *self)
{
    struct pv_blkif_request request = {
        .operation = BLKIF_OP_READ, .nr_segments = 1, .seg = {{.gref = 50, .last_sect = 7}}};
    while (pv_front_free_requests(&self->loop.front))
        loopback_put(&self->loop, &request);
    if (pv_front_push_requests(&self->loop.front))
        fire(self);
}

/* A hundred guests that always have more to ask are served alike, at any moment. */
static void test_equal_guests_get_equal_shares(void)
{
    enum { GUESTS = 100 };
    uint64_t served[GUESTS] = {0};
    for (unsigned i = 0; i < GUESTS; i++)
        set_up(&noisy[i], pv_ram_store_create(64, 512));
    struct pv_poll_group *group = gather(PV_POLL_MODE_HYBRID, GUESTS);
    for (unsigned iteration = 0; iteration < 100; iteration++) {
        for (unsigned i = 0; i < GUESTS; i++)
            fill_ring(&noisy[i]);
        pv_poll_group_iterate(group, now += 1000);
        for (unsigned i = 0; i < GUESTS; i++)
            while (answered(&noisy[i]))
                served[i]++;
        for (unsigned i = 0; i < GUESTS; i++)
            assert(served[i] == (iteration + 1) * 32);
    }
    pv_poll_group_destroy(group);
    for (unsigned i = 0; i < GUESTS; i++)
        tear_down(&noisy[i]);
}

/* Events without work are unmasked later and later; one with work resets that. */
static void test_spurious_events_are_unmasked_later_and_later(void)
{
    set_up(&noisy[0], pv_ram_store_create(64, 512));
    struct pv_poll_group *group = gather(PV_POLL_MODE_EVENT, 1);
    pv_poll_group_iterate(group, now);
    noisy[0].unmasks = 0;
    for (unsigned ms = 0; ms < 10000; ms++) {
        fire(&noisy[0]);
        for (unsigned i = 0; i < 3; i++)
            pv_poll_group_iterate(group, now += MS / 3);
        now++;
    }
    assert(noisy[0].unmasks > 10 && noisy[0].unmasks < 30);
    ask(&noisy[0]);
    for (unsigned ms = 0; ms < 1100 && noisy[0].masked; ms++)
        pv_poll_group_iterate(group, now += MS);
    for (unsigned i = 0; i < 3; i++)
        pv_poll_group_iterate(group, now += 1);
    assert(answered(&noisy[0]) && !noisy[0].masked);
    pv_poll_group_destroy(group);
    tear_down(&noisy[0]);
}

/* In mode HYBRID a queue whose work comes soon stays awake until then; one whose work comes late
 * goes to sleep at once. */
static void test_the_poll_window_follows_the_waits(void)
{
    set_up(&noisy[0], pv_ram_store_create(64, 512));
    struct pv_poll_group *group = gather(PV_POLL_MODE_HYBRID, 1);
    for (unsigned round = 0; round < 10; round++) {
        ask(&noisy[0]);
        pv_poll_group_iterate(group, now += MS / 20);
        assert(answered(&noisy[0]));
        pv_poll_group_iterate(group, now += MS / 40);
    }
    assert(pv_poll_group_awake(group) == 1);
    for (unsigned round = 0; round < 20; round++) {
        pv_poll_group_iterate(group, now += 10 * MS);
        ask(&noisy[0]);
        pv_poll_group_iterate(group, now);
        assert(answered(&noisy[0]));
    }
    pv_poll_group_iterate(group, ++now);
    assert(pv_poll_group_awake(group) == 0);
    pv_poll_group_destroy(group);
    tear_down(&noisy[0]);
}

static void test_a_store_wakes_its_queue(void)
{
    const struct pv_blk_geometry geometry = {.sectors = 64, .sector_size = 512, .can_flush = true};
    struct pv_blk_io *io;
    set_up(&noisy[0], pv_external_store_create(&geometry));
    set_up(&noisy[1], pv_delay_filter_create(pv_ram_store_create(64, 512), 1, 5 * MS, 0, ~0u));
    struct pv_poll_group *group = gather(PV_POLL_MODE_EVENT, 2);
    ask(&noisy[0]);
    ask(&noisy[1]);
    pv_poll_group_iterate(group, now);
    pv_poll_group_iterate(group, now);
    assert(pv_poll_group_awake(group) == 0);
    assert(pv_external_store_take(noisy[0].loop.store, &io, 1) == 1);
    io->status = 0;
    pv_external_store_finish(noisy[0].loop.store, &io, 1);
    pv_poll_group_iterate(group, ++now);
    assert(answered(&noisy[0]) && !answered(&noisy[1]));
    pv_poll_group_iterate(group, ++now);
    pv_poll_group_iterate(group, now += 4 * MS);
    assert(!answered(&noisy[1]));
    pv_poll_group_iterate(group, now += 2 * MS);
    assert(answered(&noisy[1]));
    pv_poll_group_destroy(group);
    tear_down(&noisy[0]);
    tear_down(&noisy[1]);
}

/* Each store operation of a barrier is delayed, and the queue sleeps until each is due. */
static void test_delayed_steps_of_a_barrier(enum pv_poll_mode mode)
{
    const struct pv_blkif_request barrier = {.operation = BLKIF_OP_WRITE_BARRIER,
                                             .nr_segments = 1,
                                             .seg = {{.gref = 50, .last_sect = 7}}};
    set_up(&noisy[0], pv_delay_filter_create(pv_ram_store_create(64, 512), 1, 5 * MS, 0, ~0u));
    struct pv_poll_group *group = gather(mode, 1);
    pv_poll_group_iterate(group, now += 100 * MS);
    loopback_put(&noisy[0].loop, &barrier);
    if (pv_front_push_requests(&noisy[0].loop.front))
        fire(&noisy[0]);
    unsigned ms = 0;
    for (; !answered(&noisy[0]); ms++) {
        assert(ms < 100);
        pv_poll_group_iterate(group, now += MS / 2);
        pv_poll_group_iterate(group, now += MS / 2);
    }
    assert(ms > 14 && pv_poll_group_remove(group, pv_blkback_pollable(noisy[0].loop.back)) == 0);
    pv_poll_group_destroy(group);
    tear_down(&noisy[0]);
}

/* Its event was taken before it was in a group, and its port never unmasked. */
static void test_a_masked_queue_joins(void)
{
    set_up(&noisy[0], pv_ram_store_create(64, 512));
    fire(&noisy[0]);
    assert(pending((struct pv_evtchn *)&noisy[0]) == 5 && noisy[0].masked);
    struct pv_poll_group *group = gather(PV_POLL_MODE_EVENT, 1);
    pv_poll_group_iterate(group, ++now);
    assert(pv_poll_group_awake(group) == 0);
    ask(&noisy[0]);
    pv_poll_group_iterate(group, ++now);
    assert(answered(&noisy[0]));
    pv_poll_group_destroy(group);
    tear_down(&noisy[0]);
}

/* A queue that another thread adds wakes a loop that sleeps on the group's fd. */
static void test_a_loop_is_woken_by_a_queue_that_is_added(void)
{
    set_up(&noisy[0], pv_ram_store_create(64, 512));
    struct pv_poll_group *group = pv_poll_group_create(PV_POLL_MODE_EVENT);
    for (unsigned round = 0; round < 3; round++) {
        assert(pv_poll_group_iterate(group, ++now) == 0 && !is_readable(pv_poll_group_fd(group)));
        assert(pv_poll_group_add(group, pv_blkback_pollable(noisy[0].loop.back)) == 0);
        assert(is_readable(pv_poll_group_fd(group)));
        for (unsigned i = 0; i < round; i++) {
            pv_poll_group_iterate(group, ++now);
            assert(!is_readable(pv_poll_group_fd(group)));
        }
        assert(pv_poll_group_remove(group, pv_blkback_pollable(noisy[0].loop.back)) == 0);
    }
    pv_poll_group_destroy(group);
    tear_down(&noisy[0]);
}

int main(void)
{
    test_only_a_woken_queue_is_awake();
    test_a_busy_queue_delays_no_other();
    test_equal_guests_get_equal_shares();
    test_spurious_events_are_unmasked_later_and_later();
    test_the_poll_window_follows_the_waits();
    test_a_store_wakes_its_queue();
    test_delayed_steps_of_a_barrier(PV_POLL_MODE_EVENT);
    test_delayed_steps_of_a_barrier(PV_POLL_MODE_HYBRID);
    test_a_masked_queue_joins();
    test_a_loop_is_woken_by_a_queue_that_is_added();
    return 0;
}
