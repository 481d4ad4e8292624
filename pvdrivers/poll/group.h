/* Queues that one thread drives: those awake are pumped turn by turn, the others cost nothing until
 * their event channel or their store wakes them.
 *
 * Who drives the group holds its lock, but for the time it sleeps or gives way. Others that want
 * it, to add a queue or to take one away, say so in `visitors`, and are let in between any two
 * pumps. */
#ifndef PVDRIVERS_POLL_GROUP_H
#define PVDRIVERS_POLL_GROUP_H

#include "backends/vbd/blkback_private.h"

#define NEVER UINT64_MAX

struct group_handle;

struct group_member {
    struct pv_blkback_queue *queue;
    struct group_handle *handle;
    struct group_member *next, **link; /* in the group's list of all */

    bool awake;         /* else armed */
    uint32_t place;     /* in the list of the awake */
    bool masked;        /* its port has fired and is not unmasked yet */
    uint32_t spurious;  /* wake-ups in a row that brought no work */
    uint64_t last_work; /* ns */
    uint64_t linger;    /* ns it stays awake without work */

    bool timed; /* asleep, but one of these is set; ns, or NEVER */
    uint32_t timed_place;
    uint64_t unmask_at, wake_at;
};

/* An event channel handle, shared by the queues whose ports it has. */
struct group_handle {
    struct pv_evtchn *evtchn;
    const struct pv_hypervisor_ops *ops;
    struct group_member **by_port;
    uint32_t ports; /* length of by_port */
    uint32_t users;
    struct group_handle *next;
};

struct member_list {
    struct group_member **members;
    uint32_t count;
};

struct pv_blkback_group {
    enum pv_blkback_mode mode;
    int epoll_fd;
    int kick_fd; /* an eventfd: wakes the driver from its sleep */
    pthread_mutex_t lock;
    pthread_cond_t alone;     /* the last visitor has left */
    uint32_t visitors;        /* also read without the lock: is there one? */
    uint32_t changes;         /* of who is in the group, counted */
    bool asleep;              /* the driver, perhaps: it has left the lock */
    bool kicked;              /* and somebody has woken it */
    uint32_t stop;            /* asks the driver to end */
    uint32_t count, capacity; /* members; room in each list */
    struct group_member *all;
    struct group_handle *handles;
    struct member_list awake, timed;
    uint64_t last_look; /* ns */
    uint64_t next_time; /* ns: no timed one's is earlier */
};

/* group.c */
void group_wake(struct pv_blkback_group *group, struct group_member *member);
void group_put_to_sleep(struct pv_blkback_group *group, struct group_member *member);
/* A sleeping member's times have been set. */
void group_keep_times(struct pv_blkback_group *group, struct group_member *member);
/* Takes the lock from the driver, who is somewhere between two pumps then or sleeps. */
void group_enter(struct pv_blkback_group *group);
void group_leave(struct pv_blkback_group *group);
/* pv_blkback_group_turn and _wait, by a driver that has the lock. */
int group_turn(struct pv_blkback_group *group, uint64_t now);
int group_wait(struct pv_blkback_group *group, uint64_t now, uint32_t most_ms);
/* What epoll's data says: the member whose queue's fd is readable, or the handle whose is; neither
 * when the driver was kicked. */
struct group_member *group_event_member(void *data);
struct group_handle *group_event_handle(void *data);

#endif
