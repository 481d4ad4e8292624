/* Another process's call, stopped at the instant a test wants: by single steps. */
#ifndef TESTS_STEPPING_H
#define TESTS_STEPPING_H

#include <assert.h>
#include <signal.h>
#include <stdbool.h>
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

#endif
