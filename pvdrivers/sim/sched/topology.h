/* How a machine's CPUs lie, in the order of their numbers: the threads of a core, the cores of a
 * socket; nodes have them in equal shares. */
#ifndef PVDRIVERS_SIM_SCHED_TOPOLOGY_H
#define PVDRIVERS_SIM_SCHED_TOPOLOGY_H

#include "pvdrivers/sim/sched/cpu_mask.h"

static inline struct cpu_range all_cpus(const struct scheduler *sched)
{
    return (struct cpu_range){0, sched->cpus};
}

static inline struct cpu_range group_of(const struct scheduler *sched, uint32_t cpu, uint32_t size)
{
    uint32_t first = cpu - cpu % size, end = first + size;
    return (struct cpu_range){first, end < sched->cpus ? end : sched->cpus};
}

static inline struct cpu_range core_of(const struct scheduler *sched, uint32_t cpu)
{
    return group_of(sched, cpu, sched->core_cpus);
}

static inline struct cpu_range socket_of(const struct scheduler *sched, uint32_t cpu)
{
    return group_of(sched, cpu, sched->socket_cpus);
}

static inline uint32_t node_of(const struct scheduler *sched, uint32_t cpu)
{
    return cpu * sched->nodes / sched->cpus;
}

/* None, on a machine with more nodes than CPUs. */
static inline struct cpu_range cpus_of_node(const struct scheduler *sched, uint32_t node)
{
    uint32_t nodes = sched->nodes, cpus = sched->cpus;
    return (struct cpu_range){(node * cpus + nodes - 1) / nodes,
                              ((node + 1) * cpus + nodes - 1) / nodes};
}

static inline bool is_in(struct cpu_range range, uint32_t cpu)
{
    return cpu >= range.first && cpu < range.end;
}

/* Whether each CPU is a core, and all are in one socket: there is nothing to choose. */
static inline bool is_flat(const struct scheduler *sched)
{
    return sched->core_cpus == 1 && sched->socket_cpus >= sched->cpus;
}

#endif
