/*
 * Operations that outlive the process that began them. A system call ends before its process does,
 * but what the kernel has in flight for an io_uring (a write with O_DIRECT that is on its way to
 * the disk) may land when the process is gone, behind what its successor has written, or in memory
 * that the guest has put to another use.
 *
 * Such an operation keeps its open file, and so the locks that belong to that. So a store that has
 * an io_uring holds two locks on its file, each of one byte far behind any data:
 *
 *   BUSY + number   of the open file that the operations are for: there until the last has ended
 *   ALIVE + number  of another open file, which ends with the process
 *
 * Opening the file waits while there is a lock of the first kind without one of the second. Stores
 * of living processes do not keep each other out: all locks are shared.
 * The number is the process's, random. Open file description locks (F_OFD_SETLK),
 * which do not go when another descriptor of the same file is closed.
 */
#include "backends/stores/file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUSY (INT64_C(1) << 61)
#define ALIVE (INT64_C(1) << 62)
#define NUMBERS (INT64_C(1) << 32)
#define PATIENCE_MS 30000
#define INTERVAL_NS 1000000

static int hold(int fd, int64_t byte)
{
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* A lock that another open file has somewhere in a range of bytes; -1 when there is none. */
static int64_t find(int fd, int64_t first, int64_t end)
{
    struct flock lock = {.l_type = F_WRLCK, /* which no other goes with */
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)first,
                         .l_len = (off_t)(end - first)};
    bool found = first < end && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    return found && lock.l_len == 1 ? lock.l_start : -1; /* a larger one is not ours */
}

static bool has_dead(int fd, int64_t first, int64_t end)
{
    int64_t busy = find(fd, first, end);
    if (busy < 0)
        return false;
    int64_t alive = busy - BUSY + ALIVE;
    return find(fd, alive, alive + 1) < 0 || has_dead(fd, first, busy) ||
           has_dead(fd, busy + 1, end);
}

int file_lock_wait_dead_owners(int fd)
{
    for (int waited = 0; has_dead(fd, BUSY, BUSY + NUMBERS); waited++) {
        if (waited == PATIENCE_MS)
            return -EBUSY;
        nanosleep(&(struct timespec){.tv_nsec = INTERVAL_NS}, NULL);
    }
    return 0;
}

/* The same for all stores of a process, so that a search finds them as one. */
static int process_number(uint32_t *number)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint32_t drawn;
    static pid_t drawn_by; /* a forked child is another process */
    int status = 0;
    pthread_mutex_lock(&lock);
    if (drawn_by != getpid())
        status = getrandom(&drawn, sizeof drawn, 0) == sizeof drawn ? 0 : -errno;
    if (status == 0)
        drawn_by = getpid();
    *number = drawn;
    pthread_mutex_unlock(&lock);
    return status;
}

static bool is_same_file(int one, int other)
{
    struct stat first, second;
    return fstat(one, &first) == 0 && fstat(other, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

int file_lock_take(struct file_store *file, const char *path)
{
    uint32_t number;
    int status = process_number(&number);
    if (status < 0)
        return status;
    file->life_fd = file_open(path, O_RDONLY);
    if (file->life_fd < 0)
        return file->life_fd;
    if (!is_same_file(file->fd, file->life_fd))
        return -ESTALE; /* another has taken its name meanwhile */
    status = hold(file->life_fd, ALIVE + number);
    return status < 0 ? status : hold(file->fd, BUSY + number);
}

void file_lock_release(struct file_store *file)
{
    if (file->life_fd >= 0)
        close(file->life_fd);
}
