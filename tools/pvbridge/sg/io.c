#include "tools/pvbridge/sg/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "tools/pvbridge/sg/command.h"

#define ANY_PACK_ID (-1)

int pvsg_sg_io(struct pvsg_file *file, void *argument)
{
    struct pvsg_command command;
    int version, error;
    memcpy(&version, argument, sizeof version);
    if (version == 'Q') {
        error = pvsg_prepare_v4(file, argument, &command);
        error = error ? error : pvsg_command_run(file, &command);
        if (!error) {
            pvsg_finish_v4(&command, argument);
        }
    } else {
        error = pvsg_prepare_v3(file, argument, &command);
        error = error ? error : pvsg_command_run(file, &command);
        if (!error) {
            pvsg_finish_v3(&command, argument);
        }
    }
    pvsg_command_release(&command);
    return error;
}

/* ---- write -------------------------------------------------------------------------------- */

static int enqueue(struct pvsg_file *file, struct pvsg_command *command)
{
    int error = pvsg_command_send(file, command);
    if (error) {
        return error;
    }
    struct epoll_event event = {.events = EPOLLIN};
    pthread_mutex_lock(&file->lock);
    if (epoll_ctl(file->fd, EPOLL_CTL_ADD, command->socket, &event)) {
        error = -errno;
    } else {
        struct pvsg_command **end = &file->written;
        while (*end) {
            end = &(*end)->next;
        }
        *end = command;
    }
    pthread_mutex_unlock(&file->lock);
    if (error) {
        pvsg_file_give(file, command->socket, false);
    }
    return error;
}

ssize_t pvsg_write(struct pvsg_file *file, const void *from, size_t length)
{
    struct sg_io_hdr header;
    if (file->access == O_RDONLY) {
        return -EBADF;
    }
    if (length < sizeof header) {
        return -EINVAL;
    }
    memcpy(&header, from, sizeof header);
    struct pvsg_command *command = malloc(sizeof *command);
    if (!command) {
        return -ENOMEM;
    }
    int error = pvsg_prepare_v3(file, &header, command);
    command->header = header;
    error = error ? error : enqueue(file, command);
    if (error) {
        pvsg_command_release(command);
        free(command);
        return error;
    }
    return (ssize_t)length;
}

/* ---- read --------------------------------------------------------------------------------- */

static bool is_answered(const struct pvsg_command *command)
{
    struct pollfd look = {.fd = command->socket, .events = POLLIN};
    return poll(&look, 1, 0) > 0;
}

/* Takes the oldest answered command that matches from the list. NULL: there is none, and `waits` is
 * what has to become readable before there can be one, or -1: no command matches. */
static struct pvsg_command *dequeue(struct pvsg_file *file, int pack_id, int *waits)
{
    struct pvsg_command *found = NULL;
    *waits = pack_id == ANY_PACK_ID ? file->fd : -1;
    pthread_mutex_lock(&file->lock);
    for (struct pvsg_command **at = &file->written; *at; at = &(*at)->next) {
        if (pack_id != ANY_PACK_ID && (*at)->header.pack_id != pack_id) {
            continue;
        }
        if (is_answered(*at)) {
            found = *at;
            *at = found->next;
            epoll_ctl(file->fd, EPOLL_CTL_DEL, found->socket, NULL);
            break;
        }
        if (*waits < 0) {
            *waits = (*at)->socket;
        }
    }
    pthread_mutex_unlock(&file->lock);
    return found;
}

/* Another thread may read what is waited for, so the caller looks again. */
static int wait_for(struct pvsg_file *file, int waits)
{
    if (waits < 0 || fcntl(file->fd, F_GETFL) & O_NONBLOCK) {
        return -EAGAIN; /* also for a pack_id that nobody has written, which sg would wait for */
    }
    struct pollfd look = {.fd = waits, .events = POLLIN};
    return poll(&look, 1, -1) < 0 ? -errno : 0;
}

ssize_t pvsg_read(struct pvsg_file *file, void *to, size_t length)
{
    struct sg_io_hdr header;
    if (file->access == O_WRONLY) {
        return -EBADF;
    }
    if (length < sizeof header) {
        return -EINVAL;
    }
    memcpy(&header, to, sizeof header);
    int pack_id = file->force_pack_id ? header.pack_id : ANY_PACK_ID;
    struct pvsg_command *command;
    int waits;
    while (!(command = dequeue(file, pack_id, &waits))) {
        int error = wait_for(file, waits);
        if (error) {
            return error;
        }
    }
    int error = pvsg_command_receive(file, command);
    if (!error) {
        pvsg_finish_v3(command, &command->header);
        memcpy(to, &command->header, sizeof header);
    }
    pvsg_command_release(command);
    free(command);
    return error ? error : (ssize_t)length;
}

int pvsg_answered(struct pvsg_file *file, int *pack_id)
{
    int count = 0;
    *pack_id = -1;
    pthread_mutex_lock(&file->lock);
    for (struct pvsg_command *command = file->written; command; command = command->next) {
        if (is_answered(command) && count++ == 0) {
            *pack_id = command->header.pack_id;
        }
    }
    pthread_mutex_unlock(&file->lock);
    return count;
}

bool pvsg_writable(struct pvsg_file *file)
{
    pthread_mutex_lock(&file->lock);
    bool writable = file->under_way < PVSG_QUEUE;
    pthread_mutex_unlock(&file->lock);
    return writable;
}
