/* Another process's call, killed at each change that it makes to a state. One run finds the changes
 * by single steps; a breakpoint brings the others to theirs, since steps from the beginning to each
 * change would be millions. */
#ifndef TESTS_CHANGES_H
#define TESTS_CHANGES_H

#include "tests/pvdrivers/sim/core/c/stepping.h"

#include <stddef.h>
#include <sys/user.h>

#define MAX_STEPS 100000u
#define MAX_CHANGES 1000u

struct change {
    uint64_t address; /* of the instruction that comes next */
    unsigned visits;  /* how often the call has come there */
    uint64_t state;   /* then */
};

struct changes {
    unsigned count;
    struct change list[MAX_CHANGES];
};

static inline uint64_t next_instruction(pid_t process)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, process, offsetof(struct user_regs_struct, rip), 0);
}

/* Of the last address. An instruction that repeats itself is one visit, as it is for a breakpoint.
 */
static inline unsigned visits_of_last(const uint64_t *addresses, unsigned count)
{
    unsigned visits = 0;
    for (unsigned i = 0; i < count; i++)
        if (addresses[i] == addresses[count - 1] && (i == 0 || addresses[i - 1] != addresses[i]))
            visits++;
    return visits;
}

/* Steps the process to its end, which must be a good one. */
static inline void find_changes(pid_t process, uint64_t (*state_of)(void *), void *world,
                                struct changes *changes)
{
    int status;
    uint64_t *addresses = malloc(MAX_STEPS * sizeof *addresses), state = state_of(world);
    changes->count = 0;
    for (unsigned steps = 0;;) {
        assert(ptrace(PTRACE_SINGLESTEP, process, 0, 0) == 0);
        assert(waitpid(process, &status, 0) == process);
        if (!WIFSTOPPED(status))
            break;
        uint64_t now = state_of(world);
        assert(steps < MAX_STEPS && changes->count < MAX_CHANGES);
        addresses[steps++] = next_instruction(process);
        if (now != state)
            changes->list[changes->count++] =
                (struct change){addresses[steps - 1], visits_of_last(addresses, steps), now};
        state = now;
    }
    assert(status == 0);
    free(addresses);
}

/* Lets the process run until the change is the last that it has made. */
static inline void run_to_change(pid_t process, const struct change *change)
{
    int status;
    size_t registers = offsetof(struct user, u_debugreg);
    assert(ptrace(PTRACE_POKEUSER, process, registers, change->address) == 0);
    assert(ptrace(PTRACE_POKEUSER, process, registers + 7 * sizeof(uint64_t), 1) == 0);
    for (unsigned i = 0; i < change->visits; i++) {
        assert(ptrace(PTRACE_CONT, process, 0, 0) == 0);
        assert(waitpid(process, &status, 0) == process && WIFSTOPPED(status));
    }
}

#endif
