/* Who belongs to a group, who of them is awake, and for whom there is a time to wait for. */
#include "pvdrivers/poll/group.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HANDLE_TAG 1u /* in the pointer epoll gives back: a handle, not a member */

int pv_blkback_group_fd(const struct pv_blkback_group *group)
{
    return group->epoll_fd;
}

uint32_t pv_blkback_group_awake(const struct pv_blkback_group *group)
{
    return group->awake.count;
}

/* ---- Who has the lock ------------------------------------------------------------------------ */

void group_enter(struct pv_blkback_group *group)
{
    /* The order does not matter: whoever drives the group looks again and again. */
    __atomic_add_fetch(&group->visitors, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&group->lock);
}

void group_leave(struct pv_blkback_group *group)
{
    if (__atomic_sub_fetch(&group->visitors, 1, __ATOMIC_RELAXED) == 0)
        pthread_cond_signal(&group->alone);
    pthread_mutex_unlock(&group->lock);
}

/* ---- Lists whose members know their place -------------------------------------------------- */

static void forget_times(struct pv_blkback_group *group, struct group_member *member)
{
    if (!member->timed)
        return;
    struct group_member *last = group->timed.members[--group->timed.count];
    group->timed.members[member->timed_place] = last;
    last->timed_place = member->timed_place;
    member->timed = false;
}

void group_keep_times(struct pv_blkback_group *group, struct group_member *member)
{
    uint64_t time = member->unmask_at < member->wake_at ? member->unmask_at : member->wake_at;
    forget_times(group, member);
    if (time == NEVER)
        return;
    if (time < group->next_time)
        group->next_time = time;
    member->timed = true;
    member->timed_place = group->timed.count;
    group->timed.members[group->timed.count++] = member;
}

void group_wake(struct pv_blkback_group *group, struct group_member *member)
{
    if (member->awake)
        return;
    forget_times(group, member);
    member->awake = true;
    member->place = group->awake.count;
    group->awake.members[group->awake.count++] = member;
}

void group_put_to_sleep(struct pv_blkback_group *group, struct group_member *member)
{
    if (!member->awake)
        return;
    struct group_member *last = group->awake.members[--group->awake.count];
    group->awake.members[member->place] = last;
    last->place = member->place;
    member->awake = false;
    group_keep_times(group, member);
}

/* ---- Joining and leaving --------------------------------------------------------------------- */

