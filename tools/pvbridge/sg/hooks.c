/* The C library's functions that a program reaches a file by: those of /dev/pvsg are answered here,
 * all others by the C library. Compiled without _FORTIFY_SOURCE, whose macros have their names. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "pvdrivers/ring/barrier.h"
#include "tools/pvbridge/sg/io.h"
#include "tools/pvbridge/sg/reserve.h"

#define HOOK __attribute__((visibility("default")))
#define SCSI_GENERIC_MAJOR 21
#define WRITABLE (POLLOUT | POLLWRNORM)

/* What would have been called without us: the C library's, or another preloaded library's. */
#define NEXT(name)                                                                                 \
    ({                                                                                             \
        static void *found;                                                                        \
        (__typeof__(&(name)))find_next(&found, #name);                                             \
    })

static void *find_next(void **found, const char *name)
{
    void *next = pv_read_once_pointer(found);
    if (!next) {
        next = dlsym(RTLD_NEXT, name);
        pv_write_once_pointer(found, next);
    }
    return next;
}

static long result(long value)
{
    if (value < 0) {
        errno = (int)-value;
        return -1;
    }
    return value;
}

/* ---- open, close -------------------------------------------------------------------------- */

/* The mode that follows the flags when a file may be made. */
#define MODE(flags)                                                                                \
    ({                                                                                             \
        mode_t mode = 0;                                                                           \
        if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {                                    \
            va_list arguments;                                                                     \
            va_start(arguments, flags);                                                            \
            mode = va_arg(arguments, mode_t);                                                      \
            va_end(arguments);                                                                     \
        }                                                                                          \
        mode;                                                                                      \
    })

HOOK int open(const char *path, int flags, ...)
{
    mode_t mode = MODE(flags);
    return pvsg_is_ours(path) ? (int)result(pvsg_file_open(path, flags))
                              : NEXT(open)(path, flags, mode);
}

HOOK int open64(const char *path, int flags, ...)
{
    mode_t mode = MODE(flags);
    return pvsg_is_ours(path) ? (int)result(pvsg_file_open(path, flags))
                              : NEXT(open64)(path, flags, mode);
}

HOOK int openat(int folder, const char *path, int flags, ...)
{
    mode_t mode = MODE(flags);
    return pvsg_is_ours(path) ? (int)result(pvsg_file_open(path, flags))
                              : NEXT(openat)(folder, path, flags, mode);
}

HOOK int openat64(int folder, const char *path, int flags, ...)
{
    mode_t mode = MODE(flags);
    return pvsg_is_ours(path) ? (int)result(pvsg_file_open(path, flags))
                              : NEXT(openat64)(folder, path, flags, mode);
}

/* What programs compiled with _FORTIFY_SOURCE call. */
HOOK int __open_2(const char *path, int flags);
HOOK int __open64_2(const char *path, int flags);

HOOK int __open_2(const char *path, int flags)
{
    return pvsg_is_ours(path) ? (int)result(pvsg_file_open(path, flags))
                              : NEXT(__open_2)(path, flags);
}

HOOK int __open64_2(const char *path, int flags)
{
    return pvsg_is_ours(path) ? (int)result(pvsg_file_open(path, flags))
                              : NEXT(__open64_2)(path, flags);
}

HOOK int close(int fd)
{
    pvsg_file_forget(fd);
    return NEXT(close)(fd);
}

/* These close a file as well. */
HOOK int dup2(int from, int to)
{
    if (from != to) {
        pvsg_file_forget(to);
    }
    return NEXT(dup2)(from, to);
}

HOOK int dup3(int from, int to, int flags)
{
    if (from != to) {
        pvsg_file_forget(to);
    }
    return NEXT(dup3)(from, to, flags);
}

/* ---- stat --------------------------------------------------------------------------------- */

#define FILL(status, device)                                                                       \
    do {                                                                                           \
        memset(status, 0, sizeof *(status));                                                       \
        (status)->st_mode = S_IFCHR | 0600;                                                        \
        (status)->st_nlink = 1;                                                                    \
        (status)->st_uid = geteuid();                                                              \
        (status)->st_gid = getegid();                                                              \
        (status)->st_blksize = 4096;                                                               \
        (status)->st_rdev = makedev(SCSI_GENERIC_MAJOR, (device)->lun);                            \
    } while (0)

/* Whether the unit is there, and which it is. */
static int find(const char *path, struct pvsg_device *device)
{
    struct pvsg_welcome unit;
    int socket = pvsg_parse_path(path, device) ? pvsg_connect(device, &unit) : -ENOENT;
    if (socket < 0) {
        return (int)result(socket);
    }
    close(socket);
    return 0;
}

#define STAT_BY_PATH(name, type)                                                                   \
    HOOK int name(const char *restrict path, struct type *restrict status)                         \
    {                                                                                              \
        struct pvsg_device device;                                                                 \
        if (!pvsg_is_ours(path)) {                                                                 \
            return NEXT(name)(path, status);                                                       \
        }                                                                                          \
        if (find(path, &device)) {                                                                 \
            return -1;                                                                             \
        }                                                                                          \
        FILL(status, &device);                                                                     \
        return 0;                                                                                  \
    }

#define STAT_BY_FD(name, type)                                                                     \
    HOOK int name(int fd, struct type *status)                                                     \
    {                                                                                              \
        struct pvsg_file *file = pvsg_file_get(fd);                                                \
        if (!file) {                                                                               \
            return NEXT(name)(fd, status);                                                         \
        }                                                                                          \
        FILL(status, &file->device);                                                               \
        pvsg_file_put(file);                                                                       \
        return 0;                                                                                  \
    }

STAT_BY_PATH(stat, stat)
STAT_BY_PATH(stat64, stat64)
STAT_BY_PATH(lstat, stat)
STAT_BY_PATH(lstat64, stat64)
STAT_BY_FD(fstat, stat)
STAT_BY_FD(fstat64, stat64)

HOOK int access(const char *path, int mode)
{
    struct pvsg_device device;
    return pvsg_is_ours(path) ? find(path, &device) : NEXT(access)(path, mode);
}

/* ---- commands ----------------------------------------------------------------------------- */

HOOK int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    struct pvsg_file *file = pvsg_file_get(fd);
    if (!file) {
        return NEXT(ioctl)(fd, request, argument);
    }
    int value = pvsg_ioctl(file, request, argument);
    pvsg_file_put(file);
    return (int)result(value);
}

