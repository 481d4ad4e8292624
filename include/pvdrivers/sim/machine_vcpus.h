/*
 * What a guest's kernel asks of the simulated hypervisor for its vcpus: vcpu_op and sched_op, with
 * Xen's arguments (ring/abi_vcpu.h, abi_sched.h). `caller` is the domain, which makes the call on
 * its vcpu `current`; `vcpu` is the one it is about.
 *
 * Calls return 0 or a positive result, or a negative errno: -ESRCH no such domain, -ENOENT no such
 * vcpu; others are named at the call.
 *
 * Timers raise VIRQ_TIMER at their vcpu. In virtual time they expire as it moves on; in real time
 * in a thread of the process that made the machine.
 */
#ifndef PVDRIVERS_SIM_MACHINE_VCPUS_H
#define PVDRIVERS_SIM_MACHINE_VCPUS_H

#include "pvdrivers/ring/abi_vcpu.h"
#include "pvdrivers/sim/machine.h"

/* cffi: begin */
/* From now on the vcpu's vcpu_info is there, once and for all. A vcpu beyond those of shared_info
 * (32, on ia64 64) has one that its guest does not see until then. All that may have been raised
 * for it is raised again. -ENXIO it crosses the end of its page, or is not aligned to a word;
 * -EINVAL no such page, it was registered before, or the vcpu is another one and up. */
PV_API int pv_vcpu_op_register_vcpu_info(struct pv_machine *machine, domid_t caller,
                                         uint32_t current, uint32_t vcpu,
                                         const struct vcpu_register_vcpu_info *info);

/* ---- Runstates, on a machine with CPUs: -ENODEV on others ---- */

/* What the vcpu does, and its time in each state up to now. In real time a vcpu that is neither
 * blocked, down nor paused runs, and has run for what sched.h says. */
PV_API int pv_vcpu_op_get_runstate_info(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                                        struct vcpu_runstate_info *info);
/* From now on the same is in the guest's memory too, in its ABI's layout, at this guest-physical
 * address: written anew whenever the state changes, with the times up to then. A part of it that is
 * on no page of the guest's own is not written, and comes back to life by another registration
 * alone. -EFAULT: beyond all addresses (2^50). */
PV_API int
pv_vcpu_op_register_runstate_memory_area(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                                         const struct vcpu_register_runstate_memory_area *area);

/* ---- Whether a vcpu runs ---- */

/* Bytes of struct vcpu_guest_context (arch-x86/xen.h). */
#define PV_VCPU_CONTEXT_SIZE_x86_64 5168
#define PV_VCPU_CONTEXT_SIZE_x86_32 2800
/* Of the guest's ABI. */
PV_API uint32_t pv_vcpu_context_size(enum pv_abi abi);
/* Its vcpu_guest_context, which is kept as it is. -EEXIST it was initialised before, or is one of
 * those that were up from the beginning; -EINVAL its guest cannot see its vcpu_info yet. */
PV_API int pv_vcpu_op_initialise(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                                 const void *context);
/* The same by a toolstack, whether it was initialised before or not; with VGCF_online among the
 * context's flags the vcpu is up. */
PV_API int pv_vcpu_set_context(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                               const void *context);
/* What was kept; zeros for one that was up from the beginning. -ENODATA it is not initialised. */
PV_API int pv_vcpu_get_context(struct pv_machine *machine, domid_t domid, uint32_t vcpu,
                               void *context);
/* -EINVAL it is not initialised. */
PV_API int pv_vcpu_op_up(struct pv_machine *machine, domid_t caller, uint32_t vcpu);
/* When it was the last one that is up, the domain powers off. */
PV_API int pv_vcpu_op_down(struct pv_machine *machine, domid_t caller, uint32_t vcpu);
/* 1 or 0. */
PV_API int pv_vcpu_op_is_up(struct pv_machine *machine, domid_t caller, uint32_t vcpu);

/* ---- Timers ---- */

/* A tick each period, of 1 ms or more (-EINVAL), while the vcpu is neither blocked nor down. */
PV_API int pv_vcpu_op_set_periodic_timer(struct pv_machine *machine, domid_t caller, uint32_t vcpu,
                                         const struct vcpu_set_periodic_timer *timer);
PV_API int pv_vcpu_op_stop_periodic_timer(struct pv_machine *machine, domid_t caller,
                                          uint32_t vcpu);
/* One that has passed already expires at once, or is -ETIME with VCPU_SSHOTTMR_future. -EINVAL for
 * another vcpu than the caller's; this holds for the next one too. */
PV_API int pv_vcpu_op_set_singleshot_timer(struct pv_machine *machine, domid_t caller,
                                           uint32_t current, uint32_t vcpu,
                                           const struct vcpu_set_singleshot_timer *timer);
PV_API int pv_vcpu_op_stop_singleshot_timer(struct pv_machine *machine, domid_t caller,
                                            uint32_t current, uint32_t vcpu);

/* ---- sched_op ---- */

/* It goes behind those that are as urgent, whatever its ratelimit. */
PV_API int pv_sched_op_yield(struct pv_machine *machine, domid_t caller, uint32_t current);
/* Upcalls are unmasked, and the vcpu is blocked until one comes. In virtual time the call returns
 * at once (pv_vcpu_is_blocked), in real time when the vcpu runs again, or -ESRCH when its domain is
 * destroyed. So does the next one. */
PV_API int pv_sched_op_block(struct pv_machine *machine, domid_t caller, uint32_t current);
/* Until one of at most 128 ports is pending or an upcall may be made, or the machine's time is
 * `timeout` (ns, 0: for ever). With several ports any event of the domain ends it. -EINVAL no such
 * port, or too many. */
PV_API int pv_sched_op_poll(struct pv_machine *machine, domid_t caller, uint32_t current,
                            const evtchn_port_t *ports, uint32_t count, uint64_t timeout);
/* 1 or 0: whether one of the two has it wait. */
PV_API int pv_vcpu_is_blocked(struct pv_machine *machine, domid_t domid, uint32_t vcpu);
/* The reason that counts when the domain shuts down, whoever says so: the first one is kept.
 * -EINVAL beyond SHUTDOWN_MAX. */
PV_API int pv_sched_op_shutdown_code(struct pv_machine *machine, domid_t caller, uint32_t reason);
/* pv_domain_shutdown for privileged domains (-EPERM). */
PV_API int pv_sched_op_remote_shutdown(struct pv_machine *machine, domid_t caller, domid_t domain,
                                       uint32_t reason);
/* `id` 0 makes a watchdog, which shuts the domain down with SHUTDOWN_watchdog after `timeout`
 * seconds: its id, or -ENOSPC when there are two. Others set it anew, or with `timeout` 0 remove
 * it: -EINVAL when there is none of that id. */
PV_API int pv_sched_op_watchdog(struct pv_machine *machine, domid_t caller, uint32_t id,
                                uint32_t timeout);
/* cffi: end */

#endif
