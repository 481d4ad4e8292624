/*
 * Cpupools: CPUs of a machine that have a scheduler of their own, and the domains that run there.
 * Pool-0 is there from the start with all CPUs. Rules and errors are Xen's
 * (XEN_SYSCTL_CPUPOOL_OP_*, common/sched/cpupool.c); a machine without CPUs has no pool.
 *
 * Calls return 0 or a negative errno, ENOENT when there is no pool with this id.
 */
#ifndef PVDRIVERS_SIM_CPUPOOL_H
#define PVDRIVERS_SIM_CPUPOOL_H

#include "pvdrivers/sim/sched.h"

/* cffi: begin */

#define PV_CPUPOOL_ANY 0xFFFFFFFF

/* xen_sysctl_cpupool_op */
struct pv_cpupool_info {
    uint32_t pool;
    uint32_t scheduler; /* PV_SCHEDULER_* */
    uint32_t domains;
    uint64_t cpus[4]; /* PV_SCHED_MAX_CPUS bits */
};

/* An empty pool. `pool`: its id, or PV_CPUPOOL_ANY, which becomes the id. EEXIST: there is one.
 * ENOENT: there is no such scheduler. ENOSPC: there are two for each CPU already. */
PV_API int pv_cpupool_create(struct pv_machine *machine, uint32_t *pool, uint32_t scheduler);
/* EBUSY: it has domains or CPUs. */
PV_API int pv_cpupool_destroy(struct pv_machine *machine, uint32_t pool);
/* Of the pool with the lowest id that is not below `pool`. */
PV_API int pv_cpupool_get_info(struct pv_machine *machine, uint32_t pool,
                               struct pv_cpupool_info *info);

/* A free CPU, or PV_CPUPOOL_ANY for the first one. ENODEV: it is not free, or none is. EINVAL:
 * there is no such CPU. */
PV_API int pv_cpupool_add_cpu(struct pv_machine *machine, uint32_t pool, uint32_t cpu);
/* A CPU of the pool, or PV_CPUPOOL_ANY for the last one; its vcpus go to the pool's others. A vcpu
 * that might run on none of these may run on all CPUs from then on. EBUSY: it is the pool's last
 * CPU, and a domain needs it (one that is dying goes to Pool-0). EADDRNOTAVAIL: it is not the
 * pool's. EINVAL: there is no such CPU, or it is CPU 0 in Pool-0, which stays. */
PV_API int pv_cpupool_remove_cpu(struct pv_machine *machine, uint32_t pool, uint32_t cpu);
/* The CPUs of no pool, PV_SCHED_MAX_CPUS bits. */
PV_API int pv_cpupool_get_free(struct pv_machine *machine, uint64_t *cpus);

/* The domain has the default weight, no cap and no affinity there. ESRCH: there is no such domain.
 * ENOENT also when the pool has no CPU. */
PV_API int pv_cpupool_move_domain(struct pv_machine *machine, uint32_t pool, domid_t domid);
PV_API int pv_cpupool_of_domain(struct pv_machine *machine, domid_t domid, uint32_t *pool);
/* cffi: end */

#endif
