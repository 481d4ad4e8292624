/* Queues that come and go while a thread drives their group: one that is added is served, whether
 * the thread is busy or asleep, and one that was removed is touched no more. */
#include "pvdrivers/poll/group.h"
#include "tests/backends/vbd/c/loopback.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>

#define QUEUES 8u
#define ROUNDS 300u

/* A loopback with an event channel that is an eventfd and nothing else. */
struct guest {
    struct loopback loop; /* first */
    int fd;
    uint32_t removed; /* not 0: no thread may look at the event channel */
    uint64_t asked, answered;
};

static struct guest guests[QUEUES];
static struct pv_poll_group *group;

static int pending(struct pv_evtchn *handle)
{
    struct guest *guest = (struct guest *)handle;
    eventfd_t count;
    assert(!pv_load_acquire(&guest->removed));
    return eventfd_read(guest->fd, &count) == 0 ? 5 : -EAGAIN;
}

static int unmask(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert(handle && port == 5);
    return 0;
}

static int guest_fd(struct pv_evtchn *handle)
{
    return ((struct guest *)handle)->fd;
}

static void set_up(struct guest *guest)
{
    static struct pv_hypervisor_ops ops;
    ops = fake_ops;
    ops.evtchn_pending = pending;
    ops.evtchn_unmask = unmask;
    ops.evtchn_fd = guest_fd;
    guest->fd = eventfd(0, EFD_NONBLOCK);
    guest->asked = guest->answered = 0;
    loopback_connect_with(&guest->loop, pv_ram_store_create(64, 512), &ops);
}

static void ask(struct guest *guest)
{
    const struct pv_blkif_request request = {.operation = BLKIF_OP_FLUSH_DISKCACHE};
    loopback_put(&guest->loop, &request);
    if (pv_front_push_requests(&guest->loop.front))
        eventfd_write(guest->fd, 1);
    guest->asked++;
}

static void take_answers(struct guest *guest)
{
    struct pv_blkif_response response;
    while (loopback_take(&guest->loop, &response)) {
        assert(response.status == BLKIF_RSP_OKAY);
        guest->answered++;
    }
}

static void wait_for_answers(struct guest *guest)
{
    for (take_answers(guest); guest->answered < guest->asked; take_answers(guest))
        sched_yield();
}

static void *drive(void *unused)
{
    assert(pv_poll_group_run(group) == 0);
    return unused;
}

static void add(struct guest *guest)
{
    pv_store_release(&guest->removed, 0);
    assert(pv_poll_group_add(group, pv_blkback_pollable(guest->loop.back)) == 0);
    assert(pv_poll_group_add(group, pv_blkback_pollable(guest->loop.back)) == -EBUSY);
}

static void remove_from_group(struct guest *guest)
{
    assert(pv_poll_group_remove(group, pv_blkback_pollable(guest->loop.back)) == 0);
    assert(pv_poll_group_remove(group, pv_blkback_pollable(guest->loop.back)) == -ENOENT);
    pv_store_release(&guest->removed, 1);
}

static void test_queues_come_and_go(enum pv_poll_mode mode)
{
    pthread_t thread;
    group = pv_poll_group_create(mode);
    for (unsigned i = 0; i < QUEUES; i++)
        set_up(&guests[i]);
    assert(group && pthread_create(&thread, NULL, drive, NULL) == 0);
    for (unsigned i = 1; i < QUEUES; i++)
        add(&guests[i]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct guest *one = &guests[round % QUEUES], *other = &guests[(round + 1) % QUEUES];
        ask(one); /* in no group, and woken: it is served once it is in one */
        ask(other);
        add(one);
        wait_for_answers(one);
        remove_from_group(other);
        ask(other);
        take_answers(other);
        if (round % 50 == 0)
            usleep(1000); /* long enough to fall asleep, or to answer wrongly */
        uint64_t before = other->answered;
        take_answers(other);
        assert(other->answered == before && before < other->asked);
    }
    pv_poll_group_stop(group);
    assert(pthread_join(thread, NULL) == 0);
    pv_poll_group_destroy(group);
    for (unsigned i = 0; i < QUEUES; i++) {
        assert(guests[i].asked > ROUNDS / QUEUES);
        loopback_close(&guests[i].loop);
        close(guests[i].fd);
    }
}

int main(void)
{
    test_queues_come_and_go(PV_POLL_MODE_EVENT);
    test_queues_come_and_go(PV_POLL_MODE_HYBRID);
    test_queues_come_and_go(PV_POLL_MODE_POLL);
    return 0;
}
