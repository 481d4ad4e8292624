/* The socket over which processes join a machine and exchange the eventfds of event handles. */
#ifndef PVDRIVERS_SIM_BROKER_H
#define PVDRIVERS_SIM_BROKER_H

#include <stdint.h>

struct pv_machine;

/* Makes the eventfd of an open handle known to the other processes. `handle` indexes
 * machine.event_handles; `generation` tells its uses apart. */
int broker_publish_eventfd(struct pv_machine *machine, uint32_t handle, uint32_t generation,
                           int fd);
void broker_withdraw_eventfd(struct pv_machine *machine, uint32_t handle);
/* An fd of this process for another process's handle (the caller keeps and closes it), or a
 * negative errno when the handle is gone. */
int broker_fetch_eventfd(struct pv_machine *machine, uint32_t handle, uint32_t generation);

#endif
