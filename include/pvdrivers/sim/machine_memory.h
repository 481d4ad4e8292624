/*
 * The memory hypercall of the simulated machine, with the semantics of Xen 4.17's memory.h for
 * domains whose physmap the hypervisor keeps. `caller` is the calling domain; DOMID_SELF stands for
 * it, and only a privileged domain may name another one: -EPERM, or -ESRCH when there is none.
 *
 * Frame numbers of a domain (gfns), and orders, are in its page size; machine frames have 4 KiB.
 * populate, increase and decrease return how many extents were done: fewer than `count` when the
 * next one could not be, which then is as it was, or, of decrease, is done up to its first page not
 * there.
 */
#ifndef PVDRIVERS_SIM_MACHINE_MEMORY_H
#define PVDRIVERS_SIM_MACHINE_MEMORY_H

#include "pvdrivers/sim/machine.h"

/* mem_flags, with Xen's names: the highest address is below 2^bits (0: any); a node to prefer, or
 * to have memory of alone. */
#define XENMEMF_address_bits(x) (x)
#define XENMEMF_get_address_bits(x) ((x) & 0xffu)
#define XENMEMF_node(x) (((x) + 1) << 8)
#define XENMEMF_get_node(x) ((((x) >> 8) - 1) & 0xffu)

/* cffi: begin */
#define XENMEMF_exact_node_request 131072
/* An extent is 2^order pages: of this order at most for a privileged caller, 9 for another. */
#define PV_MEMORY_MAX_ORDER 18
struct pv_memory_extents {
    const uint64_t *gfns; /* of each extent's first page; not of increase */
    uint64_t *mfns;       /* out: of new extents, if not NULL */
    uint64_t count;
    uint32_t order, mem_flags;
};
/* Not done: an extent with a page that is there already or beyond what the domain was made for,
 * more than the domain may own, or more than there is of such memory. */
PV_API int64_t pv_memory_populate_physmap(struct pv_machine *machine, domid_t caller, domid_t domid,
                                          const struct pv_memory_extents *extents);
/* The extents' pages are the domain's, but no gfn is theirs: they stay until the domain ends. */
PV_API int64_t pv_memory_increase_reservation(struct pv_machine *machine, domid_t caller,
                                              domid_t domid,
                                              const struct pv_memory_extents *extents);
/* A page that somebody else uses leaves the domain, and is free when it is no longer used. */
PV_API int64_t pv_memory_decrease_reservation(struct pv_machine *machine, domid_t caller,
                                              domid_t domid,
                                              const struct pv_memory_extents *extents);
/* 2^order pages of a domain for as many others, the order being the larger of the two. */
struct pv_memory_exchange {
    const uint64_t *in;  /* gfns of the 2^(order - in_order) extents that go */
    const uint64_t *out; /* gfns where the 2^(order - out_order) extents that come will be */
    uint64_t *mfns;      /* out: of each of these */
    uint32_t in_order, out_order, mem_flags;
};
/* Either all is done, 0, or nothing. -EPERM: an order is too large; -EINVAL: a page that is to go
 * is not there, named twice or used by somebody, or where one is to come there is another, or no
 * room; -ENOMEM: there is no such memory. */
PV_API int pv_memory_exchange(struct pv_machine *machine, domid_t caller, domid_t domid,
                              const struct pv_memory_exchange *exchange);
/* Claims free memory, so that the domain can have `pages` in all; 0: drops what is left of its
 * claim. Nobody else gets that memory. A claim lasts until the domain has the pages, or ends. A
 * privileged caller's. -EINVAL: there is no such domain, it has a claim or the pages, or may not
 * have them; -ENOMEM: there is not so much free that is not claimed. */
PV_API int pv_memory_claim_pages(struct pv_machine *machine, domid_t caller, domid_t domid,
                                 uint64_t pages);
/* Pages that the domain has, and may have. */
PV_API int64_t pv_memory_current_reservation(struct pv_machine *machine, domid_t caller,
                                             domid_t domid);
PV_API int64_t pv_memory_maximum_reservation(struct pv_machine *machine, domid_t caller,
                                             domid_t domid);
/* The highest gfn that the domain has a page at. */
PV_API int64_t pv_memory_maximum_gpfn(struct pv_machine *machine, domid_t caller, domid_t domid);
/* The highest machine frame of memory. */
PV_API int64_t pv_memory_maximum_ram_page(struct pv_machine *machine);
/* Of a memory map: a range of addresses, and what is there, as E820 has it. */
struct pv_memory_range {
    uint64_t start, size; /* bytes */
    uint32_t type;
};
#define PV_MEMORY_RAM 1
#define PV_MEMORY_MAX_RANGES 1024
/* The map that a domain is told of, which its builder makes up. -EINVAL: it is too long. */
PV_API int pv_memory_set_memory_map(struct pv_machine *machine, domid_t caller, domid_t domid,
                                    const struct pv_memory_range *ranges, uint32_t count);
/* The caller's own, up to `most` ranges: how many. -ENOSYS: none was set. */
PV_API int pv_memory_memory_map(struct pv_machine *machine, domid_t caller,
                                struct pv_memory_range *ranges, uint32_t most);
/* The machine's memory, without its holes, up to `most` ranges: how many there are. */
PV_API int pv_machine_memory_map(struct pv_machine *machine, struct pv_memory_range *ranges,
                                 uint32_t most);
/* Sets what the domain may own, bytes: a domctl. -EINVAL: more than it was made for. */
PV_API int pv_domain_set_max_memory(struct pv_machine *machine, domid_t caller, domid_t domid,
                                    uint64_t bytes);
/* cffi: end */

#endif
