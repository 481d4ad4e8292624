/*
 * The grant-table hypercall of the simulated machine, one call per operation, with Xen's own
 * argument structures (the 64-bit layouts of abi_grant_table.h). `domid` is the calling domain.
 *
 * Calls return 0 or a negative errno (-ESRCH: no such caller); each element's own result is its
 * `status`, GNTST_okay or negative, and every element's status is written whatever happens.
 * Frame numbers in arguments are guest frames of the domain they belong to, in its page size.
 * Frame lists are addresses of uint64_t arrays in this process; what is put in them are machine
 * frames of 4 KiB (of a bigger page: its first).
 */
#ifndef PVDRIVERS_SIM_MACHINE_GRANTS_H
#define PVDRIVERS_SIM_MACHINE_GRANTS_H

#include "pvdrivers/ring/abi_grant_table.h"
#include "pvdrivers/ring/grant_table.h"
#include "pvdrivers/sim/machine.h"

/* cffi: begin */

/* host_addr is an output here: the page's address in this process. */
PV_API int pv_gnttab_op_map(struct pv_machine *machine, domid_t domid,
                            struct gnttab_map_grant_ref *ops, unsigned count);
/* A zero host_addr or dev_bus_addr leaves that mapping in place. */
PV_API int pv_gnttab_op_unmap(struct pv_machine *machine, domid_t domid,
                              struct gnttab_unmap_grant_ref *ops, unsigned count);
/* -EOPNOTSUPP: it moves a page-table entry, and this machine's domains have none. */
PV_API int pv_gnttab_op_unmap_and_replace(struct pv_machine *machine, domid_t domid,
                                          struct gnttab_unmap_and_replace *ops, unsigned count);
PV_API int pv_gnttab_op_copy(struct pv_machine *machine, domid_t domid,
                             struct gnttab_copy_x86_64 *ops, unsigned count);
/* Gives pages away. A page leaves the caller also when the receiver turns out not to take it
 * (only bad_page, and general_error for a page in use, leave it); it is freed then. */
PV_API int pv_gnttab_op_transfer(struct pv_machine *machine, domid_t domid,
                                 struct gnttab_transfer_x86_64 *ops, unsigned count);
PV_API int pv_gnttab_op_setup_table(struct pv_machine *machine, domid_t domid,
                                    struct gnttab_setup_table_x86_64 *op);
PV_API int pv_gnttab_op_query_size(struct pv_machine *machine, domid_t domid,
                                   struct gnttab_query_size *op);
/* -EINVAL: neither 1 nor 2; -ENOSYS: version 2 switched off; -EBUSY: a ref that would be wiped is
 * in use; -ERANGE: a reserved entry has no version 1 form; -EAGAIN: a version 2 copy is under
 * way. The version in force comes back in any case. */
PV_API int pv_gnttab_op_set_version(struct pv_machine *machine, domid_t domid,
                                    struct gnttab_set_version *op);
PV_API int pv_gnttab_op_get_version(struct pv_machine *machine, domid_t domid,
                                    struct gnttab_get_version *op);
PV_API int pv_gnttab_op_get_status_frames(struct pv_machine *machine, domid_t domid,
                                          struct gnttab_get_status_frames_x86_64 *op);
PV_API int pv_gnttab_op_swap_grant_ref(struct pv_machine *machine, domid_t domid,
                                       struct gnttab_swap_grant_ref *ops, unsigned count);
/* -EOPNOTSUPP: an operation of Arm. */
PV_API int pv_gnttab_op_cache_flush(struct pv_machine *machine, domid_t domid,
                                    struct gnttab_cache_flush *ops, unsigned count);

/* What gntdev's SET_UNMAP_NOTIFY does: when the handle's last part is unmapped, also because its
 * process died, the byte at `offset` of the page is cleared (`clear`) and an event is sent through
 * the mapper's own `port` (not 0). -EINVAL: no such handle, port or offset, or a byte of a
 * read-only map. */
PV_API int pv_gnttab_set_unmap_notify(struct pv_machine *machine, domid_t domid,
                                      grant_handle_t handle, bool clear, uint32_t offset,
                                      evtchn_port_t port);

/* What the guest itself sees: its table in this process's memory. */
PV_API int pv_gnttab_entries(struct pv_machine *machine, domid_t domid,
                             struct pv_grant_entries *entries);
/* For tests and tools: the pin word of an entry (host rw, host ro, device rw, device ro, 8 bits
 * each from the lowest), -ESRCH, or -EINVAL for a ref beyond the table. */
PV_API int64_t pv_gnttab_pins(struct pv_machine *machine, domid_t domid, grant_ref_t ref);
/* Handles a domain holds on others' grants, or -ESRCH. */
PV_API int64_t pv_gnttab_handles(struct pv_machine *machine, domid_t domid);
/* cffi: end */

#endif
