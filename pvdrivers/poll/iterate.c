/* One iteration: take the events, pump those awake, let those sleep that have no work. */
#include "pvdrivers/poll/group_private.h"
#include "pvdrivers/poll/window.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#define BUDGET 256              /* requests of one before the next is pumped */
#define EVENTS 64               /* taken at once */
#define DRAIN_INTERVAL 20000u   /* ns a woken one may wait behind busy ones */
#define POLL_WINDOW 10000000u   /* ns: in mode POLL */
#define SPURIOUS_DELAY 1000000u /* ns, doubled with each further one */
#define MAX_DOUBLINGS 10        /* a second */

/* ---- Waking -------------------------------------------------------------------------------- */

/* A delivered port is masked until its member has nothing left to do, so a storm of events costs
 * its sender more than us (XSA-332). A port may fire again at once all the same, so no more events
 * are taken than the handle has ports. */
static void drain_events(struct pv_poll_group *group, struct poll_handle *handle)
{
    int port;
    for (uint32_t left = 2 * handle->users;
         left > 0 && (port = handle->ops->evtchn_pending(handle->evtchn)) >= 0; left--) {
        struct pv_poll_member *member =
            (uint32_t)port < handle->ports ? handle->by_port[port] : NULL;
        if (!member)
            continue;
        member->masked = true;
        if (!member->awake)
            member->spurious++; /* until it turns out to have work */
        poll_member_wake(group, member);
    }
}

static void drain_kick(struct pv_poll_group *group)
{
    eventfd_t kicks;
    eventfd_read(group->kick_fd, &kicks);
    group->kicked = false;
}

static void handle_event(struct pv_poll_group *group, void *data)
{
    struct pv_poll_member *member = poll_event_member(data);
    struct poll_handle *handle = poll_event_handle(data);
    if (member)
        poll_member_wake(group, member);
    else if (handle)
        drain_events(group, handle);
    else
        drain_kick(group);
}

/* Waits for events, at most that long, and handles them. The lock is free meanwhile. When a member
 * was removed, the events may name a freed one, so all are dropped; epoll reports those of the
 * other members again. */
static int wait_events(struct pv_poll_group *group, int timeout_ms, uint64_t now)
{
    struct epoll_event events[EVENTS];
    uint32_t removals = group->removals;
    group->asleep = timeout_ms > 0;
    pthread_mutex_unlock(&group->lock);
    int count = epoll_wait(group->epoll_fd, events, EVENTS, timeout_ms);
    int status = count < 0 && errno != EINTR ? -errno : 0;
    pthread_mutex_lock(&group->lock);
    group->asleep = false;
    for (int i = 0; i < count && removals == group->removals; i++)
        handle_event(group, events[i].data.ptr);
    group->last_drain = now;
    return status;
}

static void unmask(struct pv_poll_member *member)
{
    member->masked = false;
    member->unmask_at = NEVER;
    poll_member_unmask_ports(member);
}

/* Does what is due for sleeping members, and finds the next time. */
static void run_timers(struct pv_poll_group *group, uint64_t now)
{
    if (now < group->next_time)
        return;
    group->next_time = NEVER;
    for (uint32_t i = group->timed.count; i-- > 0;) {
        struct pv_poll_member *member = group->timed.members[i];
        if (member->unmask_at <= now)
            unmask(member);
        if (member->wake_at <= now)
            poll_member_wake(group, member);
        else
            poll_member_set_timer(group, member);
    }
}

/* ---- Work ---------------------------------------------------------------------------------- */

static uint64_t window(const struct pv_poll_group *group, const struct pv_poll_member *member)
{
    return group->mode == PV_POLL_MODE_EVENT  ? 0
           : group->mode == PV_POLL_MODE_POLL ? POLL_WINDOW
                                              : member->window;
}

static void found_work(struct pv_poll_member *member, uint64_t now)
{
    member->window = pv_poll_window_next(member->window, now - member->last_work);
    member->spurious = 0;
    member->last_work = now;
}

/* A second event in a row without work, and all after it, delay the unmasking (XSA-332, XSA-391;
 * Linux's lateeoi does the same): a peer that only sends such events is handled once a second. */
static void finish_event(struct pv_poll_group *group, struct pv_poll_member *member, uint64_t now)
{
    if (member->spurious > 0)
        group->spurious_events++;
    if (member->spurious < 2) {
        unmask(member);
        return;
    }
    uint32_t doublings = member->spurious - 2;
    member->unmask_at =
        now + (SPURIOUS_DELAY << (doublings < MAX_DOUBLINGS ? doublings : MAX_DOUBLINGS));
}

/* False when there is work after all. */
static bool fall_asleep(struct pv_poll_group *group, struct pv_poll_member *member, uint64_t now)
{
    struct pv_pollable *pollable = member->pollable;
    if (pollable->ops->arm(pollable))
        return false;
    member->wake_at = pollable->ops->deadline(pollable);
    if (member->masked)
        finish_event(group, member, now);
    poll_member_sleep(group, member);
    return true;
}

static void yield_to_waiters(struct pv_poll_group *group)
{
    while (pv_read_once(&group->lock_waiters))
        pthread_cond_wait(&group->no_waiters, &group->lock);
}

int poll_group_iterate(struct pv_poll_group *group, uint64_t now)
{
    int worked = 0;
    yield_to_waiters(group);
    run_timers(group, now);
    /* Those awake need no event: their pumps find the work. */
    if (group->awake.count < group->count &&
        (group->awake.count == 0 || now - group->last_drain >= DRAIN_INTERVAL))
        wait_events(group, 0, now);
    for (uint32_t i = 0; i < group->awake.count; yield_to_waiters(group)) {
        struct pv_poll_member *member = group->awake.members[i];
        if (member->pollable->ops->pump(member->pollable, BUDGET, now) > 0) {
            found_work(member, now);
            worked++;
        } else if (now - member->last_work >= window(group, member) &&
                   fall_asleep(group, member, now)) {
            continue; /* another has taken its place */
        }
        i++;
    }
    return worked;
}

int poll_group_wait(struct pv_poll_group *group, uint64_t now, uint32_t max_ms)
{
    uint64_t ms = max_ms;
    if (group->awake.count || group->next_time <= now)
        return 0;
    if (group->next_time != NEVER && (group->next_time - now) / 1000000u + 1 < ms)
        ms = (group->next_time - now) / 1000000u + 1;
    return wait_events(group, (int)ms, now);
}

/* ---- Drivers with a loop of their own ------------------------------------------------------ */

static int begin(struct pv_poll_group *group)
{
    int error = pthread_mutex_lock(&group->lock);
    if (error)
        return -error;
    group->asleep = false;
    if (group->kicked)
        drain_kick(group);
    return 0;
}

/* The loop may sleep until the group's fd is readable. */
static void end(struct pv_poll_group *group)
{
    group->asleep = true;
    pthread_mutex_unlock(&group->lock);
}

int pv_poll_group_iterate(struct pv_poll_group *group, uint64_t now)
{
    int status = begin(group);
    if (status < 0)
        return status;
    int worked = poll_group_iterate(group, now);
    end(group);
    return worked;
}

int pv_poll_group_wait(struct pv_poll_group *group, uint64_t now, uint32_t max_ms)
{
    int status = begin(group);
    if (status < 0)
        return status;
    status = poll_group_wait(group, now, max_ms);
    end(group);
    return status;
}
