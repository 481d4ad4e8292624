/* sysctls about the machine's CPUs, memory and nodes. */
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/sched.h"

#include <unistd.h>

#define CPU_KHZ 1000000u /* a machine's time is ns */
#define LOCAL_DISTANCE 10u

/* The machine's, or the host's, which its domains use if it has none. */
static uint32_t visible_cpus(struct pv_machine *machine)
{
    uint32_t cpus = machine->shared->scheduler.cpus;
    if (cpus)
        return cpus;
    long host = sysconf(_SC_NPROCESSORS_ONLN);
    return host < 1 ? 1 : host > PV_SCHED_MAX_CPUS ? PV_SCHED_MAX_CPUS : (uint32_t)host;
}

static uint32_t cores_per_socket(struct pv_machine *machine)
{
    const struct machine *shared = machine->shared;
    uint32_t cores = visible_cpus(machine) / shared->threads_per_core;
    return shared->cores_per_socket ? shared->cores_per_socket : cores ? cores : 1;
}

long sysctl_physinfo(const struct hypercall *call, void *argument)
{
    struct pv_machine *machine = call->machine;
    const struct memory_extent *last = &machine->shared->extents[machine->shared->extent_count - 1];
    uint32_t cpus = visible_cpus(machine);
    ((struct xen_sysctl *)argument)->u.physinfo = (struct xen_sysctl_physinfo){
        .threads_per_core = machine->shared->threads_per_core,
        .cores_per_socket = cores_per_socket(machine),
        .nr_cpus = cpus,
        .max_cpu_id = cpus - 1,
        .nr_nodes = 1,
        .cpu_khz = CPU_KHZ,
        .capabilities =
            XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2,
        .total_pages = pv_machine_total_memory(machine) >> FRAME_SHIFT,
        .free_pages = pv_machine_free_memory(machine) >> FRAME_SHIFT,
        .max_mfn = last->start + last->count - 1,
    };
    return 0;
}

/* How many elements of an array are told: all of them when it is asked how many there are. */
static uint32_t elements(uint64_t array, uint32_t room, uint32_t count)
{
    return array && room < count ? room : count;
}

long sysctl_getcpuinfo(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_getcpuinfo *op = &((struct xen_sysctl *)argument)->u.getcpuinfo;
    uint32_t cpus = visible_cpus(call->machine);
    op->nr_cpus = op->max_cpus < cpus ? op->max_cpus : cpus;
    for (uint32_t cpu = 0; cpu < op->nr_cpus; cpu++) {
        struct xen_sysctl_cpuinfo info = {0};
        pv_sched_get_idle_time(call->machine, cpu, &info.idletime); /* 0 of the host's */
        if (copy_to_guest(op->info + cpu * sizeof info, &info, sizeof info))
            return -EFAULT;
    }
    return 0;
}

long sysctl_cputopoinfo(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_cputopoinfo *op = &((struct xen_sysctl *)argument)->u.cputopoinfo;
    uint32_t threads = call->machine->shared->threads_per_core;
    uint32_t cores = cores_per_socket(call->machine);
    op->num_cpus = elements(op->cputopo, op->num_cpus, visible_cpus(call->machine));
    for (uint32_t cpu = 0; op->cputopo && cpu < op->num_cpus; cpu++) {
        struct xen_sysctl_cputopo topology = {.core = cpu / threads % cores,
                                              .socket = cpu / threads / cores};
        if (copy_to_guest(op->cputopo + cpu * sizeof topology, &topology, sizeof topology))
            return -EFAULT;
    }
    return 0;
}

/* All memory is one node's. */
long sysctl_numainfo(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_numainfo *op = &((struct xen_sysctl *)argument)->u.numainfo;
    struct xen_sysctl_meminfo info = {pv_machine_total_memory(call->machine),
                                      pv_machine_free_memory(call->machine)};
    uint32_t distance = LOCAL_DISTANCE;
    op->num_nodes = elements(op->meminfo | op->distance, op->num_nodes, 1);
    if (op->num_nodes == 0)
        return 0;
    if (op->meminfo && copy_to_guest(op->meminfo, &info, sizeof info))
        return -EFAULT;
    if (op->distance && copy_to_guest(op->distance, &distance, sizeof distance))
        return -EFAULT;
    return 0;
}

/* There are no PCI devices: whatever the caller names, none of it is known. */
long sysctl_pcitopoinfo(const struct hypercall *call, void *argument)
{
    const struct xen_sysctl_pcitopoinfo *op = &((struct xen_sysctl *)argument)->u.pcitopoinfo;
    uint32_t unknown = XEN_INVALID_DEV;
    (void)call;
    if (!op->devs || !op->nodes)
        return -EINVAL;
    for (uint32_t i = 0; i < op->num_devs; i++)
        if (copy_to_guest(op->nodes + i * sizeof unknown, &unknown, sizeof unknown))
            return -EFAULT;
    return 0;
}
