/* Another process's call, stopped at the instant a test wants: by single steps. */
#ifndef TESTS_STEPPING_H
#define TESTS_STEPPING_H

#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* The thread sanitizer's steps are too many, and there is one thread. */
#ifdef __SANITIZE_THREAD__
#define STEPPING false
#else
#define STEPPING true
#endif

/* A process that is about to run `call`, and ends with what that returns. */
static inline pid_t start_stopped(int (*call)(void *), void *argument)
{
    int status;
    pid_t process = fork();
    assert(process >= 0);
    if (process == 0) {
        assert(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        raise(SIGTRAP);
        _exit(call(argument));
    }
    assert(waitpid(process, &status, 0) == process && WIFSTOPPED(status));
    return process;
}

/* To the first instant at which `reached`. */
static inline void step_until(pid_t process, bool (*reached)(void *), void *argument)
{
    int status;
    while (!reached(argument)) {
        assert(ptrace(PTRACE_SINGLESTEP, process, 0, 0) == 0);
        assert(waitpid(process, &status, 0) == process && WIFSTOPPED(status));
    }
}

/* False: it has ended. */
static inline bool step_once(pid_t process)
{
    int status;
    assert(ptrace(PTRACE_SINGLESTEP, process, 0, 0) == 0);
    assert(waitpid(process, &status, 0) == process);
    return !WIFEXITED(status);
}

/* Lets it run to its end: what its call returned. */
static inline int run_to_end(pid_t process)
{
    int status;
    assert(ptrace(PTRACE_DETACH, process, 0, 0) == 0);
    assert(waitpid(process, &status, 0) == process && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline void kill_stopped(pid_t process)
{
    int status;
    assert(kill(process, SIGKILL) == 0 && waitpid(process, &status, 0) == process);
}

/* A call on a world that is made anew for each kill. */
struct killed_call {
    void *(*make)(void);
    int (*call)(void *world);
    void (*check)(void *world); /* what holds after the kill */
    void (*close)(void *world);
};

static inline void kill_after(const struct killed_call *killed, unsigned steps)
{
    void *world = killed->make();
    pid_t process = start_stopped(killed->call, world);
    while (steps-- > 0)
        assert(step_once(process));
    kill_stopped(process);
    killed->check(world);
    killed->close(world);
}

/* At so many instants, at equal distances. */
static inline void kill_at_instants(const struct killed_call *killed, unsigned instants)
{
    unsigned steps = 0;
    if (!STEPPING)
        return;
    void *world = killed->make();
    for (pid_t process = start_stopped(killed->call, world); step_once(process);)
        steps++;
    killed->close(world);
    for (unsigned i = 0; i < instants; i++)
        kill_after(killed, 1 + (unsigned)((uint64_t)steps * i / instants));
}

#endif
