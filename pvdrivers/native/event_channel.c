#include "pvdrivers/native/hypervisor.h"

#include <fcntl.h>
#include <stdlib.h>

struct native_evtchn {
    const struct native_libraries *libraries;
    void *handle;
};

static struct native_evtchn *to_evtchn(struct pv_evtchn *handle)
{
    return (struct native_evtchn *)handle;
}

/* The library reads the fd for pending ports and would block when there is none. */
static int make_nonblocking(int fd)
{
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

struct pv_evtchn *native_evtchn_open(struct pv_hypervisor *hypervisor)
{
    const struct native_libraries *libraries = &to_native(hypervisor)->libraries;
    struct native_evtchn *evtchn = malloc(sizeof *evtchn);
    if (!evtchn)
        return NULL;
    *evtchn = (struct native_evtchn){libraries, libraries->xenevtchn_open(&native_quiet_logger, 0)};
    if (evtchn->handle && make_nonblocking(libraries->xenevtchn_fd(evtchn->handle)) == 0)
        return (struct pv_evtchn *)evtchn;
    int error = errno;
    if (evtchn->handle)
        libraries->xenevtchn_close(evtchn->handle);
    free(evtchn);
    errno = error;
    return NULL;
}

void native_evtchn_close(struct pv_evtchn *handle)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    evtchn->libraries->xenevtchn_close(evtchn->handle);
    free(evtchn);
}

int native_evtchn_fd(struct pv_evtchn *handle)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    return native_result(evtchn->libraries->xenevtchn_fd(evtchn->handle));
}

int native_evtchn_bind_unbound_port(struct pv_evtchn *handle, domid_t remote)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    return native_result(evtchn->libraries->xenevtchn_bind_unbound_port(evtchn->handle, remote));
}

int native_evtchn_bind_interdomain(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    return native_result(
        evtchn->libraries->xenevtchn_bind_interdomain(evtchn->handle, remote, port));
}

int native_evtchn_bind_virq(struct pv_evtchn *handle, uint32_t virq)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    return native_result(evtchn->libraries->xenevtchn_bind_virq(evtchn->handle, virq));
}

int native_evtchn_unbind(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    return native_result(evtchn->libraries->xenevtchn_unbind(evtchn->handle, port));
}

int native_evtchn_notify(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    return native_result(evtchn->libraries->xenevtchn_notify(evtchn->handle, port));
}

int native_evtchn_pending(struct pv_evtchn *handle)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    return native_result(evtchn->libraries->xenevtchn_pending(evtchn->handle));
}

int native_evtchn_unmask(struct pv_evtchn *handle, evtchn_port_t port)
{
    struct native_evtchn *evtchn = to_evtchn(handle);
    return native_result(evtchn->libraries->xenevtchn_unmask(evtchn->handle, port));
}
