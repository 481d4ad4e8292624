/*
 * What the drop-in libraries share: the process's one attachment to a machine, and the handle
 * each of them opens on it. The environment says which machine and who the process is:
 *
 *   PVDRIVERS_MACHINE  socket at which a machine is served
 *   PVDRIVERS_DOMID    the domain the process runs in; 0 when not set
 */
#ifndef PVDRIVERS_DROPIN_DROPIN_H
#define PVDRIVERS_DROPIN_DROPIN_H

#include "pvdrivers/dropin/toolcore.h"
#include "pvdrivers/sim/machine.h"

#include <errno.h>
#include <stddef.h>

/* Programs built against these libraries count in it; domains with bigger pages are refused. */
#define XC_PAGE_SIZE 4096

struct xentoollog_logger;

/* How xentoolcore_restrict_all acts on a handle. */
enum dropin_restriction {
    DROPIN_ONE_DOMAIN, /* it goes on for the domid it is restricted to */
    DROPIN_NOTHING     /* nothing more can be done with it */
};

struct dropin_handle {
    Xentoolcore__Active_Handle active; /* first, so that the callback finds the rest */
    struct pv_machine *machine;
    struct pv_hypervisor *hypervisor; /* a view of its own, so that closing it releases all */
    enum dropin_restriction restriction;
    domid_t only; /* DOMID_INVALID: any domain */
};

/* The process's attachment, made by the first caller; NULL with errno set, and said on stderr. */
struct pv_machine *dropin_machine(void);

/* A zeroed handle of `size` bytes that begins with a dropin_handle; NULL with errno set. */
void *dropin_open(size_t size, enum dropin_restriction restriction);
/* Also frees it. */
void dropin_close(struct dropin_handle *handle);
int dropin_restrict(struct dropin_handle *handle, domid_t domid);
/* Whether the handle may act on a domain: true, or false with errno set. */
bool dropin_allows(const struct dropin_handle *handle, uint32_t domid);

/* From the seam's convention to that of the Xen libraries. */
static inline int dropin_result(int result)
{
    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

#endif
