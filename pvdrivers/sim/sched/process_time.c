/*
 * A machine in real time: its CPUs are the host's, and its vcpus are processes. A process that has
 * opened views of domains plays them, and the CPU time that its clock counts meanwhile is these
 * domains', in equal shares. Of a domain's time each of its vcpus has the same.
 *
 * A process that is attached twice is two here.
 *
 * A process has a running total of one domain's share. What it has given a domain since it opened
 * the view is the difference to the total of that time, so that nothing is added up for each domain
 * whenever a clock is read.
 */
#include "pvdrivers/sim/core/hypervisor.h"
#include "pvdrivers/sim/sched/internal.h"

#include <time.h>

static_assert(SCHED_MAX_CLIENTS == MAX_CLIENTS, "each process has a total");

/* What a domain has of a process. */
struct part {
    uint32_t views; /* that the process has open */
    uint64_t begin; /* the process's total when it opened the first one */
};

/* In each domain's window, by client. */
static struct part *part_of(struct pv_machine *machine, const struct domain *d, uint32_t client)
{
    return (struct part *)domain_area(machine, d, SUBSYSTEM_SCHED) + client;
}

uint64_t process_time_area(const struct machine_layout *layout)
{
    (void)layout;
    return MAX_CLIENTS * sizeof(struct part);
}

/* ns of CPU time that a process has used, all its threads together; `otherwise` when it is gone. */
static uint64_t clock_of(uint32_t pid, uint64_t otherwise)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid((pid_t)pid, &clock) || clock_gettime(clock, &time))
        return otherwise;
    uint64_t ns = (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
    return ns > otherwise ? ns : otherwise; /* less: another process has the number by now */
}

/* What the process has used since it was last looked at goes to the domains that it plays. */
static struct sched_process *look_at(struct pv_machine *machine, uint32_t client)
{
    struct scheduler *sched = scheduler(machine);
    struct sched_process *process = &sched->process[client];
    uint64_t used = clock_of(machine->shared->clients[client].pid, process->clock);
    if (process->domains) {
        process->total += (used - process->clock) / process->domains;
        sched->used += used - process->clock;
    }
    process->clock = used;
    return process;
}

static void end_part(struct pv_machine *machine, struct domain *d, uint32_t client)
{
    struct sched_process *process = look_at(machine, client);
    struct part *part = part_of(machine, d, client);
    d->sched.used += process->total - part->begin;
    process->domains--;
    part->views = 0;
}

static bool is_played(const struct pv_machine *machine)
{
    return machine->shared->scheduler.cpus && !machine->shared->virtual_time;
}

/* ---- Views ----------------------------------------------------------------------------------- */

int process_time_open(struct sim_hypervisor *hv, const struct domain *d)
{
    struct pv_machine *machine = hv->machine;
    if (!is_played(machine))
        return 0;
    sched_lock(machine);
    struct part *part = part_of(machine, d, machine->client);
    if (d->sched.member && part->views++ == 0) {
        struct sched_process *process = look_at(machine, machine->client);
        process->domains++;
        part->begin = process->total;
    }
    sched_unlock(machine);
    return 0;
}

void process_time_close(struct sim_hypervisor *hv)
{
    RCU_SECTION(hv->machine);
    struct domain *d = is_played(hv->machine) ? view_domain(hv) : NULL;
    if (!d)
        return;
    sched_lock(hv->machine);
    struct part *part = part_of(hv->machine, d, hv->machine->client);
    if (part->views == 1)
        end_part(hv->machine, d, hv->machine->client);
    else if (part->views)
        part->views--;
    sched_unlock(hv->machine);
}

/* Of a process that has ended. Its clock can be read until its parent has waited for it. */
void process_time_left(struct pv_machine *machine, uint32_t client)
{
    if (!is_played(machine))
        return;
    sched_lock(machine);
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        struct domain *d = domain_window(machine, (domid_t)domid);
        if (d->sched.member && part_of(machine, d, client)->views)
            end_part(machine, d, client);
    }
    scheduler(machine)->process[client].clock = 0;
    sched_unlock(machine);
}

/* ---- A domain -------------------------------------------------------------------------------- */

/* It is taken apart. */
void process_time_end(struct pv_machine *machine, struct domain *d)
{
    for (uint32_t client = 0; is_played(machine) && client < machine->shared->client_end; client++)
        if (part_of(machine, d, client)->views)
            end_part(machine, d, client);
}

uint64_t process_time_of(struct pv_machine *machine, const struct domain *d)
{
    uint64_t used = d->sched.used;
    for (uint32_t client = 0; is_played(machine) && client < machine->shared->client_end; client++)
        if (part_of(machine, d, client)->views)
            used += look_at(machine, client)->total - part_of(machine, d, client)->begin;
    return used / d->max_vcpus;
}

/* ---- The machine ----------------------------------------------------------------------------- */

uint64_t process_time_idle(struct pv_machine *machine)
{
    struct scheduler *sched = scheduler(machine);
    for (uint32_t client = 0; client < machine->shared->client_end; client++)
        if (sched->process[client].domains)
            look_at(machine, client);
    uint64_t time = machine_now(machine->shared) - sched->began, busy = sched->used / sched->cpus;
    return busy < time ? time - busy : 0; /* more: the host has more CPUs */
}

static void count_again(struct pv_machine *machine, const struct domain *d)
{
    for (uint32_t client = 0; client < machine->shared->client_end; client++)
        if (part_of(machine, d, client)->views)
            scheduler(machine)->process[client].domains++;
}

void process_time_repair(struct pv_machine *machine)
{
    if (!is_played(machine))
        return;
    for (uint32_t client = 0; client < machine->shared->client_end; client++)
        scheduler(machine)->process[client].domains = 0;
    for (uint32_t domid = 0; domid < machine->shared->max_domains; domid++) {
        const struct domain *d = domain_window(machine, (domid_t)domid);
        if (d->sched.member)
            count_again(machine, d);
    }
}
