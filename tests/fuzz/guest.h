/* A frontend's guest without a machine: reference N grants the page pages[N]. Who includes it
 * defines where pages come from. */
#ifndef TESTS_FUZZ_GUEST_H
#define TESTS_FUZZ_GUEST_H

#include "pvdrivers/hypervisor.h"

#include <assert.h>
#include <errno.h>

#define PAGE 4096u
#define MAX_REFS 4096u

static void *pages_alloc(struct pv_hypervisor *hypervisor, unsigned count);
static int pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count);

static void *pages[MAX_REFS];
static uint32_t refs_made, refs_held;

static int grant_access(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                        bool readonly, grant_ref_t *ref)
{
    (void)hypervisor, (void)domid, (void)readonly;
    if (refs_made == MAX_REFS)
        return -ENOSPC;
    pages[refs_made] = (void *)(uintptr_t)page;
    *ref = refs_made++;
    refs_held++;
    return 0;
}

static int grant_end(struct pv_hypervisor *hypervisor, grant_ref_t ref)
{
    (void)hypervisor;
    assert(ref < refs_made && pages[ref]);
    pages[ref] = NULL;
    refs_held--;
    return 0;
}

static int bind_port(struct pv_evtchn *evtchn, domid_t remote)
{
    (void)evtchn, (void)remote;
    return 1;
}

static int port_call(struct pv_evtchn *evtchn, evtchn_port_t port)
{
    (void)evtchn, (void)port;
    return 0;
}

static const struct pv_hypervisor_ops ops = {.pages_alloc = pages_alloc,
                                             .pages_free = pages_free,
                                             .grant_access = grant_access,
                                             .grant_end = grant_end,
                                             .evtchn_bind_unbound_port = bind_port,
                                             .evtchn_notify = port_call,
                                             .evtchn_unbind = port_call};
static struct pv_hypervisor hypervisor = {.ops = &ops, .page_size = PAGE};

#endif
