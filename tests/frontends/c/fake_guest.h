/* A frontend's view of a hypervisor, in one process and without a machine: pages, grants that a
 * backend may hold on to, and event channels that only count. */
#ifndef TESTS_FRONTENDS_C_FAKE_GUEST_H
#define TESTS_FRONTENDS_C_FAKE_GUEST_H

#include "pvdrivers/hypervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAKE_GRANTS 4096u
#define FAKE_FIRST_PORT 7u
#define FAKE_PORTS 8u

struct fake_grant {
    const uint8_t *page; /* NULL: not granted */
    bool readonly, busy; /* busy: the peer holds it, ending fails */
};

struct fake_guest {
    struct pv_hypervisor hypervisor; /* first: the ops get this address */
    struct fake_grant grants[FAKE_GRANTS];
    unsigned pages, granted;
    unsigned most_grants; /* at a time */
    bool bound[FAKE_PORTS];
    unsigned notifications, notified_port[FAKE_PORTS]; /* of all ports, and of each */
    void (*notified)(struct fake_guest *guest);        /* NULL: nothing happens */
    int fd;                                            /* always readable */
};

static void *fake_pages_alloc(struct pv_hypervisor *hypervisor, unsigned count)
{
    struct fake_guest *guest = (struct fake_guest *)hypervisor;
    void *area = mmap(NULL, (size_t)count * hypervisor->page_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(area != MAP_FAILED);
    guest->pages += count;
    return area;
}

static int fake_pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    struct fake_guest *guest = (struct fake_guest *)hypervisor;
    assert(guest->pages >= count);
    guest->pages -= count;
    assert(munmap(address, (size_t)count * hypervisor->page_size) == 0);
    return 0;
}

static int fake_grant_access(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                             bool readonly, grant_ref_t *ref)
{
    struct fake_guest *guest = (struct fake_guest *)hypervisor;
    (void)domid;
    if (guest->granted >= guest->most_grants)
        return -ENOSPC;
    for (grant_ref_t i = 8; i < FAKE_GRANTS; i++) {
        if (guest->grants[i].page)
            continue;
        guest->grants[i] = (struct fake_grant){page, readonly, false};
        guest->granted++;
        *ref = i;
        return 0;
    }
    return -ENOSPC;
}

static int fake_grant_end(struct pv_hypervisor *hypervisor, grant_ref_t ref)
{
    struct fake_guest *guest = (struct fake_guest *)hypervisor;
    assert(ref < FAKE_GRANTS && guest->grants[ref].page);
    if (guest->grants[ref].busy)
        return -EBUSY;
    guest->grants[ref].page = NULL;
    guest->granted--;
    return 0;
}

static int fake_bind_unbound_port(struct pv_evtchn *handle, domid_t remote)
{
    struct fake_guest *guest = (struct fake_guest *)handle;
    assert(remote == 0);
    for (unsigned i = 0; i < FAKE_PORTS; i++) {
        if (guest->bound[i])
            continue;
        guest->bound[i] = true;
        return (int)(FAKE_FIRST_PORT + i);
    }
    return -ENOSPC;
}

static int fake_unbind(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct fake_guest *guest = (struct fake_guest *)handle;
    assert(port >= FAKE_FIRST_PORT && guest->bound[port - FAKE_FIRST_PORT]);
    guest->bound[port - FAKE_FIRST_PORT] = false;
    return 0;
}

static int fake_notify(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct fake_guest *guest = (struct fake_guest *)handle;
    assert(port >= FAKE_FIRST_PORT && guest->bound[port - FAKE_FIRST_PORT]);
    guest->notified_port[port - FAKE_FIRST_PORT]++;
    guest->notifications++;
    if (guest->notified)
        guest->notified(guest);
    return 0;
}

static int fake_fd(struct pv_evtchn *handle)
{
    return ((struct fake_guest *)handle)->fd;
}

static int fake_pending(struct pv_evtchn *handle)
{
    (void)handle;
    return -EAGAIN;
}

static const struct pv_hypervisor_ops fake_ops = {
    .name = "fake",
    .evtchn_bind_unbound_port = fake_bind_unbound_port,
    .evtchn_unbind = fake_unbind,
    .evtchn_notify = fake_notify,
    .evtchn_fd = fake_fd,
    .evtchn_pending = fake_pending,
    .pages_alloc = fake_pages_alloc,
    .pages_free = fake_pages_free,
    .grant_access = fake_grant_access,
    .grant_end = fake_grant_end,
};

static inline void fake_guest_init(struct fake_guest *guest, enum pv_abi abi)
{
    guest->hypervisor = (struct pv_hypervisor){&fake_ops, .domid = 1, .abi = abi,
                                               .page_size = abi == PV_ABI_IA64 ? 16384 : 4096};
    guest->most_grants = UINT32_MAX;
    guest->fd = open("/dev/zero", O_RDONLY);
    assert(guest->fd >= 0);
}

/* Everything the frontend took has been given back, but for `leaked` pages. */
static inline void fake_guest_end(struct fake_guest *guest, unsigned leaked)
{
    assert(guest->pages == leaked && guest->granted == leaked);
    for (unsigned i = 0; i < FAKE_PORTS; i++)
        assert(!guest->bound[i]);
    close(guest->fd);
}

#endif
