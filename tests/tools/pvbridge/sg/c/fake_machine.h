/* A machine with a socket, as `pvbridge sg` has it, whose unit does what the opcode says. */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/pvbridge/sg/protocol.h"

#define PATH "/dev/pvsg/machine/0:0:0:3"
#define MAX_TRANSFER (64u << 10)

enum opcode {
    READY = 0x00,     /* GOOD */
    SENSE = 0x03,     /* CHECK CONDITION, fixed sense of 18 bytes */
    SHORT = 0x12,     /* 36 bytes of data and no more */
    READ = 0x28,      /* as much as there is room for: byte N is N + the CDB's second byte */
    WRITE = 0x2a,     /* into `machine.written` */
    HELD = 0xc0,      /* READ, once the test posts `machine.go` */
    TOO_MUCH = 0xc1,  /* says that there is more data than there is room for */
    TOO_LONG = 0xc2,  /* says that sense is longer than it can be */
    GONE = 0xc3,      /* ends the connection */
    TIMED_OUT = 0xc4, /* host byte TIME_OUT, nothing transferred */
};

static struct {
    int listener;
    sem_t go;
    uint32_t timeout; /* of the last command */
    uint8_t written[MAX_TRANSFER];
    int resets;
} machine;

static bool read_all(int socket, void *to, size_t length)
{
    return !length || recv(socket, to, length, MSG_WAITALL) == (ssize_t)length;
}

static void write_all(int socket, const void *from, size_t length)
{
    for (const char *at = from; length;) {
        ssize_t sent = send(socket, at, length, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* its program is gone */
        }
        at += sent;
        length -= (size_t)sent;
    }
}

static uint32_t transfer(const struct pvsg_request *request, uint8_t *data)
{
    uint32_t length = request->room;
    if (request->cdb[0] == SHORT && length > 36) {
        length = 36;
    }
    for (uint32_t i = 0; i < length; i++) {
        data[i] = (uint8_t)(i + request->cdb[1]);
    }
    return length;
}

static bool answer(int socket, const struct pvsg_request *request)
{
    static _Thread_local uint8_t data[MAX_TRANSFER];
    struct pvsg_answer answer = {0};
    switch (request->cdb[0]) {
    case SENSE:
        answer.status = 2;
        answer.sense_length = 18;
        memcpy(answer.sense, (uint8_t[18]){0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24}, 18);
        break;
    case GONE:
        return false;
    case TIMED_OUT:
        answer.host = 3;
        answer.residual = request->room;
        break;
    case HELD:
        sem_wait(&machine.go);
        /* fall through */
    default:
        answer.data_in = transfer(request, data);
        answer.residual = request->room - answer.data_in;
    }
    answer.data_in += request->cdb[0] == TOO_MUCH;
    answer.sense_length += request->cdb[0] == TOO_LONG ? PVSG_SENSE + 1 : 0;
    write_all(socket, &answer, sizeof answer);
    write_all(socket, data, answer.data_in);
    return true;
}

static void *serve_connection(void *argument)
{
    int socket = (int)(intptr_t)argument;
    struct pvsg_hello hello;
    if (read_all(socket, &hello, sizeof hello)) {
        assert(hello.magic == PVSG_MAGIC && hello.version == PVSG_VERSION);
        struct pvsg_welcome welcome = {
            .error = hello.lun == 3 ? 0 : 2, .max_transfer = MAX_TRANSFER, .device_type = 5};
        write_all(socket, &welcome, sizeof welcome);
    }
    struct pvsg_request request;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    while (read_all(socket, &request, sizeof request)) {
        assert(request.data_out <= MAX_TRANSFER && request.room <= MAX_TRANSFER);
        pthread_mutex_lock(&lock);
        bool came = read_all(socket, machine.written, request.data_out);
        machine.timeout = request.timeout;
        machine.resets += request.act == PVSG_RESET;
        pthread_mutex_unlock(&lock);
        if (!came || !answer(socket, &request)) {
            break;
        }
    }
    close(socket);
    return NULL;
}

static void *serve(void *argument)
{
    (void)argument;
    int socket;
    while ((socket = accept(machine.listener, NULL, NULL)) >= 0) {
        pthread_t thread;
        assert(!pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)socket));
        pthread_detach(thread);
    }
    return NULL;
}

/* For the rest of the process. */
static void start_machine(void)
{
    static char folder[] = "/tmp/pvsg-test-XXXXXX";
    assert(mkdtemp(folder) && !setenv("PVSG_DIRECTORY", folder, 1));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/machine.sock", folder);
    machine.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(!bind(machine.listener, (struct sockaddr *)&address, sizeof address));
    assert(!listen(machine.listener, 64) && !sem_init(&machine.go, 0, 0));
    pthread_t thread;
    assert(!pthread_create(&thread, NULL, serve, NULL));
    pthread_detach(thread);
}

static void stop_machine(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/machine.sock", getenv("PVSG_DIRECTORY"));
    unlink(path);
    rmdir(getenv("PVSG_DIRECTORY"));
}

#endif