static int watch(struct pv_blkback_group *group, int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    return epoll_ctl(group->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void unwatch(struct pv_blkback_group *group, int fd)
{
    epoll_ctl(group->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

struct pv_blkback_group *pv_blkback_group_create(enum pv_blkback_mode mode)
{
    struct pv_blkback_group *group = calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->mode = mode;
    group->next_time = NEVER;
    group->asleep = true; /* for all we know */
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->alone, NULL);
    group->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    group->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (group->epoll_fd < 0 || group->kick_fd < 0 || watch(group, group->kick_fd, NULL) < 0) {
        pv_blkback_group_destroy(group);
        return NULL;
    }
    return group;
}

static bool grow(struct member_list *list, uint32_t capacity)
{
    void *members = realloc(list->members, capacity * sizeof list->members[0]);
    if (members)
        list->members = members;
    return members;
}

static int make_room(struct pv_blkback_group *group)
{
    if (group->count < group->capacity)
        return 0;
    uint32_t capacity = group->capacity ? 2 * group->capacity : 16;
    if (!grow(&group->awake, capacity) || !grow(&group->timed, capacity))
        return -ENOMEM;
    group->capacity = capacity;
    return 0;
}

static void let_go(struct pv_blkback_group *group, struct group_handle *handle)
{
    if (--handle->users > 0)
        return;
    struct group_handle **link = &group->handles;
    while (*link != handle)
        link = &(*link)->next;
    *link = handle->next;
    unwatch(group, handle->ops->evtchn_fd(handle->evtchn));
    free(handle->by_port);
    free(handle);
}

static struct group_handle *new_handle(struct pv_blkback_group *group,
                                       const struct pv_blkback_queue *queue)
{
    struct group_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return NULL;
    handle->evtchn = queue->evtchn;
    handle->ops = queue->hypervisor->ops;
    int fd = handle->ops->evtchn_fd(handle->evtchn);
    if (watch(group, fd, (void *)((uintptr_t)handle | HANDLE_TAG)) < 0) {
        free(handle);
        return NULL;
    }
    handle->next = group->handles;
    group->handles = handle;
    return handle;
}

/* The handle of a queue's port, one more user's. A device's queues come one after the other, so a
 * handle they share is at the front. */
static struct group_handle *take_handle(struct pv_blkback_group *group,
                                        const struct pv_blkback_queue *queue)
{
    struct group_handle *handle = new_handle(group, queue);
    if (!handle && errno == EEXIST) {
        handle = group->handles;
        while (handle && handle->evtchn != queue->evtchn)
            handle = handle->next;
    }
    if (handle)
        handle->users++;
    return handle;
}

struct group_member *group_event_member(void *data)
{
    return (uintptr_t)data & HANDLE_TAG ? NULL : data;
}

struct group_handle *group_event_handle(void *data)
{
    return (uintptr_t)data & HANDLE_TAG ? (void *)((uintptr_t)data & ~(uintptr_t)HANDLE_TAG) : NULL;
}

static int note_port(struct group_handle *handle, struct group_member *member)
{
    evtchn_port_t port = member->queue->port;
    if (port >= handle->ports) {
        uint32_t ports = 2 * port + 16;
        struct group_member **by_port = realloc(handle->by_port, ports * sizeof(void *));
        if (!by_port)
            return -ENOMEM;
        memset(by_port + handle->ports, 0, (ports - handle->ports) * sizeof(void *));
        handle->by_port = by_port;
        handle->ports = ports;
    }
    handle->by_port[port] = member;
    return 0;
}

static void insert(struct pv_blkback_group *group, struct group_member *member)
{
    member->next = group->all;
    member->link = &group->all;
    if (group->all)
        group->all->link = &member->next;
    group->all = member;
    member->queue->member = member;
    group->count++;
}

static int add(struct pv_blkback_group *group, struct pv_blkback_queue *queue)
{
    int status = queue->member ? -EBUSY : make_room(group);
    if (status < 0)
        return status;
    struct group_member *member = calloc(1, sizeof *member);
    if (!member)
        return -ENOMEM;
    /* Masked, as far as we know: its port may have been heard by whoever had it before. */
    *member =
        (struct group_member){.queue = queue, .masked = true, .unmask_at = NEVER, .wake_at = NEVER};
    errno = 0;
    member->handle = take_handle(group, queue);
    if (!member->handle) {
        free(member);
        return errno ? -errno : -ENOMEM;
    }
    status = watch(group, queue->fd, member);
    if (status == 0 && (status = note_port(member->handle, member)) < 0)
        unwatch(group, queue->fd);
    if (status < 0) {
        let_go(group, member->handle);
        free(member);
        return status;
    }
    insert(group, member);
    group_wake(group, member);
    if (group->asleep && !group->kicked) {
        group->kicked = true;
        eventfd_write(group->kick_fd, 1); /* there is somebody awake to be pumped */
    }
    return 0;
}

int pv_blkback_group_add(struct pv_blkback_group *group, struct pv_blkback_queue *queue)
{
    group_enter(group);
    int status = add(group, queue);
    group_leave(group);
    return status;
}

static int remove_member(struct pv_blkback_group *group, struct pv_blkback_queue *queue)
{
    struct group_member *member = queue->member;
    if (!member)
        return -ENOENT;
    group->changes++;          /* the driver may have heard of it, and not looked at it yet */
    group_wake(group, member); /* off the list of the timed */
    member->unmask_at = member->wake_at = NEVER;
    group_put_to_sleep(group, member);
    unwatch(group, queue->fd);
    member->handle->by_port[queue->port] = NULL;
    if (member->masked)
        member->handle->ops->evtchn_unmask(member->handle->evtchn, queue->port);
    let_go(group, member->handle);
    *member->link = member->next;
    if (member->next)
        member->next->link = member->link;
    queue->member = NULL;
    group->count--;
    free(member);
    return 0;
}

int pv_blkback_group_remove(struct pv_blkback_group *group, struct pv_blkback_queue *queue)
{
    group_enter(group);
    int status = remove_member(group, queue);
    group_leave(group);
    return status;
}

void pv_blkback_group_visit(struct pv_blkback_group *group)
{
    group_enter(group);
    group_leave(group);
}

void pv_blkback_group_destroy(struct pv_blkback_group *group)
{
    if (!group)
        return;
    while (group->all)
        pv_blkback_group_remove(group, group->all->queue);
    if (group->kick_fd >= 0)
        close(group->kick_fd);
    if (group->epoll_fd >= 0)
        close(group->epoll_fd);
    pthread_mutex_destroy(&group->lock);
    pthread_cond_destroy(&group->alone);
    free(group->awake.members);
    free(group->timed.members);
    free(group);
}
