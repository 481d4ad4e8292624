/* Open files on logical units. The fd that a program has is an epoll set of the connections whose
 * commands it has written and not read, so that poll, select and epoll tell it of the answers. */
#ifndef PVSG_FILE_H
#define PVSG_FILE_H

#include <pthread.h>

#include "tools/pvbridge/sg/connection.h"

#define PVSG_QUEUE 16 /* commands of a file at a time, SG_MAX_QUEUE */

struct pvsg_command;

/* Memory that a program may map and name as a command's data (SG_FLAG_MMAP_IO). */
struct pvsg_reserve {
    int fd; /* -1: there is none yet */
    unsigned char *memory;
    uint32_t size;
    uint32_t in_use;
};

struct pvsg_file {
    int fd;
    pid_t process;  /* that has opened it */
    int references; /* the table's lock protects it */
    int access;     /* O_RDONLY, O_WRONLY or O_RDWR */
    struct pvsg_device device;
    struct pvsg_welcome unit;

    pthread_mutex_t lock; /* protects what follows */
    int idle[PVSG_QUEUE]; /* connections without a request */
    int idle_count;
    int under_way;                /* commands, those that nobody has read among them */
    struct pvsg_command *written; /* for read(), oldest first */
    struct pvsg_reserve reserve;
    int timeout, force_pack_id, command_queueing, keep_orphan; /* by ioctl */
};

/* open(): an fd, or a negative errno. */
int pvsg_file_open(const char *path, int flags);

/* NULL: the fd is not ours, or was opened before a fork. To be put back. */
struct pvsg_file *pvsg_file_get(int fd);
void pvsg_file_put(struct pvsg_file *file);

/* The fd is about to be closed. What is under way is aborted when nobody uses the file. */
void pvsg_file_forget(int fd);

/* A connection for one request, or a negative errno: -EDOM, there are too many. */
int pvsg_file_take(struct pvsg_file *file);
void pvsg_file_give(struct pvsg_file *file, int socket, bool usable);

#endif
