/*
 * Every hypercall of a domain while that domain, its peer or both are destroyed and their domids
 * used again. Two guests, one thread each, make hypercalls in an order that a seed decides; the
 * toolstack's thread ends one life after the other. What must hold: no call touches a life that is
 * over, a call that comes too late is refused, and of the last life nothing is left: no handle, no
 * port, no page, no domain that never finishes dying.
 *
 * PVDRIVERS_STRESS_LIVES=N    how many lives (default 400); for long campaigns
 * PVDRIVERS_STRESS_SEED=N     another order of calls (default 1)
 */
#include "lives.h"

#include <pthread.h>
#include <sched.h>

#define CALLS_PER_LIFE 30

static struct pv_machine *machine;
static bool stop;
static uint64_t calls[2]; /* made by each guest so far */

static void *make_hypercalls(void *argument)
{
    struct guest *guest = argument;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        random_hypercall(guest);
        __atomic_fetch_add(&calls[guest->domid - FIRST], 1, __ATOMIC_RELAXED);
    }
    forget_everything(guest);
    return NULL;
}

/* So that lives overlap with calls, however the threads are scheduled. */
static void wait_for_calls(domid_t domid)
{
    const uint64_t *made = &calls[domid - FIRST];
    uint64_t goal = __atomic_load_n(made, __ATOMIC_RELAXED) + CALLS_PER_LIFE;
    while (__atomic_load_n(made, __ATOMIC_RELAXED) < goal)
        sched_yield();
}

static void every_hypercall_against_the_end_of_its_domains(uint64_t lives, uint64_t seed)
{
    machine = machine_of_lives();
    uint64_t free_before = pv_machine_free_memory(machine);
    struct guest guests[2] = {{.machine = machine, .domid = FIRST, .peer = SECOND, .seed = seed},
                              {.machine = machine, .domid = SECOND, .peer = FIRST, .seed = ~seed}};
    pthread_t threads[2];
    begin_life(machine, FIRST, lives);
    begin_life(machine, SECOND, lives);
    for (int i = 0; i < 2; i++)
        assert(pthread_create(&threads[i], NULL, make_hypercalls, &guests[i]) == 0);
    for (uint64_t life = 0; life < lives; life++) {
        domid_t domid = life % 3 ? FIRST : SECOND;
        wait_for_calls(domid);
        begin_another_life(machine, domid, life);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    nothing_is_left(machine, free_before);
    pv_machine_close(machine);
}

int main(void)
{
    every_hypercall_against_the_end_of_its_domains(environment("PVDRIVERS_STRESS_LIVES", 400),
                                                   environment("PVDRIVERS_STRESS_SEED", 1));
    return 0;
}
