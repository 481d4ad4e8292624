/* Eventfds by handle: those this process opened, and those it fetched of other processes. */
#include "pvdrivers/sim/core/broker.h"
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One word each, generation above and fd + 1 below, so that a sender reads both at once. */
struct event_fds {
    uint64_t entry[MAX_EVENT_HANDLES];
    pthread_rwlock_t in_use; /* to read: one of them is written to; to write: one is closed */
};

int event_fds_init(struct pv_machine *machine)
{
    machine->event_fds = calloc(1, sizeof *machine->event_fds);
    if (!machine->event_fds)
        return -ENOMEM;
    pthread_rwlock_init(&machine->event_fds->in_use, NULL);
    return 0;
}

/* What is no longer in the table. */
static void forget(struct event_fds *fds, uint64_t entry)
{
    if (!(uint32_t)entry)
        return;
    pthread_rwlock_wrlock(&fds->in_use);
    close((int)(uint32_t)entry - 1);
    pthread_rwlock_unlock(&fds->in_use);
}

void event_fds_free(struct pv_machine *machine)
{
    for (uint32_t i = 0; i < MAX_EVENT_HANDLES; i++)
        forget(machine->event_fds, machine->event_fds->entry[i]);
    pthread_rwlock_destroy(&machine->event_fds->in_use);
    free(machine->event_fds);
    machine->event_fds = NULL;
}

int event_fd(struct pv_machine *machine, uint32_t handle, uint32_t generation)
{
    uint64_t entry = __atomic_load_n(&machine->event_fds->entry[handle], __ATOMIC_ACQUIRE);
    return entry >> 32 == generation ? (int)(uint32_t)entry - 1 : -1;
}

void event_fd_write(struct pv_machine *machine, uint32_t handle, uint32_t generation)
{
    pthread_rwlock_rdlock(&machine->event_fds->in_use);
    int fd = event_fd(machine, handle, generation);
    if (fd >= 0)
        eventfd_write(fd, 1);
    pthread_rwlock_unlock(&machine->event_fds->in_use);
}

void event_fds_add(struct pv_machine *machine, uint32_t handle, uint32_t generation, int fd)
{
    uint64_t *entry = &machine->event_fds->entry[handle];
    uint64_t added = (uint64_t)generation << 32 | (uint32_t)(fd + 1);
    uint64_t old = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
    do {
        /* Another thread has fetched the same, and somebody may be writing to it already; or this
         * one comes late, and the slot has another handle by now. */
        if ((uint32_t)old && (int32_t)(generation - (uint32_t)(old >> 32)) <= 0) {
            close(fd);
            return;
        }
    } while (!__atomic_compare_exchange_n(entry, &old, added, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    forget(machine->event_fds, old);
}

void event_fds_remove(struct pv_machine *machine, uint32_t handle)
{
    forget(machine->event_fds,
           __atomic_exchange_n(&machine->event_fds->entry[handle], 0, __ATOMIC_ACQ_REL));
}

void event_fds_fetch(struct pv_machine *machine, uint32_t handle, uint32_t generation)
{
    if (event_fd(machine, handle, generation) >= 0)
        return;
    int fd = broker_fetch_eventfd(machine, handle, generation);
    if (fd >= 0)
        event_fds_add(machine, handle, generation, fd);
}
