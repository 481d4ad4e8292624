#include "pvdrivers/sim/core/broker.h"

#include "pvdrivers/sim/core/broker_message.h"
#include "pvdrivers/sim/core/machine.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct published_fd {
    uint32_t generation;
    uint32_t client;
    int fd; /* -1: none */
};

/* In the serving process. */
struct broker {
    pthread_mutex_t lock; /* the table: the serving thread and this process's own calls */
    struct published_fd table[MAX_EVENT_HANDLES];
    pthread_t thread;
    bool serving;
    int listen_fd, stop_fd;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct pollfd polls[MAX_CLIENTS + 2]; /* listen_fd, stop_fd, connections */
    uint32_t clients[MAX_CLIENTS + 2];
    nfds_t poll_count;
};

/* ---- Joining ------------------------------------------------------------------------------- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

int broker_join(const char *socket_path, int fds[2], int *connection, uint32_t *client)
{
    int fd = connect_to(socket_path);
    if (fd < 0)
        return fd;
    struct broker_message message = {.kind = BROKER_JOIN};
    if (send_message(fd, &message, NULL, 0) || receive_message(fd, &message, fds) != 2) {
        close(fd);
        return message.error ? message.error : -EPROTO;
    }
    *connection = fd;
    *client = message.client;
    return 0;
}

/* ---- The table of eventfds ------------------------------------------------------------------- */

static void forget(struct published_fd *entry)
{
    if (entry->fd >= 0)
        close(entry->fd);
    entry->fd = -1;
}

/* Takes the fd over, unless it fails. */
static int remember(struct broker *broker, uint32_t handle, uint32_t generation, uint32_t client,
                    int fd)
{
    if (handle >= MAX_EVENT_HANDLES)
        return -EINVAL;
    forget(&broker->table[handle]);
    broker->table[handle] =
        (struct published_fd){.generation = generation, .client = client, .fd = fd};
    return 0;
}

static struct published_fd *look_up(struct broker *broker, uint32_t handle, uint32_t generation)
{
    if (handle >= MAX_EVENT_HANDLES || broker->table[handle].fd < 0 ||
        broker->table[handle].generation != generation)
        return NULL;
    return &broker->table[handle];
}

/* ---- The serving thread ---------------------------------------------------------------------- */

/* Returns how many of the fds now belong to the table. */
static int answer(struct pv_machine *machine, nfds_t slot, struct broker_message *message,
                  const int *fds, int fd_count)
{
    struct broker *broker = machine->broker;
    int socket = broker->polls[slot].fd, reply_fds[2];
    unsigned reply_count = 0;
    uint32_t client = broker->clients[slot];
    int taken = 0;

    pthread_mutex_lock(&broker->lock);
    message->error = 0;
    struct published_fd *entry = look_up(broker, message->handle, message->generation);
    switch (message->kind) {
    case BROKER_JOIN:
        message->client = client;
        reply_fds[0] = machine->segment_fd;
        reply_fds[1] = machine->memory_fd;
        reply_count = 2;
        break;
    case BROKER_PUBLISH:
        message->error =
            fd_count != 1 ? -EINVAL
                          : remember(broker, message->handle, message->generation, client, fds[0]);
        taken = message->error ? 0 : 1;
        break;
    case BROKER_WITHDRAW:
        if (entry && entry->client == client)
            forget(entry);
        break;
    case BROKER_FETCH:
        if (entry)
            reply_fds[reply_count++] = entry->fd;
        else
            message->error = -ENOENT;
        break;
    default:
        message->error = -EINVAL;
    }
    send_message(socket, message, reply_fds, reply_count);
    pthread_mutex_unlock(&broker->lock);
    return taken;
}

static void drop_connection(struct pv_machine *machine, nfds_t slot)
{
    struct broker *broker = machine->broker;
    uint32_t client = broker->clients[slot];
    close(broker->polls[slot].fd);
    broker->poll_count--;
    broker->polls[slot] = broker->polls[broker->poll_count];
    broker->clients[slot] = broker->clients[broker->poll_count];

    pthread_mutex_lock(&broker->lock);
    for (uint32_t i = 0; i < MAX_EVENT_HANDLES; i++)
        if (broker->table[i].client == client)
            forget(&broker->table[i]);
    pthread_mutex_unlock(&broker->lock);
    client_leave(machine, client);
}

