/* A group's life, and its lock. */
#include "pvdrivers/poll/group_private.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int pv_poll_group_fd(const struct pv_poll_group *group)
{
    return group->epoll_fd;
}

uint32_t pv_poll_group_awake(const struct pv_poll_group *group)
{
    return group->awake.count;
}

uint64_t pv_poll_group_deadline(const struct pv_poll_group *group)
{
    return group->next_time;
}

uint64_t pv_poll_group_spurious_events(const struct pv_poll_group *group)
{
    return group->spurious_events;
}

int poll_group_lock(struct pv_poll_group *group)
{
    /* The order does not matter: the driver looks again and again. */
    pv_fetch_add(&group->lock_waiters, 1);
    int error = pthread_mutex_lock(&group->lock);
    if (error) /* the caller holds the lock: no thread waits on no_waiters */
        pv_fetch_sub(&group->lock_waiters, 1);
    return -error;
}

void poll_group_unlock(struct pv_poll_group *group)
{
    if (pv_fetch_sub(&group->lock_waiters, 1) == 1)
        pthread_cond_signal(&group->no_waiters);
    pthread_mutex_unlock(&group->lock);
}

int poll_group_watch(struct pv_poll_group *group, int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    return epoll_ctl(group->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void poll_group_unwatch(struct pv_poll_group *group, int fd)
{
    epoll_ctl(group->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void init_lock(struct pv_poll_group *group)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&group->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    pthread_cond_init(&group->no_waiters, NULL);
}

struct pv_poll_group *pv_poll_group_create(enum pv_poll_mode mode)
{
    struct pv_poll_group *group = calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->mode = mode;
    group->next_time = NEVER;
    group->asleep = true; /* until it is driven */
    init_lock(group);
    group->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    group->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (group->epoll_fd < 0 || group->kick_fd < 0 ||
        poll_group_watch(group, group->kick_fd, NULL) < 0) {
        int error = errno;
        pv_poll_group_destroy(group);
        errno = error;
        return NULL;
    }
    return group;
}

void pv_poll_group_sync(struct pv_poll_group *group)
{
    if (poll_group_lock(group) == 0)
        poll_group_unlock(group);
}

void pv_poll_group_destroy(struct pv_poll_group *group)
{
    if (!group)
        return;
    while (group->all)
        pv_poll_group_remove(group, group->all->pollable);
    if (group->kick_fd >= 0)
        close(group->kick_fd);
    if (group->epoll_fd >= 0)
        close(group->epoll_fd);
    pthread_mutex_destroy(&group->lock);
    pthread_cond_destroy(&group->no_waiters);
    free(group->awake.members);
    free(group->timed.members);
    free(group);
}
