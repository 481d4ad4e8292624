/* The native side of the seam: one process's view of a real Xen as the domain it runs in. */
#ifndef PVDRIVERS_NATIVE_HYPERVISOR_H
#define PVDRIVERS_NATIVE_HYPERVISOR_H

#include "pvdrivers/hypervisor.h"
#include "pvdrivers/native/libraries.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

struct native_hypervisor {
    struct pv_hypervisor base; /* first, so that the two convert */
    struct native_libraries libraries;
    void *gnttab;
    pthread_mutex_t lock; /* guards what follows */
    void *gntshr;         /* NULL until the first grant */
    void *foreign;        /* NULL until the first foreign map */
    void *grants_by_ref;  /* trees (search.h) over the same struct native_grant */
    void *grants_by_page;
    void *grant_areas; /* tree of struct grant_area, by address */
};

static inline struct native_hypervisor *to_native(struct pv_hypervisor *hypervisor)
{
    return (struct native_hypervisor *)hypervisor;
}

/* A failed call's errno, negative; never 0. */
static inline int native_error(void)
{
    return errno ? -errno : -EIO;
}

static inline int native_result(int result)
{
    return result < 0 ? native_error() : result;
}

static inline int native_protection(uint32_t flags)
{
    return flags & GNTMAP_readonly ? PROT_READ : PROT_READ | PROT_WRITE;
}

struct pv_evtchn *native_evtchn_open(struct pv_hypervisor *hypervisor);
void native_evtchn_close(struct pv_evtchn *handle);
int native_evtchn_fd(struct pv_evtchn *handle);
int native_evtchn_bind_unbound_port(struct pv_evtchn *handle, domid_t remote);
int native_evtchn_bind_interdomain(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port);
int native_evtchn_bind_virq(struct pv_evtchn *handle, uint32_t virq);
int native_evtchn_unbind(struct pv_evtchn *handle, evtchn_port_t port);
int native_evtchn_notify(struct pv_evtchn *handle, evtchn_port_t port);
int native_evtchn_pending(struct pv_evtchn *handle);
int native_evtchn_unmask(struct pv_evtchn *handle, evtchn_port_t port);

int native_gnttab_map(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps, unsigned count);
int native_gnttab_unmap(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps,
                        unsigned count);
int native_gnttab_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies,
                       unsigned count);
void *native_gnttab_map_contiguous(struct pv_hypervisor *hypervisor, domid_t domid,
                                   const grant_ref_t *refs, unsigned count, bool readonly);
int native_gnttab_unmap_contiguous(struct pv_hypervisor *hypervisor, void *address, unsigned count);

void *native_pages_alloc(struct pv_hypervisor *hypervisor, unsigned count);
int native_pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count);
int native_grant_access(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                        bool readonly, grant_ref_t *ref);
int native_grant_end(struct pv_hypervisor *hypervisor, grant_ref_t ref);
void native_forget_grants(struct native_hypervisor *hv);

#endif
