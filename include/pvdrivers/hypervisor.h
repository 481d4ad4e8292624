/*
 * The seam: what a driver may ask of a hypervisor, in the terms of the Xen libraries and no more.
 * A `struct pv_hypervisor` is one domain's view from one process. The simulated machine and a real
 * Xen fill the same table; drivers cannot tell which one they run on.
 *
 * Calls return 0 (or a count, or a port) on success and a negative errno on failure unless said
 * otherwise; per-element results are GNTST_* codes, 0 or negative (XSA-316).
 */
#ifndef PVDRIVERS_HYPERVISOR_H
#define PVDRIVERS_HYPERVISOR_H

#include "pvdrivers/ring/abi_grant_table.h"
#include "pvdrivers/types.h"

/* cffi: begin */
struct pv_grant_map {
    grant_ref_t ref;
    domid_t domid;         /* who granted */
    uint16_t flags;        /* GNTMAP_* */
    grant_handle_t handle; /* out; in for unmap */
    int16_t status;        /* out: GNTST_* */
    void *address;         /* out: the page in this process; in for unmap */
};

/* One end of a copy: a granted page of `domid`, or (flag not set) local memory. */
struct pv_grant_copy_end {
    void *address; /* local memory, when not a gref */
    grant_ref_t ref;
    domid_t domid;
    uint16_t offset; /* into the granted page */
};

struct pv_grant_copy {
    struct pv_grant_copy_end source, dest;
    uint16_t len;   /* bytes; neither end may leave its page when that is a gref */
    uint16_t flags; /* GNTCOPY_* */
    int16_t status; /* out: GNTST_* */
};

struct pv_hypervisor;
struct pv_evtchn; /* an open handle with a pollable fd, as libxenevtchn gives */

struct pv_hypervisor_ops {
    const char *name;
    void (*close)(struct pv_hypervisor *hypervisor);

    /* Event channels: a delivered port is masked until unmask; pending() returns -EAGAIN when
     * none is left. The fd is readable while a delivered port waits. */
    struct pv_evtchn *(*evtchn_open)(struct pv_hypervisor *hypervisor);
    void (*evtchn_close)(struct pv_evtchn *handle); /* closes its ports too */
    int (*evtchn_fd)(struct pv_evtchn *handle);
    int (*evtchn_bind_unbound_port)(struct pv_evtchn *handle, domid_t remote);
    int (*evtchn_bind_interdomain)(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port);
    int (*evtchn_bind_virq)(struct pv_evtchn *handle, uint32_t virq);
    int (*evtchn_unbind)(struct pv_evtchn *handle, evtchn_port_t port);
    int (*evtchn_notify)(struct pv_evtchn *handle, evtchn_port_t port);
    int (*evtchn_pending)(struct pv_evtchn *handle);
    int (*evtchn_unmask)(struct pv_evtchn *handle, evtchn_port_t port);

    /* Grants, the mapping side. Batches: each element has its own status. */
    int (*gnttab_map)(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps, unsigned count);
    int (*gnttab_unmap)(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps,
                        unsigned count);
    int (*gnttab_copy)(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies,
                       unsigned count);
    /* Maps `count` pages of one domain side by side (ring pages); NULL with errno set on failure,
     * nothing stays mapped then. */
    void *(*gnttab_map_contiguous)(struct pv_hypervisor *hypervisor, domid_t domid,
                                   const grant_ref_t *refs, unsigned count, bool readonly);
    int (*gnttab_unmap_contiguous)(struct pv_hypervisor *hypervisor, void *address, unsigned count);
    /* Bytes of a page `domid` grants; 0 when there is no such domain. NULL where every domain's
     * pages are as large as this one's. */
    uint32_t (*gnttab_page_size)(struct pv_hypervisor *hypervisor, domid_t domid);

    /* Grants, the granting side: pages of this domain's own, zeroed, contiguous in this process;
     * NULL with errno set when there are none left. */
    void *(*pages_alloc)(struct pv_hypervisor *hypervisor, unsigned count);
    int (*pages_free)(struct pv_hypervisor *hypervisor, void *address, unsigned count);
    /* Grants one of those pages; returns 0 and the ref. */
    int (*grant_access)(struct pv_hypervisor *hypervisor, domid_t domid, const void *page,
                        bool readonly, grant_ref_t *ref);
    /* -EBUSY while the peer still uses it: the page must then not be reused (XSA-396). */
    int (*grant_end)(struct pv_hypervisor *hypervisor, grant_ref_t ref);

    /* Memory by guest frame number: this domain's own, or of one it is privileged over. */
    void *(*foreign_map)(struct pv_hypervisor *hypervisor, domid_t domid, const uint64_t *gfns,
                         unsigned count, bool readonly);
    int (*foreign_unmap)(struct pv_hypervisor *hypervisor, domid_t domid, void *address,
                         unsigned count);

    /* Brings this domain's memory to `pages`, or as near as can be: pages in use do not leave, and
     * no more come than it may own or the machine has. Returns how many it has then. NULL where the
     * guest's kernel has its memory to itself. */
    int64_t (*balloon)(struct pv_hypervisor *hypervisor, uint64_t pages);
};

struct pv_hypervisor {
    const struct pv_hypervisor_ops *ops;
    domid_t domid;
    enum pv_abi abi;
    uint32_t page_size; /* bytes of this domain's pages, and of its grants */
    /* Pages mapped from others may be given to I/O that the kernel carries on with when this
     * process is gone (io_uring, O_DIRECT over a network). False where the end of a process gives a
     * mapped page back while the kernel still uses it, which damages the kernel: such I/O then gets
     * memory of the process's own, and the data are copied. */
    bool maps_outlive_process;
};
/* cffi: end */

#endif
