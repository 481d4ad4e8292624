/*
 * A poll group: pollables that one thread drives, as many as there are. Its cost is that of those
 * awake: one without work is armed and costs nothing until its event channel or its fd wakes it. A
 * pollable is in one group at most, and is removed before its queue is disconnected; its event
 * channel handle is the group's alone meanwhile.
 *
 * Return values below 0 are negative errnos.
 */
#ifndef PVDRIVERS_POLL_GROUP_H
#define PVDRIVERS_POLL_GROUP_H

#include "pvdrivers/poll/pollable.h"

/* cffi: begin */
/* How long a pollable without work is polled before it waits for its event channel. */
enum pv_poll_mode {
    PV_POLL_MODE_POLL,   /* long, and the thread never sleeps */
    PV_POLL_MODE_HYBRID, /* as long as that has paid off lately */
    PV_POLL_MODE_EVENT   /* not at all */
};

struct pv_poll_group;
PV_API struct pv_poll_group *pv_poll_group_create(enum pv_poll_mode mode); /* or NULL, and errno */
/* From any thread, also while another drives the group: they wait for one pump at most. From `add`
 * on the queue is the group's, but for reading its counters; once `remove` has returned it is the
 * caller's again. 0, or -EBUSY (it is in a group), -ENOENT (in none), -EDEADLK (called by a pump of
 * this group), another negative errno. */
PV_API int pv_poll_group_add(struct pv_poll_group *group, struct pv_pollable *pollable);
PV_API int pv_poll_group_remove(struct pv_poll_group *group, struct pv_pollable *pollable);
/* Returns when the group's thread is between two pumps, or sleeps: it is not stuck. */
PV_API void pv_poll_group_sync(struct pv_poll_group *group);
PV_API void pv_poll_group_destroy(struct pv_poll_group *group); /* the queues stay */
/* Pumps each that is awake once, and takes the wake-ups of the others. Never blocks. Returns how
 * many had work. `now` as for a pump. */
PV_API int pv_poll_group_iterate(struct pv_poll_group *group, uint64_t now);
/* Sleeps until one is woken or due, `max_ms` at most; returns at once when one is awake. */
PV_API int pv_poll_group_wait(struct pv_poll_group *group, uint64_t now, uint32_t max_ms);
PV_API uint32_t pv_poll_group_awake(const struct pv_poll_group *group);
/* For an event loop: it iterates while one is awake; else when the fd is readable, or at the
 * deadline (ns, or UINT64_MAX), which may be earlier than it need be. */
PV_API int pv_poll_group_fd(const struct pv_poll_group *group);
PV_API uint64_t pv_poll_group_deadline(const struct pv_poll_group *group);
/* Events that brought no work, since the group was created. */
PV_API uint64_t pv_poll_group_spurious_events(const struct pv_poll_group *group);
/* Drives the group in real time until it is stopped, by any thread. 0 or a negative errno; a broken
 * queue does not end it. */
PV_API int pv_poll_group_run(struct pv_poll_group *group);
PV_API void pv_poll_group_stop(struct pv_poll_group *group);
/* The same for some that are in no group, until *stop is not 0 (looked at every 50 ms at least). */
PV_API int pv_poll_run(struct pv_pollable **pollables, unsigned count, enum pv_poll_mode mode,
                       const uint32_t *stop);
/* cffi: end */

#endif
