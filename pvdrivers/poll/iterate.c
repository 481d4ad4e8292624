/* A group's turn: hear who was woken, pump who is awake, let those sleep that have no work. */
#include "pvdrivers/poll/group.h"
#include "pvdrivers/poll/window.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#define BUDGET 256              /* requests of a queue before the others have their turn */
#define EVENTS 64               /* wake-ups heard at once */
#define LOOK_INTERVAL 20000u    /* ns a woken queue may wait behind busy ones */
#define POLL_LINGER 10000000u   /* ns: in mode POLL */
#define SPURIOUS_DELAY 1000000u /* ns, twice as long with each more */
#define MOST_DOUBLINGS 10       /* a second */

/* ---- Waking -------------------------------------------------------------------------------- */

/* A delivered port is masked until its queue has nothing left to do, so a storm of events costs
 * its sender more than us (XSA-332). A port may fire again at once all the same, so no more are
 * taken than there are queues. */
static void hear(struct pv_blkback_group *group, struct group_handle *handle)
{
    int port;
    for (uint32_t left = handle->users;
         left > 0 && (port = handle->ops->evtchn_pending(handle->evtchn)) >= 0; left--) {
        struct group_member *member = (uint32_t)port < handle->ports ? handle->by_port[port] : NULL;
        if (!member)
            continue;
        member->masked = true;
        if (!member->awake)
            member->spurious++; /* until it turns out to have work */
        group_wake(group, member);
    }
}

static void hear_kick(struct pv_blkback_group *group)
{
    eventfd_t kicks;
    eventfd_read(group->kick_fd, &kicks);
    group->kicked = false;
}

static void hear_one(struct pv_blkback_group *group, void *data)
{
    struct group_member *member = group_event_member(data);
    struct group_handle *handle = group_event_handle(data);
    if (member)
        group_wake(group, member);
    else if (handle)
        hear(group, handle);
    else
        hear_kick(group);
}

/* Waits for wake-ups at most so long, and hears them. Visitors come and go meanwhile: if one has
 * taken a queue away, the events may speak of what is no more. The others are told again. */
static int listen(struct pv_blkback_group *group, int timeout_ms, uint64_t now)
{
    struct epoll_event events[EVENTS];
    uint32_t changes = group->changes;
    group->asleep = timeout_ms > 0;
    pthread_mutex_unlock(&group->lock);
    int count = epoll_wait(group->epoll_fd, events, EVENTS, timeout_ms);
    int status = count < 0 && errno != EINTR ? -errno : 0;
    pthread_mutex_lock(&group->lock);
    group->asleep = false;
    for (int i = 0; i < count && changes == group->changes; i++)
        hear_one(group, events[i].data.ptr);
    group->last_look = now;
    return status;
}

static void unmask(struct group_member *member)
{
    member->masked = false;
    member->unmask_at = NEVER;
    member->handle->ops->evtchn_unmask(member->handle->evtchn, member->queue->port);
}

/* Does what is due for sleeping queues, and finds when to look again. */
static void keep_time(struct pv_blkback_group *group, uint64_t now)
{
    if (now < group->next_time)
        return;
    group->next_time = NEVER;
    for (uint32_t i = group->timed.count; i-- > 0;) {
        struct group_member *member = group->timed.members[i];
        if (member->unmask_at <= now)
            unmask(member);
        if (member->wake_at <= now)
            group_wake(group, member);
        else
            group_keep_times(group, member);
    }
}

/* ---- Work ---------------------------------------------------------------------------------- */

static uint64_t linger(const struct pv_blkback_group *group, const struct group_member *member)
{
    return group->mode == PV_BLKBACK_EVENT  ? 0
           : group->mode == PV_BLKBACK_POLL ? POLL_LINGER
                                            : member->linger;
}

static void found_work(struct group_member *member, uint64_t now)
{
    member->linger = pv_linger_next(member->linger, now - member->last_work);
    member->spurious = 0;
    member->last_work = now;
}

/* True when there was something to do after all. */
static bool fall_asleep(struct pv_blkback_group *group, struct group_member *member, uint64_t now)
{
    struct pv_blkback_queue *queue = member->queue;
    if (pv_blkback_arm(queue))
        return true;
    member->wake_at = queue->deadline;
    if (member->masked && member->spurious > 1) {
        uint32_t doublings = member->spurious - 2;
        member->unmask_at =
            now + (SPURIOUS_DELAY << (doublings < MOST_DOUBLINGS ? doublings : MOST_DOUBLINGS));
    } else if (member->masked) {
        unmask(member);
    }
    group_put_to_sleep(group, member);
    return false;
}

static void let_visitors_in(struct pv_blkback_group *group)
{
    while (pv_read_once(&group->visitors))
        pthread_cond_wait(&group->alone, &group->lock);
}

int group_turn(struct pv_blkback_group *group, uint64_t now)
{
    int worked = 0;
    let_visitors_in(group);
    keep_time(group, now);
    /* Those awake need no wake-up: what their stores finish is found by their pumps. */
    if (group->awake.count < group->count &&
        (group->awake.count == 0 || now - group->last_look >= LOOK_INTERVAL))
        listen(group, 0, now);
    for (uint32_t i = 0; i < group->awake.count; let_visitors_in(group)) {
        struct group_member *member = group->awake.members[i];
        if (pv_blkback_pump(member->queue, BUDGET, now) > 0) {
            found_work(member, now);
            worked++;
        } else if (now - member->last_work >= linger(group, member) &&
                   !fall_asleep(group, member, now)) {
            continue; /* another has taken its place */
        }
        i++;
    }
    return worked;
}

int group_wait(struct pv_blkback_group *group, uint64_t now, uint32_t most_ms)
{
    uint64_t ms = most_ms;
    if (group->awake.count || group->next_time <= now)
        return 0;
    if (group->next_time != NEVER && (group->next_time - now) / 1000000u + 1 < ms)
        ms = (group->next_time - now) / 1000000u + 1;
    return listen(group, (int)ms, now);
}

/* ---- Drivers with a loop of their own ------------------------------------------------------ */

static void begin(struct pv_blkback_group *group)
{
    pthread_mutex_lock(&group->lock);
    group->asleep = false;
    if (group->kicked)
        hear_kick(group);
}

/* The loop may sleep until the group's fd is readable. */
static void end(struct pv_blkback_group *group)
{
    group->asleep = true;
    pthread_mutex_unlock(&group->lock);
}

int pv_blkback_group_turn(struct pv_blkback_group *group, uint64_t now)
{
    begin(group);
    int worked = group_turn(group, now);
    end(group);
    return worked;
}

int pv_blkback_group_wait(struct pv_blkback_group *group, uint64_t now, uint32_t most_ms)
{
    begin(group);
    int status = group_wait(group, now, most_ms);
    end(group);
    return status;
}
