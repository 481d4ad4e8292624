/* Upcalls of guests that read shared_info themselves, and what such a guest sees. */
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>
#include <stdlib.h>

struct pv_upcall {
    struct event_slot slot;
};

int pv_upcall_open(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                   struct pv_upcall **upcall)
{
    RCU_SECTION(machine);
    const struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    struct pv_upcall *opened = malloc(sizeof *opened);
    if (!opened)
        return -ENOMEM;
    int error = event_slot_open(&opened->slot, machine, domid, (int)vcpu);
    if (error)
        free(opened);
    else
        *upcall = opened;
    return error;
}

int pv_upcall_fd(struct pv_upcall *upcall)
{
    return upcall->slot.fd;
}

int pv_upcall_take(struct pv_upcall *upcall)
{
    struct event_slot *slot = &upcall->slot;
    struct event_handle *h = handle_slot(slot->machine, slot->index);
    /* The lock is for the end of the domain too: what found it before may still signal. */
    event_lock(slot->machine, slot->domain);
    bool alive = event_slot_domain(slot), signalled = h->signalled;
    quiet_handle(h, slot->fd);
    bool taken = signalled && !h->signalled;
    event_slot_unlock(slot);
    return !alive ? -ESRCH : taken;
}

void pv_upcall_close(struct pv_upcall *upcall)
{
    event_slot_close(&upcall->slot);
    free(upcall);
}

int pv_machine_event_view(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                          uint32_t *fifo_heads, struct pv_event_view *view)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, domid);
    if (!d)
        return -ESRCH;
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    event_lock(machine, d);
    *view = event_view(machine, d, vcpu);
    event_unlock(machine, d);
    view->fifo_heads = fifo_heads;
    return 0;
}
