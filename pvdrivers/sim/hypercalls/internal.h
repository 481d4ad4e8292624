/*
 * What the files of the room share. A hypercall with operations is a table by Xen's numbers; what
 * has no row answers -ENOSYS. An operation gets a private copy of its argument:
 *   table.c          hypercalls by number       guest_memory.c  the caller's memory
 *   version.c        xen_version                simple.c        event channels, grants
 *   memory_op.c      memory_op                  platform_op.c   platform_op
 *   exchange.c       memory_op's exchange       multicall.c     several hypercalls as one
 *   sysctl.c         sysctl                     domctl.c        domctl
 *   domain_info.c    getdomaininfo of both      topology.c      sysctls about CPUs and nodes
 *   scheduling.c     schedulers, cpupools       vcpu.c          domctls of a vcpu
 *   create.c         createdomain               memory_map.c    memory maps of memory_op
 *   pages.c          single pages, of sysctl and domctl
 *   vcpu_op.c        vcpu_op                    sched_op.c      sched_op
 *   ia64.c           what only ia64 guests have
 */
#ifndef PVDRIVERS_SIM_HYPERCALLS_INTERNAL_H
#define PVDRIVERS_SIM_HYPERCALLS_INTERNAL_H

#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/hypercall.h"
#include "pvdrivers/sim/hypercalls/abi_domctl.h"
#include "pvdrivers/sim/hypercalls/abi_memory.h"
#include "pvdrivers/sim/hypercalls/abi_sysctl.h"
#include "pvdrivers/sim/machine_vcpus.h"

#include <errno.h>

struct hypercall {
    struct pv_machine *machine;
    domid_t caller;
    uint64_t args[PV_HYPERCALL_ARGS];
};

/* ---- guest_memory.c: 0 or -EFAULT ---- */
int copy_from_guest(void *to, uint64_t from, size_t size);
int copy_to_guest(uint64_t to, const void *from, size_t size);
/* The context of a vcpu, as the ABI of its domain has it. */
union vcpu_context {
    struct vcpu_guest_context_ia64 ia64; /* the largest */
    uint8_t x86_64[PV_VCPU_CONTEXT_SIZE_x86_64];
};
/* Masks of CPUs, PV_SCHED_MAX_CPUS bits. What a bitmap has no room for is not said, or no CPU. */
int cpus_to_guest(const struct xenctl_bitmap *to, const uint64_t *cpus);
int cpus_from_guest(uint64_t *cpus, const struct xenctl_bitmap *from);

/* ---- table.c ---- */
#define IN 1u  /* the structure is read */
#define OUT 2u /* it is written back when the operation succeeds */
#define BOTH (IN | OUT)
struct operation {
    uint16_t size; /* of the structure, MAX_ARGUMENT at most; 0: the operation has none */
    uint16_t use;
    long (*run)(const struct hypercall *call, void *argument);
};
#define MAX_ARGUMENT 1024
long run_operation(const struct hypercall *call, const struct operation *table, uint32_t count,
                   uint32_t number, uint64_t address);
#define RUN_OPERATION(call, table, number, address)                                                \
    run_operation(call, table, sizeof(table) / sizeof *(table), number, address)
/* Those of domctl, sysctl and platform_op, whose structures begin alike: of one interface version,
 * -EACCES for another, and for privileged domains. */
long run_toolstack_operation(const struct hypercall *call, const struct operation *table,
                             uint32_t count, uint32_t interface_version);
#define RUN_TOOLSTACK_OPERATION(call, table, interface_version)                                    \
    run_toolstack_operation(call, table, sizeof(table) / sizeof *(table), interface_version)
/* 0; -EPERM, or -ESRCH when the caller is gone. */
int check_privilege(const struct hypercall *call);

/* ---- The hypercalls ---- */
long do_platform_op(const struct hypercall *call);
long do_memory_op(const struct hypercall *call);
long do_multicall(const struct hypercall *call);
long do_xen_version(const struct hypercall *call);
long do_event_channel_op(const struct hypercall *call);
long do_grant_table_op(const struct hypercall *call);
long do_vcpu_op(const struct hypercall *call);
long do_sched_op(const struct hypercall *call);
long do_sysctl(const struct hypercall *call);
long do_domctl(const struct hypercall *call);
/* Their arguments name the caller's guest-physical memory, as its kernel does. */
long do_ia64_dom0vp_op(const struct hypercall *call);
long do_ia64_debug_op(const struct hypercall *call);

/* ---- Operations of memory_op ---- */
/* exchange.c */
long memory_exchange(const struct hypercall *call, void *argument);
/* memory_map.c */
long memory_map(const struct hypercall *call, void *argument);
long set_memory_map(const struct hypercall *call, void *argument);
long machine_memory_map(const struct hypercall *call, void *argument);

/* ---- Operations of sysctl and domctl: the argument is the whole structure ---- */
/* topology.c */
long sysctl_physinfo(const struct hypercall *call, void *argument);
long sysctl_getcpuinfo(const struct hypercall *call, void *argument);
long sysctl_cputopoinfo(const struct hypercall *call, void *argument);
long sysctl_availheap(const struct hypercall *call, void *argument);
long sysctl_numainfo(const struct hypercall *call, void *argument);
long sysctl_pcitopoinfo(const struct hypercall *call, void *argument);
/* scheduling.c */
long sysctl_sched_id(const struct hypercall *call, void *argument);
long sysctl_scheduler_op(const struct hypercall *call, void *argument);
long sysctl_cpupool_op(const struct hypercall *call, void *argument);
long domctl_scheduler_op(const struct hypercall *call, void *argument);
/* create.c */
long domctl_createdomain(const struct hypercall *call, void *argument);
/* pages.c */
long sysctl_page_offline_op(const struct hypercall *call, void *argument);
long domctl_getpageframeinfo3(const struct hypercall *call, void *argument);
/* vcpu.c */
long domctl_setvcpucontext(const struct hypercall *call, void *argument);
long domctl_getvcpucontext(const struct hypercall *call, void *argument);
long domctl_getvcpuinfo(const struct hypercall *call, void *argument);
long domctl_setvcpuaffinity(const struct hypercall *call, void *argument);
long domctl_getvcpuaffinity(const struct hypercall *call, void *argument);

/* ---- domain_info.c ---- */
/* The first domain from `domid` on; -ESRCH when there is none. */
long next_domain(const struct hypercall *call, uint32_t domid,
                 struct xen_domctl_getdomaininfo *info);

#endif
