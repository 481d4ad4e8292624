#include "tools/pvbridge/sg/reserve.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pvdrivers/ring/barrier.h"

static size_t in_pages(size_t length)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (length + page - 1) / page * page;
}

/* With the file's lock held. */
static int make(struct pvsg_reserve *reserve)
{
    if (reserve->fd >= 0) {
        return 0;
    }
    size_t length = in_pages(reserve->size);
    int fd = memfd_create("pvsg", MFD_CLOEXEC);
    void *memory = MAP_FAILED;
    if (fd >= 0 && length && ftruncate(fd, (off_t)length) == 0) {
        memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (memory == MAP_FAILED) {
        if (fd >= 0) {
            close(fd);
        }
        return -ENOMEM;
    }
    reserve->fd = fd;
    reserve->memory = memory;
    return 0;
}

int pvsg_reserve_resize(struct pvsg_file *file, int size)
{
    if (size < 0) {
        return -EINVAL;
    }
    uint32_t wanted = (uint32_t)size, most = file->unit.max_transfer;
    wanted = wanted < most ? wanted : most;
    pthread_mutex_lock(&file->lock);
    bool fixed = file->reserve.fd >= 0 && wanted != file->reserve.size;
    if (!fixed) {
        file->reserve.size = wanted;
    }
    pthread_mutex_unlock(&file->lock);
    return fixed ? -EBUSY : 0;
}

int pvsg_reserve_map(struct pvsg_file *file, size_t length, off_t offset)
{
    if (offset) {
        return -EINVAL;
    }
    pthread_mutex_lock(&file->lock);
    bool fits = length <= in_pages(file->reserve.size);
    int error = fits ? make(&file->reserve) : -ENOMEM;
    pthread_mutex_unlock(&file->lock);
    return error ? error : file->reserve.fd;
}

int pvsg_reserve_use(struct pvsg_file *file, uint32_t length)
{
    pthread_mutex_lock(&file->lock);
    int error = length <= file->reserve.size ? make(&file->reserve) : -ENOMEM;
    /* Who used it before has read its data. */
    if (!error && pv_load_acquire(&file->reserve.in_use)) {
        error = -EBUSY;
    }
    if (!error) {
        pv_write_once(&file->reserve.in_use, 1);
    }
    pthread_mutex_unlock(&file->lock);
    return error;
}
