/* The inside of a poll group.
 *
 * The driver, a thread or an event loop, holds the group's lock except while it sleeps or yields.
 * Threads that want the lock, to add or remove a pollable, count themselves in `lock_waiters` and
 * get it between two pumps. */
#ifndef PVDRIVERS_POLL_GROUP_PRIVATE_H
#define PVDRIVERS_POLL_GROUP_PRIVATE_H

#include "pvdrivers/poll/group.h"
#include "pvdrivers/ring/barrier.h"

#include <errno.h>
#include <pthread.h>

#define NEVER UINT64_MAX

struct poll_handle;

/* A pollable as its group sees it. */
struct pv_poll_member {
    struct pv_pollable *pollable;
    struct poll_handle *handle;
    struct pv_poll_member *next, **link; /* in the group's list of all */

    bool awake;         /* else armed */
    uint32_t place;     /* in the list of the awake */
    bool masked;        /* a port of its has fired and is not unmasked yet */
    uint32_t spurious;  /* wake-ups in a row that brought no work */
    uint64_t last_work; /* ns */
    uint64_t window;    /* ns it stays awake without work, in mode HYBRID */

    bool timed; /* asleep, but one of these is set; ns, or NEVER */
    uint32_t timed_place;
    uint64_t unmask_at, wake_at;
};

/* An event channel handle, shared by the members whose ports it has. */
struct poll_handle {
    struct pv_evtchn *evtchn;
    const struct pv_hypervisor_ops *ops;
    struct pv_poll_member **by_port;
    uint32_t ports; /* length of by_port */
    uint32_t users;
    struct poll_handle *next;
};

struct member_list {
    struct pv_poll_member **members;
    uint32_t count;
};

struct pv_poll_group {
    enum pv_poll_mode mode;
    int epoll_fd;
    int kick_fd; /* an eventfd: wakes the driver from its sleep */
    pthread_mutex_t lock;
    pthread_cond_t no_waiters;
    uint32_t lock_waiters;    /* the driver reads it without the lock */
    uint32_t removals;        /* counted */
    bool asleep;              /* the driver may be: it has released the lock */
    bool kicked;              /* and was woken by another thread */
    uint32_t stop;            /* asks the driver to end */
    uint32_t count, capacity; /* members; room in each list */
    struct pv_poll_member *all;
    struct poll_handle *handles;
    struct member_list awake, timed;
    uint64_t last_drain; /* ns: when events were taken last */
    uint64_t next_time;  /* ns: no timed one's is earlier */
    uint64_t spurious_events;
};

/* group.c: the lock, from a driver that is between two pumps or sleeps. -EDEADLK: the caller is
 * that driver, inside a pump. */
int poll_group_lock(struct pv_poll_group *group);
void poll_group_unlock(struct pv_poll_group *group);
int poll_group_watch(struct pv_poll_group *group, int fd, void *data);
void poll_group_unwatch(struct pv_poll_group *group, int fd);

/* lists.c: who is awake, and who is timed. */
int poll_lists_reserve(struct pv_poll_group *group);
void poll_member_wake(struct pv_poll_group *group, struct pv_poll_member *member);
void poll_member_sleep(struct pv_poll_group *group, struct pv_poll_member *member);
/* A sleeping member's times have been set. */
void poll_member_set_timer(struct pv_poll_group *group, struct pv_poll_member *member);

/* membership.c */
void poll_member_unmask_ports(const struct pv_poll_member *member);
/* What epoll's data says: the member whose fd is readable, or the handle whose is;
 * neither when the driver was kicked. */
struct pv_poll_member *poll_event_member(void *data);
struct poll_handle *poll_event_handle(void *data);

/* iterate.c: pv_poll_group_iterate and _wait, for a driver that has the lock. */
int poll_group_iterate(struct pv_poll_group *group, uint64_t now);
int poll_group_wait(struct pv_poll_group *group, uint64_t now, uint32_t max_ms);

#endif
