#include "tools/pvbridge/sg/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pvdrivers/ring/barrier.h"
#include "tools/pvbridge/sg/command.h"

#define FILES 1024           /* the highest fd of ours, and one */
#define RESERVED_SIZE 32768u /* until a program asks for more */
#define TIMEOUT 6000         /* hundredths of a second; what SG_GET_TIMEOUT says */

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static void *table[FILES]; /* struct pvsg_file */

static bool can_be_ours(int fd)
{
    /* Most fds are not ours. They are told without the lock, also in a signal handler. An fd that
     * another thread opens or closes meanwhile is that program's mistake. */
    return fd >= 0 && fd < FILES && pv_read_once_pointer(&table[fd]);
}

static void destroy(struct pvsg_file *file)
{
    for (int i = 0; i < file->idle_count; i++) {
        close(file->idle[i]);
    }
    while (file->written) {
        struct pvsg_command *command = file->written;
        file->written = command->next;
        close(command->socket);
        pvsg_command_release(command);
        free(command);
    }
    if (file->reserve.fd >= 0) {
        munmap(file->reserve.memory, file->reserve.size);
        close(file->reserve.fd);
    }
    pthread_mutex_destroy(&file->lock);
    free(file);
}

static int enter(struct pvsg_file *file, int flags)
{
    int fd = epoll_create1(flags & O_CLOEXEC ? EPOLL_CLOEXEC : 0);
    if (fd < 0) {
        return -errno;
    }
    if (fd >= FILES) {
        close(fd);
        return -EMFILE;
    }
    fcntl(fd, F_SETFL, flags & O_NONBLOCK); /* where read() and fcntl() look for it */
    file->fd = fd;
    pthread_mutex_lock(&table_lock);
    pv_write_once_pointer(&table[fd], file);
    pthread_mutex_unlock(&table_lock);
    return fd;
}

int pvsg_file_open(const char *path, int flags)
{
    struct pvsg_device device;
    if (!pvsg_parse_path(path, &device)) {
        return -ENOENT;
    }
    if (flags & O_EXCL && (flags & O_ACCMODE) == O_RDONLY) {
        return -EPERM; /* as sg.c has it */
    }
    struct pvsg_welcome unit;
    int socket = pvsg_connect(&device, &unit);
    if (socket < 0) {
        return socket;
    }
    struct pvsg_file *file = calloc(1, sizeof *file);
    if (!file) {
        close(socket);
        return -ENOMEM;
    }
    *file = (struct pvsg_file){
        .process = getpid(),
        .references = 1,
        .access = flags & O_ACCMODE,
        .device = device,
        .unit = unit,
        .idle = {socket},
        .idle_count = 1,
        .reserve = {.fd = -1, .size = RESERVED_SIZE},
        .timeout = TIMEOUT,
        .command_queueing = 1,
    };
    pthread_mutex_init(&file->lock, NULL);
    int fd = enter(file, flags);
    if (fd < 0) {
        destroy(file);
    }
    return fd;
}

struct pvsg_file *pvsg_file_get(int fd)
{
    if (!can_be_ours(fd)) {
        return NULL;
    }
    pthread_mutex_lock(&table_lock);
    struct pvsg_file *file = table[fd];
    if (file && file->process != getpid()) {
        file = NULL; /* the parent may be using its connections */
    }
    if (file) {
        file->references++;
    }
    pthread_mutex_unlock(&table_lock);
    return file;
}

void pvsg_file_put(struct pvsg_file *file)
{
    pthread_mutex_lock(&table_lock);
    bool last = --file->references == 0;
    pthread_mutex_unlock(&table_lock);
    if (last) {
        destroy(file);
    }
}

void pvsg_file_forget(int fd)
{
    if (!can_be_ours(fd)) {
        return;
    }
    pthread_mutex_lock(&table_lock);
    struct pvsg_file *file = table[fd];
    pv_write_once_pointer(&table[fd], NULL);
    pthread_mutex_unlock(&table_lock);
    if (file) {
        pvsg_file_put(file);
    }
}

int pvsg_file_take(struct pvsg_file *file)
{
    int socket = -1;
    pthread_mutex_lock(&file->lock);
    bool full = file->under_way == PVSG_QUEUE;
    if (!full) {
        file->under_way++;
        socket = file->idle_count ? file->idle[--file->idle_count] : -1;
    }
    pthread_mutex_unlock(&file->lock);
    if (full) {
        return -EDOM;
    }
    if (socket < 0) {
        struct pvsg_welcome unit;
        socket = pvsg_connect(&file->device, &unit);
    }
    if (socket < 0) {
        pthread_mutex_lock(&file->lock);
        file->under_way--;
        pthread_mutex_unlock(&file->lock);
        return -ENODEV;
    }
    return socket;
}

void pvsg_file_give(struct pvsg_file *file, int socket, bool usable)
{
    pthread_mutex_lock(&file->lock);
    file->under_way--;
    if (usable) {
        file->idle[file->idle_count++] = socket;
    }
    pthread_mutex_unlock(&file->lock);
    if (!usable) {
        close(socket);
    }
}
