#include "pvdrivers/sim/core/rcu.h"

#include "pvdrivers/sim/core/machine.h"

/* All of it is sequentially consistent: a reader counts itself, then looks for domains; the end of
 * a domain makes it unfindable, then looks for readers. One of the two sees the other. */

struct rcu_section rcu_enter(struct pv_machine *machine)
{
    struct machine *shared = machine->shared;
    for (;;) {
        uint64_t epoch = __atomic_load_n(&shared->rcu.epoch, __ATOMIC_SEQ_CST);
        struct rcu_section section = {machine,
                                      &shared->clients[machine->client].readers[epoch & 1]};
        __atomic_fetch_add(section.readers, 1, __ATOMIC_SEQ_CST);
        /* Counted too late for its epoch, it might be overlooked. */
        if (__atomic_load_n(&shared->rcu.epoch, __ATOMIC_SEQ_CST) == epoch)
            return section;
        rcu_leave(&section);
    }
}

/* The flag first: what is done has sections of its own, and more may be deferred meanwhile. */
static void run_deferred(struct pv_machine *machine)
{
    __atomic_fetch_and(&machine->shared->rcu.callbacks, ~RCU_DEFERRED, __ATOMIC_SEQ_CST);
    FOR_EACH_SUBSYSTEM(id, deferred)
    subsystems[id]->deferred(machine);
}

void rcu_leave(struct rcu_section *section)
{
    struct pv_machine *machine = section->machine;
    bool emptied = __atomic_sub_fetch(section->readers, 1, __ATOMIC_SEQ_CST) == 0;
    uint32_t callbacks = __atomic_load_n(&machine->shared->rcu.callbacks, __ATOMIC_SEQ_CST);
    if (callbacks & RCU_DEFERRED)
        run_deferred(machine);
    if (callbacks & RCU_WANTED || (callbacks & RCU_WAITING && emptied))
        reap_domains(machine);
}

void rcu_defer(struct machine *shared)
{
    __atomic_fetch_or(&shared->rcu.callbacks, RCU_DEFERRED, __ATOMIC_SEQ_CST);
}

void rcu_want_callbacks(struct pv_machine *machine)
{
    __atomic_fetch_or(&machine->shared->rcu.callbacks, RCU_WANTED, __ATOMIC_SEQ_CST);
}

uint64_t rcu_ticket(struct pv_machine *machine)
{
    return __atomic_load_n(&machine->shared->rcu.epoch, __ATOMIC_SEQ_CST);
}

static bool slot_is_empty(struct machine *shared, unsigned slot)
{
    for (uint32_t i = 0; i < shared->client_end; i++)
        if (__atomic_load_n(&shared->clients[i].readers[slot], __ATOMIC_SEQ_CST))
            return false;
    return true;
}

bool rcu_has_passed(struct pv_machine *machine, uint64_t ticket)
{
    struct machine *shared = machine->shared;
    uint64_t epoch = rcu_ticket(machine);
    while (epoch < ticket + 2 && slot_is_empty(shared, (epoch + 1) & 1))
        __atomic_store_n(&shared->rcu.epoch, ++epoch, __ATOMIC_SEQ_CST);
    return epoch >= ticket + 2;
}

void rcu_forget_client(struct pv_machine *machine, uint32_t client)
{
    for (unsigned slot = 0; slot < 2; slot++)
        __atomic_store_n(&machine->shared->clients[client].readers[slot], 0, __ATOMIC_SEQ_CST);
}
