/* sysctls about the machine's CPUs, memory and nodes. */
#include "pvdrivers/sim/core/machine.h"
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/machine_memory.h"
#include "pvdrivers/sim/sched.h"

#include <unistd.h>

#define CPU_KHZ 1000000u /* a machine's time is ns */
#define LOCAL_DISTANCE 10u
#define REMOTE_DISTANCE 20u

/* The machine's, or the host's, which its domains use if it has none. */
static uint32_t visible_cpus(struct pv_machine *machine)
{
    uint32_t cpus = machine->shared->scheduler.cpus;
    if (cpus)
        return cpus;
    long host = sysconf(_SC_NPROCESSORS_ONLN);
    return host < 1 ? 1 : host > PV_SCHED_MAX_CPUS ? PV_SCHED_MAX_CPUS : (uint32_t)host;
}

/* CPUs belong to nodes in equal shares, in order. */
static uint32_t node_of_cpu(struct pv_machine *machine, uint32_t cpu)
{
    return cpu * machine->shared->scheduler.nodes / visible_cpus(machine);
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
    uint32_t cpus = visible_cpus(machine), nodes = pv_machine_node_count(machine);
    ((struct xen_sysctl *)argument)->u.physinfo = (struct xen_sysctl_physinfo){
        .threads_per_core = machine->shared->threads_per_core,
        .cores_per_socket = cores_per_socket(machine),
        .nr_cpus = cpus,
        .max_cpu_id = cpus - 1,
        .nr_nodes = nodes,
        .max_node_id = nodes - 1,
        .cpu_khz = CPU_KHZ,
        .capabilities =
            XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2,
        .total_pages = pv_machine_total_memory(machine) >> FRAME_SHIFT,
        .free_pages = pv_machine_free_memory(machine) >> FRAME_SHIFT,
        .outstanding_pages = pv_machine_outstanding_claims(machine) >> FRAME_SHIFT,
        .max_mfn = (uint64_t)pv_memory_maximum_ram_page(machine),
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
                                              .socket = cpu / threads / cores,
                                              .node = node_of_cpu(call->machine, cpu)};
        if (copy_to_guest(op->cputopo + cpu * sizeof topology, &topology, sizeof topology))
            return -EFAULT;
    }
    return 0;
}

long sysctl_availheap(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_availheap *op = &((struct xen_sysctl *)argument)->u.availheap;
    op->avail_bytes =
        pv_machine_available_memory(call->machine, op->node, op->min_bitwidth, op->max_bitwidth);
    return 0;
}

static int tell_distances(uint64_t row, uint32_t node, uint32_t nodes)
{
    for (uint32_t other = 0; other < nodes; other++) {
        uint32_t distance = other == node ? LOCAL_DISTANCE : REMOTE_DISTANCE;
        if (copy_to_guest(row + other * sizeof distance, &distance, sizeof distance))
            return -EFAULT;
    }
    return 0;
}

static int tell_node(struct pv_machine *machine, uint64_t to, uint32_t node)
{
    struct pv_node_memory memory;
    int error = pv_machine_node_memory(machine, node, &memory);
    struct xen_sysctl_meminfo info = {memory.total, memory.free};
    return error ? error : copy_to_guest(to + node * sizeof info, &info, sizeof info);
}

long sysctl_numainfo(const struct hypercall *call, void *argument)
{
    struct xen_sysctl_numainfo *op = &((struct xen_sysctl *)argument)->u.numainfo;
    uint32_t nodes =
        elements(op->meminfo | op->distance, op->num_nodes, pv_machine_node_count(call->machine));
    int error = 0;
    op->num_nodes = nodes;
    for (uint32_t node = 0; !error && node < nodes; node++) {
        uint64_t row = op->distance + (uint64_t)node * nodes * sizeof(uint32_t);
        if (op->meminfo)
            error = tell_node(call->machine, op->meminfo, node);
        if (!error && op->distance)
            error = tell_distances(row, node, nodes);
    }
    return error;
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
