/* Joining a group and leaving it: a member, its event channel handle and what epoll watches. */
#include "pvdrivers/poll/group_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define HANDLE_TAG 1u /* in the pointer epoll gives back: a handle, not a member */

struct pv_poll_member *poll_event_member(void *data)
{
    return (uintptr_t)data & HANDLE_TAG ? NULL : data;
}

struct poll_handle *poll_event_handle(void *data)
{
    return (uintptr_t)data & HANDLE_TAG ? (void *)((uintptr_t)data & ~(uintptr_t)HANDLE_TAG) : NULL;
}

/* ---- Event channel handles ----------------------------------------------------------------- */

static struct poll_handle *new_handle(struct pv_poll_group *group,
                                      const struct pv_pollable *pollable)
{
    struct poll_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return NULL;
    handle->evtchn = pollable->evtchn;
    handle->ops = pollable->hypervisor->ops;
    int fd = handle->ops->evtchn_fd(handle->evtchn);
    if (poll_group_watch(group, fd, (void *)((uintptr_t)handle | HANDLE_TAG)) < 0) {
        free(handle);
        return NULL;
    }
    handle->next = group->handles;
    group->handles = handle;
    return handle;
}

/* A pollable's handle, with one user more. A device's queues come one after the other, so a handle
 * they share is at the front. */
static struct poll_handle *acquire_handle(struct pv_poll_group *group,
                                          const struct pv_pollable *pollable)
{
    struct poll_handle *handle = new_handle(group, pollable);
    if (!handle && errno == EEXIST) {
        handle = group->handles;
        while (handle && handle->evtchn != pollable->evtchn)
            handle = handle->next;
    }
    if (handle)
        handle->users++;
    return handle;
}

static void release_handle(struct pv_poll_group *group, struct poll_handle *handle)
{
    if (--handle->users > 0)
        return;
    struct poll_handle **link = &group->handles;
    while (*link != handle)
        link = &(*link)->next;
    *link = handle->next;
    poll_group_unwatch(group, handle->ops->evtchn_fd(handle->evtchn));
    free(handle->by_port);
    free(handle);
}

void poll_member_unmask_ports(const struct pv_poll_member *member)
{
    const struct pv_pollable *pollable = member->pollable;
    const struct poll_handle *handle = member->handle;
    handle->ops->evtchn_unmask(handle->evtchn, pollable->port);
    if (pollable->second_port)
        handle->ops->evtchn_unmask(handle->evtchn, pollable->second_port);
}

static int map_port(struct poll_handle *handle, struct pv_poll_member *member, evtchn_port_t port)
{
    if (port >= handle->ports) {
        uint32_t ports = 2 * port + 16;
        struct pv_poll_member **by_port = realloc(handle->by_port, ports * sizeof(void *));
        if (!by_port)
            return -ENOMEM;
        memset(by_port + handle->ports, 0, (ports - handle->ports) * sizeof(void *));
        handle->by_port = by_port;
        handle->ports = ports;
    }
    handle->by_port[port] = member;
    return 0;
}

static void unmap_ports(const struct pv_poll_member *member)
{
    const evtchn_port_t ports[] = {member->pollable->port, member->pollable->second_port};
    for (unsigned i = 0; i < 2; i++)
        if (ports[i] < member->handle->ports)
            member->handle->by_port[ports[i]] = NULL;
}

static int map_ports(struct pv_poll_member *member)
{
    const struct pv_pollable *pollable = member->pollable;
    int status = map_port(member->handle, member, pollable->port);
    if (status == 0 && pollable->second_port)
        status = map_port(member->handle, member, pollable->second_port);
    if (status < 0)
        unmap_ports(member);
    return status;
}

/* ---- Members ------------------------------------------------------------------------------- */

static void insert(struct pv_poll_group *group, struct pv_poll_member *member)
{
    member->next = group->all;
    member->link = &group->all;
    if (group->all)
        group->all->link = &member->next;
    group->all = member;
    member->pollable->member = member;
    group->count++;
}

static int watch_member(struct pv_poll_group *group, struct pv_poll_member *member)
{
    int fd = member->pollable->fd;
    int status = fd < 0 ? 0 : poll_group_watch(group, fd, member);
    if (status == 0 && (status = map_ports(member)) < 0 && fd >= 0)
        poll_group_unwatch(group, fd);
    return status;
}

static int add(struct pv_poll_group *group, struct pv_pollable *pollable)
{
    int status = pollable->member ? -EBUSY : poll_lists_reserve(group);
    if (status < 0)
        return status;
    struct pv_poll_member *member = calloc(1, sizeof *member);
    if (!member)
        return -ENOMEM;
    /* Taken as masked: an earlier driver may have taken an event of its port. */
    *member = (struct pv_poll_member){
        .pollable = pollable, .masked = true, .unmask_at = NEVER, .wake_at = NEVER};
    errno = 0;
    member->handle = acquire_handle(group, pollable);
    if (!member->handle) {
        free(member);
        return errno ? -errno : -ENOMEM;
    }
    status = watch_member(group, member);
    if (status < 0) {
        release_handle(group, member->handle);
        free(member);
        return status;
    }
    insert(group, member);
    poll_member_wake(group, member);
    if (group->asleep && !group->kicked) {
        group->kicked = true;
        eventfd_write(group->kick_fd, 1); /* the new member is awake and has to be pumped */
    }
    return 0;
}

int pv_poll_group_add(struct pv_poll_group *group, struct pv_pollable *pollable)
{
    int status = poll_group_lock(group);
    if (status < 0)
        return status;
    status = add(group, pollable);
    poll_group_unlock(group);
    return status;
}

static int remove_member(struct pv_poll_group *group, struct pv_pollable *pollable)
{
    struct pv_poll_member *member = pollable->member;
    if (!member)
        return -ENOENT;
    group->removals++; /* the driver may hold an event of it that it has not handled */
    poll_member_wake(group, member); /* off the list of the timed */
    member->unmask_at = member->wake_at = NEVER;
    poll_member_sleep(group, member);
    if (pollable->fd >= 0)
        poll_group_unwatch(group, pollable->fd);
    unmap_ports(member);
    if (member->masked)
        poll_member_unmask_ports(member);
    release_handle(group, member->handle);
    *member->link = member->next;
    if (member->next)
        member->next->link = member->link;
    pollable->member = NULL;
    group->count--;
    free(member);
    return 0;
}

int pv_poll_group_remove(struct pv_poll_group *group, struct pv_pollable *pollable)
{
    int status = poll_group_lock(group);
    if (status < 0)
        return status;
    status = remove_member(group, pollable);
    poll_group_unlock(group);
    return status;
}
