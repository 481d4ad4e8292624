/* libxenevtchn.so.1 */
#include "pvdrivers/dropin/dropin.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#define XENEVTCHN_NO_CLOEXEC 1

typedef struct xenevtchn_handle {
    struct dropin_handle base;
    struct pv_evtchn *evtchn;
    /* An epoll fd around the machine's own: pollable alike, but its flags are the program's, which
     * chooses with O_NONBLOCK whether xenevtchn_pending waits. */
    int fd;
} xenevtchn_handle;

static const struct pv_hypervisor_ops *ops(const xenevtchn_handle *handle)
{
    return handle->base.hypervisor->ops;
}

static int wrap_fd(int fd, int flags)
{
    int wrapper = epoll_create1(flags);
    struct epoll_event event = {.events = EPOLLIN};
    if (wrapper >= 0 && epoll_ctl(wrapper, EPOLL_CTL_ADD, fd, &event)) {
        close(wrapper);
        return -1;
    }
    return wrapper;
}

int xenevtchn_close(xenevtchn_handle *handle)
{
    if (!handle)
        return 0;
    if (handle->fd >= 0)
        close(handle->fd);
    if (handle->evtchn)
        ops(handle)->evtchn_close(handle->evtchn);
    dropin_close(&handle->base);
    return 0;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger;
    if (flags & ~XENEVTCHN_NO_CLOEXEC) {
        errno = EINVAL;
        return NULL;
    }
    xenevtchn_handle *handle = dropin_open(sizeof *handle, DROPIN_ONE_DOMAIN);
    if (!handle)
        return NULL;
    handle->fd = -1;
    handle->evtchn = ops(handle)->evtchn_open(handle->base.hypervisor);
    if (handle->evtchn)
        handle->fd = wrap_fd(ops(handle)->evtchn_fd(handle->evtchn),
                             flags & XENEVTCHN_NO_CLOEXEC ? 0 : EPOLL_CLOEXEC);
    if (handle->fd >= 0)
        return handle;
    int error = errno;
    xenevtchn_close(handle);
    errno = error;
    return NULL;
}

/* A descriptor inherited from another program says nothing about the ports behind it. */
xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned flags)
{
    (void)logger, (void)fd, (void)flags;
    errno = ENOTTY;
    return NULL;
}

int xenevtchn_restrict(xenevtchn_handle *handle, domid_t domid)
{
    return dropin_restrict(&handle->base, domid);
}

int xenevtchn_fd(xenevtchn_handle *handle)
{
    return handle->fd;
}

int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t port)
{
    return dropin_result(ops(handle)->evtchn_notify(handle->evtchn, port));
}

int xenevtchn_bind_unbound_port(xenevtchn_handle *handle, uint32_t domid)
{
    if (!dropin_allows(&handle->base, domid))
        return -1;
    return dropin_result(ops(handle)->evtchn_bind_unbound_port(handle->evtchn, (domid_t)domid));
}

int xenevtchn_bind_interdomain(xenevtchn_handle *handle, uint32_t domid, evtchn_port_t port)
{
    if (!dropin_allows(&handle->base, domid))
        return -1;
    return dropin_result(
        ops(handle)->evtchn_bind_interdomain(handle->evtchn, (domid_t)domid, port));
}

int xenevtchn_bind_virq(xenevtchn_handle *handle, unsigned virq)
{
    if (!dropin_allows(&handle->base, DOMID_INVALID))
        return -1;
    return dropin_result(ops(handle)->evtchn_bind_virq(handle->evtchn, virq));
}

int xenevtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port)
{
    return dropin_result(ops(handle)->evtchn_unbind(handle->evtchn, port));
}

/* Waits like the read(2) of the event channel device: unless the program made the fd non-blocking.
 */
int xenevtchn_pending(xenevtchn_handle *handle)
{
    struct epoll_event event;
    for (;;) {
        int port = ops(handle)->evtchn_pending(handle->evtchn);
        if (port != -EAGAIN || fcntl(handle->fd, F_GETFL) & O_NONBLOCK)
            return dropin_result(port);
        if (epoll_wait(handle->fd, &event, 1, -1) < 0)
            return -1;
    }
}

int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port)
{
    return dropin_result(ops(handle)->evtchn_unmask(handle->evtchn, port));
}
