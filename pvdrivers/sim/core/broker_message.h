/* What crosses the broker's socket: fixed messages, some with file descriptors. */
#ifndef PVDRIVERS_SIM_CORE_BROKER_MESSAGE_H
#define PVDRIVERS_SIM_CORE_BROKER_MESSAGE_H

#include <stdint.h>

enum { BROKER_JOIN, BROKER_PUBLISH, BROKER_WITHDRAW, BROKER_FETCH };

struct broker_message {
    uint32_t kind, handle, generation, client;
    int32_t error;
};

#define BROKER_MAX_FDS 2

/* 0, or -EPIPE when the other end is gone. */
int send_message(int socket, const struct broker_message *message, const int *fds,
                 unsigned fd_count);
/* Returns the number of fds received, which are the caller's then, or -EPIPE. */
int receive_message(int socket, struct broker_message *message, int fds[BROKER_MAX_FDS]);

#endif
