/* A backend's scenario in a process of its own, which is stopped after every instruction that
 * changes what outlives it. From each state it passes through another backend goes on, as if the
 * first had been killed there. */
#ifndef TESTS_BACKENDS_C_KILLS_H
#define TESTS_BACKENDS_C_KILLS_H

#include "tests/pvdrivers/sim/core/c/stepping.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

struct world; /* what outlives a backend: each test has its own */

struct kill_test {
    size_t size;     /* bytes of a world */
    size_t watched;  /* bytes at its beginning that make a state, whatever the other stores are */
    size_t stepping; /* where it has the bool that says whether such stores are looked for */
    void (*run)(struct world *world, uint64_t seed);
    void (*go_on)(struct world *copy);
};

struct kill_run {
    const struct kill_test *test;
    struct world *world;
    uint64_t seed;
};

static inline uint32_t choose(uint64_t *random, uint32_t count)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % count;
}

/* Zeros, shared with the scenario's process. */
static inline struct world *make_world(const struct kill_test *test)
{
    struct world *world =
        mmap(NULL, test->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(world != MAP_FAILED);
    return world;
}

static inline int run_killed(void *argument)
{
    const struct kill_run *run = argument;
    run->test->run(run->world, run->seed);
    return 0;
}

static inline bool next_stop(pid_t scenario, enum __ptrace_request how)
{
    int status;
    assert(ptrace(how, scenario, 0, 0) == 0 && waitpid(scenario, &status, 0) == scenario);
    assert(WIFSTOPPED(status) ? WSTOPSIG(status) == SIGTRAP : status == 0);
    return WIFSTOPPED(status);
}

/* From the world as it is: how many states there were. Frees the world. */
static inline unsigned kill_everywhere(const struct kill_test *test, struct world *world,
                                       uint64_t seed)
{
    struct kill_run run = {test, world, seed};
    struct world *copy = make_world(test);
    uint8_t *last = calloc(1, test->watched);
    const bool *stepping = (const bool *)((uint8_t *)world + test->stepping);
    unsigned kills = 0;
    pid_t scenario = start_stopped(run_killed, &run);
    while (next_stop(scenario, PTRACE_CONT)) {
        for (; *stepping; next_stop(scenario, PTRACE_SINGLESTEP)) {
            if (memcmp(last, world, test->watched) == 0)
                continue;
            memcpy(last, world, test->watched);
            memcpy(copy, world, test->size);
            test->go_on(copy);
            kills++;
        }
    }
    free(last);
    assert(munmap(copy, test->size) == 0 && munmap(world, test->size) == 0);
    return kills;
}

#endif
