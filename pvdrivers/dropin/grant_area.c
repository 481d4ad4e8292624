#include "pvdrivers/dropin/grant_area.h"

#include "pvdrivers/ring/barrier.h"
#include "pvdrivers/sim/machine_events.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* The process's open handles, so that peers are told when it ends without closing them. */
#define MAX_HANDLES 256
static xengnttab_handle *handles[MAX_HANDLES];
static pthread_mutex_t areas_lock = PTHREAD_MUTEX_INITIALIZER; /* handles, and their areas */

/* Puts `with` where `what` was; false when `what` is not there. */
static bool replace_handle(const xengnttab_handle *what, xengnttab_handle *with)
{
    bool found = false;
    pthread_mutex_lock(&areas_lock);
    for (unsigned i = 0; i < MAX_HANDLES && !found; i++)
        if (handles[i] == what) {
            handles[i] = with;
            found = true;
        }
    pthread_mutex_unlock(&areas_lock);
    return found;
}

xengnttab_handle *grant_handle_open(void)
{
    xengnttab_handle *handle = dropin_open(sizeof *handle, DROPIN_NOTHING);
    if (!handle)
        return NULL;
    handle->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int error = handle->fd < 0 ? errno : replace_handle(NULL, handle) ? 0 : EMFILE;
    if (!error)
        return handle;
    if (handle->fd >= 0)
        close(handle->fd);
    dropin_close(&handle->base);
    errno = error;
    return NULL;
}

void grant_handle_close(xengnttab_handle *handle,
                        void (*release)(xengnttab_handle *handle, struct grant_area *area))
{
    replace_handle(handle, NULL);
    while (handle->areas) {
        struct grant_area *area = handle->areas;
        handle->areas = area->next;
        release(handle, area);
    }
    close(handle->fd);
    dropin_close(&handle->base);
}

struct grant_area *grant_area_new(uint32_t count)
{
    if (count == 0) {
        errno = EINVAL;
        return NULL;
    }
    struct grant_area *area = calloc(1, sizeof *area + count * sizeof area->maps[0]);
    if (area) {
        area->count = count;
        area->notify_offset = area->notify_port = NO_NOTICE;
    }
    return area;
}

void grant_area_add(xengnttab_handle *handle, struct grant_area *area)
{
    pthread_mutex_lock(&areas_lock);
    area->next = handle->areas;
    handle->areas = area;
    pthread_mutex_unlock(&areas_lock);
}

struct grant_area *grant_area_take(xengnttab_handle *handle, const void *address, uint32_t count)
{
    pthread_mutex_lock(&areas_lock);
    struct grant_area **link = &handle->areas;
    while (*link && ((*link)->address != address || (*link)->count != count))
        link = &(*link)->next;
    struct grant_area *area = *link;
    if (area)
        *link = area->next;
    pthread_mutex_unlock(&areas_lock);
    if (!area)
        errno = EINVAL;
    return area;
}

void grant_area_notify(const xengnttab_handle *handle, struct grant_area *area)
{
    if (area->notify_offset != NO_NOTICE)
        /* Release: what the program wrote to the page is there before the word says it has gone. */
        pv_store_release_byte(area->address + area->notify_offset, 0);
    if (area->notify_port != NO_NOTICE)
        pv_evtchn_op_send(handle->base.machine, handle->base.hypervisor->domid, area->notify_port);
    area->notify_offset = area->notify_port = NO_NOTICE;
}

/* What the kernel does for a program that ends with pages mapped or shared. */
__attribute__((destructor)) static void notify_all(void)
{
    pthread_mutex_lock(&areas_lock);
    for (unsigned i = 0; i < MAX_HANDLES; i++)
        for (struct grant_area *area = handles[i] ? handles[i]->areas : NULL; area;
             area = area->next)
            grant_area_notify(handles[i], area);
    pthread_mutex_unlock(&areas_lock);
}