static void accept_connection(struct pv_machine *machine)
{
    struct broker *broker = machine->broker;
    int fd = accept4(broker->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct ucred peer;
    socklen_t size = sizeof peer;
    uint32_t client = MAX_CLIENTS;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        client = client_join(machine, (uint32_t)peer.pid);
    if (client == MAX_CLIENTS) {
        struct broker_message full = {.kind = BROKER_JOIN, .error = -EUSERS};
        send_message(fd, &full, NULL, 0);
        close(fd);
        return;
    }
    broker->polls[broker->poll_count] = (struct pollfd){.fd = fd, .events = POLLIN};
    broker->clients[broker->poll_count++] = client;
}

static void serve_connection(struct pv_machine *machine, nfds_t slot)
{
    struct broker_message message;
    int fds[BROKER_MAX_FDS];
    int count = receive_message(machine->broker->polls[slot].fd, &message, fds);
    if (count < 0) {
        drop_connection(machine, slot);
        return;
    }
    for (int i = answer(machine, slot, &message, fds, count); i < count; i++)
        close(fds[i]); /* sent along with something that wants none */
}

static void *serve(void *argument)
{
    struct pv_machine *machine = argument;
    struct broker *broker = machine->broker;
    for (;;) {
        if (poll(broker->polls, broker->poll_count, -1) < 0 && errno != EINTR)
            return NULL;
        if (broker->polls[1].revents)
            return NULL;
        /* Downwards: dropping a connection moves the last one into its place. */
        for (nfds_t slot = broker->poll_count - 1; slot >= 2; slot--)
            if (broker->polls[slot].revents)
                serve_connection(machine, slot);
        if (broker->polls[0].revents)
            accept_connection(machine);
    }
}

int broker_create(struct pv_machine *machine)
{
    struct broker *broker = calloc(1, sizeof *broker);
    if (!broker)
        return -ENOMEM;
    pthread_mutex_init(&broker->lock, NULL);
    for (uint32_t i = 0; i < MAX_EVENT_HANDLES; i++)
        broker->table[i].fd = -1;
    machine->broker = broker;
    return 0;
}

static int open_listener(struct broker *broker, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    strcpy(broker->path, path);
    broker->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (broker->listen_fd < 0)
        return -errno;
    if (bind(broker->listen_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        listen(broker->listen_fd, 64) == 0)
        return 0;
    int error = -errno;
    close(broker->listen_fd);
    return error;
}

int pv_machine_serve(struct pv_machine *machine, const char *socket_path)
{
    struct broker *broker = machine->broker;
    if (!broker)
        return -EPERM; /* only the process that created the machine serves it */
    if (broker->serving)
        return -EALREADY;
    FOR_EACH_SUBSYSTEM(id, serve)
    {
        int error = subsystems[id]->serve(machine);
        if (error)
            return error;
    }
    int error = open_listener(broker, socket_path);
    if (error)
        return error;
    broker->stop_fd = eventfd(0, EFD_CLOEXEC);
    broker->polls[0] = (struct pollfd){.fd = broker->listen_fd, .events = POLLIN};
    broker->polls[1] = (struct pollfd){.fd = broker->stop_fd, .events = POLLIN};
    broker->poll_count = 2;
    error = pthread_create(&broker->thread, NULL, serve, machine);
    if (error) {
        close(broker->listen_fd);
        close(broker->stop_fd);
        unlink(socket_path);
        return -error;
    }
    broker->serving = true;
    return 0;
}

void broker_destroy(struct pv_machine *machine)
{
    struct broker *broker = machine->broker;
    if (!broker)
        return;
    if (broker->serving) {
        eventfd_write(broker->stop_fd, 1);
        pthread_join(broker->thread, NULL);
        for (nfds_t slot = 0; slot < broker->poll_count; slot++)
            close(broker->polls[slot].fd);
        unlink(broker->path);
    }
    for (uint32_t i = 0; i < MAX_EVENT_HANDLES; i++)
        forget(&broker->table[i]);
    free(broker);
    machine->broker = NULL;
}

/* ---- What event handles need ----------------------------------------------------------------- */

/* Asks the serving process; returns the number of fds in the reply or a negative errno. */
static int ask(struct pv_machine *machine, struct broker_message *message, const int *send_fd,
               int reply_fds[2])
{
    pthread_mutex_lock(&machine->broker_lock);
    int result = send_message(machine->broker_fd, message, send_fd, send_fd ? 1 : 0);
    if (result == 0)
        result = receive_message(machine->broker_fd, message, reply_fds);
    pthread_mutex_unlock(&machine->broker_lock);
    return result < 0 ? result : message->error ? message->error : result;
}

int broker_publish_eventfd(struct pv_machine *machine, uint32_t handle, uint32_t generation, int fd)
{
    struct broker *broker = machine->broker;
    int reply_fds[2];
    if (!broker) {
        struct broker_message message = {
            .kind = BROKER_PUBLISH, .handle = handle, .generation = generation};
        return ask(machine, &message, &fd, reply_fds);
    }
    int copy = dup(fd);
    if (copy < 0)
        return -errno;
    pthread_mutex_lock(&broker->lock);
    int error = remember(broker, handle, generation, machine->client, copy);
    pthread_mutex_unlock(&broker->lock);
    if (error)
        close(copy);
    return error;
}

void broker_withdraw_eventfd(struct pv_machine *machine, uint32_t handle, uint32_t generation)
{
    struct broker *broker = machine->broker;
    int reply_fds[2];
    if (!broker) {
        struct broker_message message = {
            .kind = BROKER_WITHDRAW, .handle = handle, .generation = generation};
        ask(machine, &message, NULL, reply_fds);
        return;
    }
    pthread_mutex_lock(&broker->lock);
    struct published_fd *entry = look_up(broker, handle, generation);
    if (entry)
        forget(entry);
    pthread_mutex_unlock(&broker->lock);
}

int broker_fetch_eventfd(struct pv_machine *machine, uint32_t handle, uint32_t generation)
{
    struct broker *broker = machine->broker;
    int reply_fds[2];
    if (!broker) {
        struct broker_message message = {
            .kind = BROKER_FETCH, .handle = handle, .generation = generation};
        int count = ask(machine, &message, NULL, reply_fds);
        return count == 1 ? reply_fds[0] : count < 0 ? count : -EPROTO;
    }
    pthread_mutex_lock(&broker->lock);
    struct published_fd *entry = look_up(broker, handle, generation);
    int fd = entry ? dup(entry->fd) : -ENOENT;
    pthread_mutex_unlock(&broker->lock);
    return fd == -1 ? -errno : fd;
}
