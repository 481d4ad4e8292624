/* Eventfds by handle: those this process opened, and those it fetched of other processes. */
#include "pvdrivers/sim/broker.h"
#include "pvdrivers/sim/event_port.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* One word each, generation above and fd + 1 below, so that a sender reads both at once. */
struct event_fds {
    uint64_t entry[MAX_EVENT_HANDLES];
};

int event_fds_init(struct pv_machine *machine)
{
    machine->event_fds = calloc(1, sizeof *machine->event_fds);
    return machine->event_fds ? 0 : -ENOMEM;
}

static void replace(struct pv_machine *machine, uint32_t handle, uint64_t entry)
{
    uint64_t old = __atomic_exchange_n(&machine->event_fds->entry[handle], entry, __ATOMIC_ACQ_REL);
    /* Nobody writes to it any more: senders look it up under the lock of the domain whose handle
     * it was, and that handle has been closed under it. */
    if ((uint32_t)old)
        close((int)(uint32_t)old - 1);
}

void event_fds_free(struct pv_machine *machine)
{
    for (uint32_t i = 0; i < MAX_EVENT_HANDLES; i++)
        replace(machine, i, 0);
    free(machine->event_fds);
    machine->event_fds = NULL;
}

int event_fd(struct pv_machine *machine, uint32_t handle, uint32_t generation)
{
    uint64_t entry = __atomic_load_n(&machine->event_fds->entry[handle], __ATOMIC_ACQUIRE);
    return entry >> 32 == generation ? (int)(uint32_t)entry - 1 : -1;
}

void event_fds_add(struct pv_machine *machine, uint32_t handle, uint32_t generation, int fd)
{
    replace(machine, handle, (uint64_t)generation << 32 | (uint32_t)(fd + 1));
}

void event_fds_remove(struct pv_machine *machine, uint32_t handle)
{
    replace(machine, handle, 0);
}

void event_fds_fetch(struct pv_machine *machine, uint32_t handle, uint32_t generation)
{
    if (event_fd(machine, handle, generation) >= 0)
        return;
    int fd = broker_fetch_eventfd(machine, handle, generation);
    if (fd >= 0)
        event_fds_add(machine, handle, generation, fd);
}
