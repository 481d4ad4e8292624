#include "pvdrivers/dropin/dropin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pv_machine *machine;
static int attach_error;
static pthread_once_t attach_once = PTHREAD_ONCE_INIT;

static void attach(void)
{
    const char *path = getenv("PVDRIVERS_MACHINE");
    if (!path) {
        attach_error = ENOENT;
        fputs("pvdrivers: set PVDRIVERS_MACHINE to the socket of a simulated machine\n", stderr);
        return;
    }
    attach_error = -pv_machine_attach(path, &machine);
    if (attach_error)
        fprintf(stderr, "pvdrivers: no machine at %s (PVDRIVERS_MACHINE): %s\n", path,
                strerror(attach_error));
}

struct pv_machine *dropin_machine(void)
{
    pthread_once(&attach_once, attach);
    errno = attach_error;
    return machine;
}

/* The domain of this process, or DOMID_INVALID. */
static domid_t own_domid(void)
{
    const char *text = getenv("PVDRIVERS_DOMID");
    if (!text)
        return 0;
    char *end;
    unsigned long domid = strtoul(text, &end, 10);
    return *text && !*end && domid < DOMID_FIRST_RESERVED ? (domid_t)domid : DOMID_INVALID;
}

static struct pv_hypervisor *open_view(void)
{
    struct pv_hypervisor *hypervisor;
    domid_t domid = own_domid();
    int error =
        domid == DOMID_INVALID ? -EINVAL : pv_machine_open_hypervisor(machine, domid, &hypervisor);
    if (!error && hypervisor->page_size != XC_PAGE_SIZE) {
        hypervisor->ops->close(hypervisor);
        error = -EINVAL;
    }
    if (!error)
        return hypervisor;
    const char *text = getenv("PVDRIVERS_DOMID");
    fprintf(stderr, "pvdrivers: cannot act as domain %s (PVDRIVERS_DOMID): %s\n", text ? text : "0",
            strerror(-error));
    errno = -error;
    return NULL;
}

static int restrict_active(Xentoolcore__Active_Handle *active, domid_t domid)
{
    return dropin_restrict((struct dropin_handle *)active, domid);
}

void *dropin_open(size_t size, enum dropin_restriction restriction)
{
    if (!dropin_machine())
        return NULL;
    struct dropin_handle *handle = calloc(1, size);
    if (!handle)
        return NULL;
    handle->hypervisor = open_view();
    if (!handle->hypervisor) {
        free(handle);
        return NULL;
    }
    handle->machine = machine;
    handle->restriction = restriction;
    handle->only = DOMID_INVALID;
    handle->active.restrict_callback = restrict_active;
    xentoolcore__register_active_handle(&handle->active);
    return handle;
}

void dropin_close(struct dropin_handle *handle)
{
    xentoolcore__deregister_active_handle(&handle->active);
    handle->hypervisor->ops->close(handle->hypervisor);
    free(handle);
}

int dropin_restrict(struct dropin_handle *handle, domid_t domid)
{
    if (!dropin_allows(handle, domid) && handle->restriction == DROPIN_ONE_DOMAIN)
        return -1;
    handle->only = domid;
    return 0;
}

bool dropin_allows(const struct dropin_handle *handle, uint32_t domid)
{
    if (handle->only == DOMID_INVALID)
        return true;
    errno = handle->restriction == DROPIN_NOTHING ? EBADF : EPERM;
    return handle->restriction == DROPIN_ONE_DOMAIN && handle->only == domid;
}
