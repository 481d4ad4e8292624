/* The caller's memory, which is this process's. The kernel copies, since it alone knows what is
 * mapped: what a program passed by mistake is -EFAULT, as Xen answers, and no signal. */
#include "pvdrivers/sim/hypercalls/internal.h"
#include "pvdrivers/sim/sched.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int copied(ssize_t bytes, size_t size)
{
    return bytes == (ssize_t)size ? 0 : -EFAULT;
}

int copy_from_guest(void *to, uint64_t from, size_t size)
{
    struct iovec own = {to, size}, theirs = {(void *)(uintptr_t)from, size};
    return copied(process_vm_readv(getpid(), &own, 1, &theirs, 1, 0), size);
}

int copy_to_guest(uint64_t to, const void *from, size_t size)
{
    struct iovec own = {(void *)(uintptr_t)from, size}, theirs = {(void *)(uintptr_t)to, size};
    return copied(process_vm_writev(getpid(), &own, 1, &theirs, 1, 0), size);
}

/* ---- Bitmaps --------------------------------------------------------------------------------- */

#define MAX_BITMAP 4096u /* bits; no tool knows of more CPUs */

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

int cpus_to_guest(const struct xenctl_bitmap *to, const uint64_t *cpus)
{
    uint8_t bytes[MAX_BITMAP / 8] = {0};
    if (to->nr_bits > MAX_BITMAP)
        return -E2BIG;
    for (uint32_t i = 0; i < smaller(to->nr_bits, PV_SCHED_MAX_CPUS); i++)
        bytes[i / 8] |= (uint8_t)((cpus[i / 64] >> i % 64 & 1) << i % 8);
    return copy_to_guest(to->bitmap, bytes, (to->nr_bits + 7) / 8);
}

int cpus_from_guest(uint64_t *cpus, const struct xenctl_bitmap *from)
{
    uint8_t bytes[MAX_BITMAP / 8];
    if (from->nr_bits > MAX_BITMAP)
        return -E2BIG;
    if (copy_from_guest(bytes, from->bitmap, (from->nr_bits + 7) / 8))
        return -EFAULT;
    memset(cpus, 0, PV_SCHED_MAX_CPUS / 8);
    for (uint32_t i = 0; i < smaller(from->nr_bits, PV_SCHED_MAX_CPUS); i++)
        cpus[i / 64] |= (uint64_t)(bytes[i / 8] >> i % 8 & 1) << i % 64;
    return 0;
}
