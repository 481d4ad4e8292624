/* libxentoolcore.so.1 */
#include "pvdrivers/dropin/toolcore.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

static Xentoolcore__Active_Handle *handles;
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;

void xentoolcore__register_active_handle(Xentoolcore__Active_Handle *handle)
{
    pthread_mutex_lock(&handles_lock);
    handle->next = handles;
    handle->link = &handles;
    if (handles)
        handles->link = &handle->next;
    handles = handle;
    pthread_mutex_unlock(&handles_lock);
}

void xentoolcore__deregister_active_handle(Xentoolcore__Active_Handle *handle)
{
    pthread_mutex_lock(&handles_lock);
    *handle->link = handle->next;
    if (handle->next)
        handle->next->link = handle->link;
    pthread_mutex_unlock(&handles_lock);
}

int xentoolcore_restrict_all(domid_t domid)
{
    int result = 0;
    pthread_mutex_lock(&handles_lock);
    for (Xentoolcore__Active_Handle *handle = handles; handle && !result; handle = handle->next)
        result = handle->restrict_callback(handle, domid);
    pthread_mutex_unlock(&handles_lock);
    return result;
}

int xentoolcore__restrict_by_dup2_null(int fd)
{
    if (fd < 0)
        return 0;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0)
        return -1;
    int result = dup2(null, fd) < 0 ? -1 : 0;
    int error = errno;
    close(null);
    errno = error;
    return result;
}
