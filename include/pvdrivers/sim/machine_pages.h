/*
 * Single pages of the machine's memory: what Xen's frame table says of one, what gfn it is (Xen's
 * M2P), and taking pages that are bad, or whose board is to be removed, out of use (Xen's
 * page_offline_op).
 *
 * Page and frame numbers are machine frames (4 KiB). A page of an ia64 domain is four of them,
 * which share all that is said of one. Calls return 0 or a negative errno; -EINVAL or -EFAULT is a
 * frame in a hole, and leaves what the call would write as it was.
 */
#ifndef PVDRIVERS_SIM_MACHINE_PAGES_H
#define PVDRIVERS_SIM_MACHINE_PAGES_H

#include "pvdrivers/sim/machine.h"

/* No gfn names it. */
#define INVALID_M2P_ENTRY UINT64_MAX

/* cffi: begin */
/* Xen's PGC_state_*. */
enum pv_page_use {
    PV_PAGE_INUSE,
    PV_PAGE_OFFLINING, /* in use, and offlined when it is freed */
    PV_PAGE_OFFLINED,
    PV_PAGE_FREE
};

/* The domains of this machine have no page tables or descriptor tables in the hypervisor's care, so
 * there are no others of Xen's PGT_* types. */
enum pv_page_type {
    PV_PAGE_NONE,
    PV_PAGE_WRITABLE = 7 /* somebody may write to it by a mapping or a hypercall */
};

struct pv_page_info {
    enum pv_page_use use;
    domid_t owner;  /* DOMID_INVALID: it has none */
    bool allocated; /* by its owner: a page that it has given back has only its other users left */
    bool xen_heap;  /* Xen's own, which it shares with the owner: shared_info, grant table */
    bool broken;
    uint32_t count; /* references: the owner's, and one of each grant and copy and of its event
                       channels while they use it */
    enum pv_page_type type;
    uint32_t type_count; /* mappings and copies that write, and event channels */
    uint64_t gfn;        /* of its owner, or INVALID_M2P_ENTRY */
};
/* -EFAULT: a frame in a hole. */
PV_API int pv_page_info(struct pv_machine *machine, uint64_t mfn, struct pv_page_info *info);
/* The gfn by which its owner names it; INVALID_M2P_ENTRY for one that is free, Xen's, or none. */
PV_API uint64_t pv_page_gfn(struct pv_machine *machine, uint64_t mfn);

/* ---- Offlining: the status is Xen's, the owner's domid in the upper 16 bits ---- */

#define PG_OFFLINE_INVALID 1
#define PG_OFFLINE_OFFLINED 2
#define PG_OFFLINE_PENDING 4
#define PG_OFFLINE_FAILED 8
#define PG_OFFLINE_AGAIN 16
#define PG_OFFLINE_XENPAGE 256
#define PG_OFFLINE_OWNED 4096
#define PG_OFFLINE_BROKEN 8192
#define PG_OFFLINE_OWNER_SHIFT 16
#define PG_ONLINE_ONLINED 2
#define PG_ONLINE_FAILED 8
#define PG_ONLINE_BROKEN 8192
#define PG_OFFLINE_STATUS_OFFLINED 2
#define PG_OFFLINE_STATUS_OFFLINE_PENDING 8
#define PG_OFFLINE_STATUS_BROKEN 16

/* A free page is OFFLINED at once, one in use when its last user lets it go: PENDING, and OWNED by
 * which domain. A page that is `broken` is so for ever; one that is so already, and in use, is
 * AGAIN: its owner crashes. -EPERM: Xen's own, FAILED and XENPAGE. */
PV_API int pv_page_offline(struct pv_machine *machine, uint64_t mfn, bool broken, uint32_t *status);
/* ONLINED when it was offlined or to be so, 0 when it was neither. -EINVAL also of a broken one:
 * FAILED and BROKEN. */
PV_API int pv_page_online(struct pv_machine *machine, uint64_t mfn, uint32_t *status);
/* The STATUS bits that hold. -EINVAL also of Xen's own. */
PV_API int pv_page_query_offline(struct pv_machine *machine, uint64_t mfn, uint32_t *status);
/* cffi: end */

#endif