HOOK ssize_t read(int fd, void *to, size_t length)
{
    struct pvsg_file *file = pvsg_file_get(fd);
    if (!file) {
        return NEXT(read)(fd, to, length);
    }
    ssize_t value = pvsg_read(file, to, length);
    pvsg_file_put(file);
    return result(value);
}

HOOK ssize_t write(int fd, const void *from, size_t length)
{
    struct pvsg_file *file = pvsg_file_get(fd);
    if (!file) {
        return NEXT(write)(fd, from, length);
    }
    ssize_t value = pvsg_write(file, from, length);
    pvsg_file_put(file);
    return result(value);
}

/* An epoll set is never writable, so whether more can be written is answered here. */
static int poll_writable(struct pollfd *polled, nfds_t count, bool fill)
{
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        struct pvsg_file *file = polled[i].events & WRITABLE ? pvsg_file_get(polled[i].fd) : NULL;
        if (file && pvsg_writable(file)) {
            ready += !fill || !polled[i].revents;
            polled[i].revents |= fill ? polled[i].events & WRITABLE : 0;
        }
        if (file) {
            pvsg_file_put(file);
        }
    }
    return ready;
}

HOOK int poll(struct pollfd *polled, nfds_t count, int timeout)
{
    int ready = NEXT(poll)(polled, count, poll_writable(polled, count, false) ? 0 : timeout);
    return ready < 0 ? ready : ready + poll_writable(polled, count, true);
}

/* ---- mmap --------------------------------------------------------------------------------- */

#define MMAP(name, offset_type)                                                                    \
    HOOK void *name(void *at, size_t length, int protection, int flags, int fd,                    \
                    offset_type offset)                                                            \
    {                                                                                              \
        struct pvsg_file *file = flags & MAP_ANONYMOUS ? NULL : pvsg_file_get(fd);                 \
        if (file) {                                                                                \
            fd = (int)result(pvsg_reserve_map(file, length, offset));                              \
            pvsg_file_put(file);                                                                   \
            if (fd < 0) {                                                                          \
                return MAP_FAILED;                                                                 \
            }                                                                                      \
        }                                                                                          \
        return NEXT(name)(at, length, protection, flags, fd, offset);                              \
    }

MMAP(mmap, off_t)
MMAP(mmap64, off64_t)
