/* Grant tables: the hypervisor's side of a domain's entries, and the handles of whoever maps. */
#ifndef PVDRIVERS_SIM_GRANT_TABLE_H
#define PVDRIVERS_SIM_GRANT_TABLE_H

#include "pvdrivers/hypervisor.h"

#include <pthread.h>

struct domain;
struct pv_machine;
struct pv_domain_config;

/* `lock` stays first: domain.c initialises it once per domid and never wipes it, since another
 * domain's hypercall may still hold it when this one is gone. */
struct grant_table {
    pthread_mutex_t lock;
};

struct maptrack {
    pthread_mutex_t lock;
};

/* The tables too big for struct domain; sparse, in the domain's window of the segment. */
struct grant_area {
    uint8_t placeholder;
};

int grant_table_init(struct pv_machine *machine, struct domain *d,
                     const struct pv_domain_config *config);
/* A dying domain: releases every handle it holds, and the grants nobody maps any more. */
void grant_table_destroy(struct pv_machine *machine, struct domain *d);
/* Whether somebody still maps a grant of this (dying) domain. Called under machine.lock, so it
 * takes no lock. */
bool grant_table_in_use(struct pv_machine *machine, struct domain *d);
/* A process died: releases the handles it held in any domain. */
void grant_table_release_client(struct pv_machine *machine, uint32_t client);

#endif
