/* Event channels: a domain's ports, and the handles through which processes receive events. */
#ifndef PVDRIVERS_SIM_EVENT_CHANNEL_H
#define PVDRIVERS_SIM_EVENT_CHANNEL_H

#include "pvdrivers/hypervisor.h"

#include <pthread.h>

struct domain;
struct pv_machine;
struct pv_domain_config;

/* `lock` stays first: domain.c initialises it once per domid and never wipes it, since another
 * domain's hypercall may still hold it when this one is gone. */
struct event_channels {
    pthread_mutex_t lock;
};

/* The port table; sparse, in the domain's window of the segment. */
struct event_area {
    uint8_t placeholder;
};

/* Every open handle of every process, in the head of the segment. */
struct event_handles {
    uint8_t placeholder;
};

/* This process's table of eventfds, machine->event_fds. */
int event_fds_init(struct pv_machine *machine);
void event_fds_free(struct pv_machine *machine);

int event_channels_init(struct pv_machine *machine, struct domain *d,
                        const struct pv_domain_config *config);
/* A dying domain: closes its ports; peers see theirs become unbound. */
void event_channels_destroy(struct pv_machine *machine, struct domain *d);
/* A process died: closes its handles and their ports. */
void event_channels_release_client(struct pv_machine *machine, uint32_t client);

#endif
