/* What the parts of `bare` share: two pinned processes, their memory, and how a result is printed.
 */
#ifndef TOOLS_PVBENCH_COMPARE_COMPETITORS_BARE_H
#define TOOLS_PVBENCH_COMPARE_COMPETITORS_BARE_H

#include "pvdrivers/ring/barrier.h"
#include "tools/pvbench/load/histogram.h"

#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define RAMP_NS 100000000ull
#define ROUNDS_BETWEEN_CLOCKS 64

static inline uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* Keeps the compiler from leaving out a copy whose bytes are never read. */
static inline void use(const void *data)
{
    __asm__ volatile("" : : "r"(data) : "memory");
}

/* The n-th processor this process may use; the last one when there are fewer. */
static inline void pin(int n)
{
    cpu_set_t allowed, chosen;
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        err(1, "sched_getaffinity");
    CPU_ZERO(&chosen);
    for (int cpu = 0; cpu < CPU_SETSIZE && n >= 0; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        CPU_ZERO(&chosen);
        CPU_SET(cpu, &chosen);
        n--;
    }
    if (sched_setaffinity(0, sizeof chosen, &chosen))
        err(1, "sched_setaffinity");
}

static inline void *allocate(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        err(1, "mmap");
    return memory;
}

static inline pid_t start(void (*back)(void *), void *context)
{
    pid_t child = fork();
    if (child < 0)
        err(1, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(1);
        back(context);
        _exit(0);
    }
    pin(0);
    return child;
}

static inline void stop(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static inline void print_result(double rate, const struct pv_histogram *latency, char **percentiles)
{
    printf("{\"rate\": %.1f, \"percentiles\": [", rate);
    for (char **next = percentiles; *next; next++) {
        uint64_t value = pv_histogram_percentile(latency, strtod(*next, NULL));
        printf("%s%llu", next == percentiles ? "" : ", ", (unsigned long long)value);
    }
    printf("]}\n");
}

static inline size_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

/* Two processes that work together. */
struct pair {
    const char *name;
    void (*back)(void *shared);                                               /* without end */
    uint64_t (*run)(void *front, uint64_t end, struct pv_histogram *latency); /* operations done */
    bool has_latency;
};

/* Runs `back` with `shared` in the other process, `run` with `front` in this one, and prints what
 * it has done after a ramp. */
void measure_pair(const struct pair *pair, void *shared, void *front, uint64_t duration,
                  char **percentiles);

/* bare_ring.c */
/* `kind` is ring, ring-latency or scsi-ring; false: it is none of these. */
bool bare_ring(const char *kind, uint64_t duration, char **percentiles);

/* bare_net.c */
/* `arguments` are what follows MILLISECONDS. */
void bare_net(uint64_t duration, char **arguments);
void bare_net_tx(uint64_t duration, char **arguments);
void bare_net_latency(uint64_t duration, char **arguments);

/* bare_taps.c */
void bare_taps(int one, int other);

#endif
