/* The caller's memory, which is this process's. The kernel copies, since it alone knows what is
 * mapped: what a program passed by mistake is -EFAULT, as Xen answers, and no signal. */
#include "pvdrivers/sim/hypercalls/internal.h"

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
