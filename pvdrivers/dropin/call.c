/* libxencall.so.1: the libraries' way to make any hypercall, libxenctrl's above all. What it
 * answers is the machine's (pvdrivers/sim/hypercalls/). */
#include "pvdrivers/dropin/dropin.h"
#include "pvdrivers/sim/hypercall.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct xencall_handle {
    struct dropin_handle base;
    int fd; /* what xencall_fd shows; nothing is behind it */
} xencall_handle;

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    xencall_handle *handle = dropin_open(sizeof *handle, DROPIN_NOTHING);
    if (!handle)
        return NULL;
    handle->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (handle->fd >= 0)
        return handle;
    int error = errno;
    dropin_close(&handle->base);
    errno = error;
    return NULL;
}

int xencall_close(xencall_handle *handle)
{
    if (!handle)
        return 0;
    close(handle->fd);
    dropin_close(&handle->base);
    return 0;
}

int xencall_fd(xencall_handle *handle)
{
    return handle->fd;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static long call(xencall_handle *handle, unsigned op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
                 uint64_t arg4, uint64_t arg5)
{
    uint64_t args[PV_HYPERCALL_ARGS] = {arg1, arg2, arg3, arg4, arg5};
    if (!dropin_allows(&handle->base, DOMID_INVALID))
        return -1;
    long result = pv_hypercall(handle->base.machine, handle->base.hypervisor->domid, op, args);
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

int xencall0(xencall_handle *handle, unsigned op)
{
    return (int)call(handle, op, 0, 0, 0, 0, 0);
}

int xencall1(xencall_handle *handle, unsigned op, uint64_t arg1)
{
    return (int)call(handle, op, arg1, 0, 0, 0, 0);
}

int xencall2(xencall_handle *handle, unsigned op, uint64_t arg1, uint64_t arg2)
{
    return (int)call(handle, op, arg1, arg2, 0, 0, 0);
}

long xencall2L(xencall_handle *handle, unsigned op, uint64_t arg1, uint64_t arg2)
{
    return call(handle, op, arg1, arg2, 0, 0, 0);
}

int xencall3(xencall_handle *handle, unsigned op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
    return (int)call(handle, op, arg1, arg2, arg3, 0, 0);
}

int xencall4(xencall_handle *handle, unsigned op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4)
{
    return (int)call(handle, op, arg1, arg2, arg3, arg4, 0);
}

int xencall5(xencall_handle *handle, unsigned op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4, uint64_t arg5)
{
    return (int)call(handle, op, arg1, arg2, arg3, arg4, arg5);
}

/* ---- Buffers: the hypervisor is in this process and reads any of its memory -------------------
 */

void *xencall_alloc_buffer_pages(xencall_handle *handle, size_t pages)
{
    (void)handle;
    void *buffer = mmap(NULL, pages * XC_PAGE_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return buffer == MAP_FAILED ? NULL : buffer;
}

void xencall_free_buffer_pages(xencall_handle *handle, void *buffer, size_t pages)
{
    (void)handle;
    if (buffer)
        munmap(buffer, pages * XC_PAGE_SIZE);
}

void *xencall_alloc_buffer(xencall_handle *handle, size_t size)
{
    (void)handle;
    return calloc(1, size);
}

void xencall_free_buffer(xencall_handle *handle, void *buffer)
{
    (void)handle;
    free(buffer);
}

int xencall_buffers_never_fault(xencall_handle *handle)
{
    (void)handle;
    return 1;
}
