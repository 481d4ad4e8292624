/* Hypercalls by number, with Xen 4.17's argument structures. */
#ifndef PVDRIVERS_DROPIN_HYPERCALL_H
#define PVDRIVERS_DROPIN_HYPERCALL_H

#include "pvdrivers/dropin/dropin.h"

typedef struct xencall_handle {
    struct dropin_handle base;
    int fd; /* what xencall_fd shows; nothing is behind it */
} xencall_handle;

/* 0 or positive, or a negative errno: -ENOSYS for what this machine does not have. The last
 * argument is the address of the operation's structure where it has one. */
long hypercall(xencall_handle *handle, unsigned op, uint64_t arg1, uint64_t arg2);

/* domctl.c */
struct xen_domctl;
struct xen_sysctl;
long domctl(struct pv_machine *machine, domid_t caller, struct xen_domctl *op);
long sysctl(struct pv_machine *machine, domid_t caller, struct xen_sysctl *op);

#endif
