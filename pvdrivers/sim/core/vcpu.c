/* Whether a vcpu runs. A process may sleep until it does: the flags are a futex. */
#include "pvdrivers/sim/core/machine.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_AGAIN 1 /* s: should the process that clears the flag be killed before it wakes us */

bool vcpu_set_paused(struct pv_machine *machine, struct domain *d, uint32_t vcpu, uint32_t flag,
                     bool paused)
{
    uint32_t *flags = &d->vcpu[vcpu].pause_flags;
    uint32_t before = paused ? __atomic_fetch_or(flags, flag, __ATOMIC_SEQ_CST)
                             : __atomic_fetch_and(flags, ~flag, __ATOMIC_SEQ_CST);
    if (!!(before & flag) == paused)
        return false;
    FOR_EACH_SUBSYSTEM(id, vcpu_paused)
    subsystems[id]->vcpu_paused(machine, d, vcpu, paused);
    if (!paused && !machine->shared->virtual_time)
        syscall(SYS_futex, flags, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    return true;
}

int vcpu_sleep(const struct domain *d, uint64_t generation, uint32_t vcpu)
{
    const struct timespec patience = {.tv_sec = LOOK_AGAIN};
    const uint32_t *flags = &d->vcpu[vcpu].pause_flags;
    for (;;) {
        uint32_t seen = __atomic_load_n(flags, __ATOMIC_ACQUIRE);
        if (!domain_is_life(d, generation))
            return -ESRCH;
        if (!(seen & VPF_blocked))
            return 0;
        syscall(SYS_futex, flags, FUTEX_WAIT, seen, &patience, NULL, 0);
    }
}
