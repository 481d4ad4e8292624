#ifndef BENCHMARKS_INSTRUCTIONS_DOMAINS_H
#define BENCHMARKS_INSTRUCTIONS_DOMAINS_H

#include "pvdrivers/sim/machine.h"

/* A machine with dom0, where the backend is, and a guest. */
struct domains {
    struct pv_machine *machine;
    struct pv_hypervisor *back_view, *front_view;
    struct pv_evtchn *back_events, *front_events;
};

/* Ends the program, unless `met`: with errno, if that says why. */
void require(bool met, const char *what);
/* `memory`: of the guest, bytes. */
void make_domains(struct domains *domains, uint64_t memory);
void close_domains(struct domains *domains);

#endif
