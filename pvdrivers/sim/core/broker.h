/*
 * The socket over which processes join a machine and exchange the eventfds of event handles.
 * The process that created the machine serves it from one thread; a closed connection is a dead
 * process, whose handles and maps are then released.
 */
#ifndef PVDRIVERS_SIM_CORE_BROKER_H
#define PVDRIVERS_SIM_CORE_BROKER_H

#include <stdint.h>

struct pv_machine;

/* The process that creates a machine holds the table of eventfds, served or not. */
int broker_create(struct pv_machine *machine);
/* Joins: fds[0] the segment, fds[1] the memory; the connection stays open as a sign of life. */
int broker_join(const char *socket_path, int fds[2], int *connection, uint32_t *client);
/* Ends the serving thread, if any, and forgets the table. */
void broker_destroy(struct pv_machine *machine);

/* Makes the eventfd of an open handle known to the other processes. `handle` indexes
 * machine.event_handles; `generation` tells its uses apart. */
int broker_publish_eventfd(struct pv_machine *machine, uint32_t handle, uint32_t generation,
                           int fd);
void broker_withdraw_eventfd(struct pv_machine *machine, uint32_t handle, uint32_t generation);
/* An fd of this process for another process's handle (the caller keeps and closes it), or a
 * negative errno when the handle is gone. */
int broker_fetch_eventfd(struct pv_machine *machine, uint32_t handle, uint32_t generation);

#endif
