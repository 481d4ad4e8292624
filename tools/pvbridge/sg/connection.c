#include "tools/pvbridge/sg/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 512 /* programs do not expect fds of ours among their own */
#define VECTORS 16   /* that one system call gets */

/* Moves data by `call`, sendmsg or recvmsg, until all are moved. */
static int move(int socket, struct pvsg_data data, ssize_t (*call)(int, struct msghdr *))
{
    size_t skip = 0; /* bytes of the first vector that are done */
    while (data.length) {
        struct iovec vectors[VECTORS];
        size_t left = data.length;
        int count = 0;
        for (int i = 0; i < data.count && count < VECTORS && left; i++) {
            size_t begin = i ? 0 : skip;
            size_t length = data.vectors[i].iov_len - begin;
            length = length < left ? length : left;
            if (length) {
                char *base = data.vectors[i].iov_base;
                vectors[count++] = (struct iovec){base + begin, length};
                left -= length;
            }
        }
        struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
        ssize_t moved = count ? call(socket, &message) : 0;
        if (moved < 0 && errno == EINTR) {
            continue;
        }
        if (moved <= 0) {
            return moved < 0 && errno == EFAULT ? -EFAULT : -ENODEV;
        }
        data.length -= (uint32_t)moved;
        skip += (size_t)moved;
        while (data.count && skip >= data.vectors->iov_len) {
            skip -= data.vectors->iov_len;
            data.vectors++;
            data.count--;
        }
    }
    return 0;
}

static ssize_t send_call(int socket, struct msghdr *message)
{
    return sendmsg(socket, message, MSG_NOSIGNAL);
}

static ssize_t receive_call(int socket, struct msghdr *message)
{
    return recvmsg(socket, message, 0);
}

static int send_struct(int socket, const void *from, size_t length)
{
    struct iovec vector = {(void *)from, length};
    return move(socket, (struct pvsg_data){&vector, 1, (uint32_t)length}, send_call);
}

static int receive_struct(int socket, void *to, size_t length)
{
    struct iovec vector = {to, length};
    return move(socket, (struct pvsg_data){&vector, 1, (uint32_t)length}, receive_call);
}

/* The socket of a machine, as `pvbridge sg` finds it too (folder.py). */
static int socket_path(const char *machine, struct sockaddr_un *address)
{
    char folder[sizeof address->sun_path];
    const char *named = getenv("PVSG_DIRECTORY"), *runtime = getenv("XDG_RUNTIME_DIR");
    size_t size = sizeof folder;
    int length;
    if (named && *named) {
        length = snprintf(folder, size, "%s", named);
    } else if (runtime && *runtime) {
        length = snprintf(folder, size, "%s/pvsg", runtime);
    } else {
        length = snprintf(folder, size, "/tmp/pvsg-%u", (unsigned)geteuid());
        struct stat status;
        /* Anybody can make this folder. */
        if (lstat(folder, &status) || !S_ISDIR(status.st_mode) || status.st_uid != geteuid()) {
            return -ENOENT;
        }
    }
    size = sizeof address->sun_path;
    if (length >= (int)sizeof folder ||
        snprintf(address->sun_path, size, "%s/%s.sock", folder, machine) >= (int)size) {
        return -ENAMETOOLONG;
    }
    return 0;
}

static int greet(int socket, const struct pvsg_device *device, struct pvsg_welcome *welcome)
{
    struct pvsg_hello hello = {PVSG_MAGIC,      PVSG_VERSION,   device->host,
                               device->channel, device->target, device->lun};
    int error = send_struct(socket, &hello, sizeof hello);
    error = error ? error : receive_struct(socket, welcome, sizeof *welcome);
    if (error) {
        return error;
    }
    return welcome->error < 4096 ? -(int)welcome->error : -ENODEV;
}

int pvsg_connect(const struct pvsg_device *device, struct pvsg_welcome *welcome)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int error = socket_path(device->machine, &address);
    if (error) {
        return error;
    }
    int low = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (low < 0) {
        return -errno;
    }
    int high = fcntl(low, F_DUPFD_CLOEXEC, FIRST_FD);
    int fd = high < 0 ? low : high; /* the process may have few fds */
    if (high >= 0) {
        close(low);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        error = errno == ECONNREFUSED ? -ENOENT : -errno; /* a killed machine's socket stays */
    } else {
        error = greet(fd, device, welcome);
    }
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

int pvsg_send(int socket, const struct pvsg_request *request, struct pvsg_data data)
{
    int error = send_struct(socket, request, sizeof *request);
    data.length = request->data_out;
    return error ? error : move(socket, data, send_call);
}

int pvsg_receive(int socket, const struct pvsg_request *request, struct pvsg_answer *answer,
                 struct pvsg_data data)
{
    int error = receive_struct(socket, answer, sizeof *answer);
    if (error) {
        return error;
    }
    if (answer->data_in > request->room || answer->sense_length > PVSG_SENSE ||
        answer->residual > request->room + request->data_out) {
        return -ENODEV;
    }
    data.length = answer->data_in;
    return move(socket, data, receive_call);
}
