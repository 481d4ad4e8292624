/*
 * Guests' processes are killed in the middle of any hypercall, while their domains or their peers'
 * are destroyed and made again. The processes have attached to the machine as any other, so that
 * the serving process sees them go and cleans up after them, at the same time as all that. What
 * must hold is what holds without kills, see test_domain_lives.c.
 *
 * PVDRIVERS_STRESS_KILLS=N    how many kills (default 60); for long campaigns
 */
#include "lives.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_BEFORE_KILL 40

static char socket_path[64];
static uint64_t *calls; /* made by the guests' processes so far */

/* The serving process: only it has a second thread, and it does not fork. */
static pid_t serve(void)
{
    int ready[2];
    char byte = 0;
    assert(pipe(ready) == 0);
    pid_t process = fork();
    assert(process >= 0);
    if (process == 0) {
        assert(pv_machine_serve(machine_of_lives(), socket_path) == 0);
        assert(write(ready[1], &byte, 1) == 1);
        pause();
    }
    assert(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    close(ready[1]);
    return process;
}

static pid_t start_guest(domid_t domid, uint64_t seed)
{
    pid_t process = fork();
    assert(process >= 0);
    if (process > 0)
        return process;
    struct guest guest = {.domid = domid, .peer = domid == FIRST ? SECOND : FIRST, .seed = seed};
    assert(pv_machine_attach(socket_path, &guest.machine) == 0);
    for (;;) {
        random_hypercall(&guest);
        __atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
    }
}

static void wait_for_calls(void)
{
    uint64_t goal = __atomic_load_n(calls, __ATOMIC_RELAXED) + CALLS_BEFORE_KILL;
    while (__atomic_load_n(calls, __ATOMIC_RELAXED) < goal)
        sched_yield();
}

static void end_guest(pid_t process)
{
    int status;
    assert(kill(process, SIGKILL) == 0 && waitpid(process, &status, 0) == process);
    assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* and had not failed before */
}

/* The serving process cleans up in its own time. */
static void wait_until_absent(struct pv_machine *machine, domid_t domid)
{
    while (find_domain(machine, domid)) {
        pv_domain_destroy(machine, domid);
        sched_yield();
    }
}

static void killed_while_domains_end(uint64_t kills)
{
    struct pv_machine *machine;
    pid_t guests[2];
    assert(pv_machine_attach(socket_path, &machine) == 0);
    uint64_t free_before = pv_machine_free_memory(machine);
    begin_life(machine, FIRST, 0);
    begin_life(machine, SECOND, 0);
    for (uint64_t i = 0; i < 2; i++)
        guests[i] = start_guest(FIRST + (domid_t)i, i + 1);
    for (uint64_t i = 0; i < kills; i++) {
        wait_for_calls();
        domid_t domid = FIRST + i % 2;
        if (i % 3 == 0)
            begin_another_life(machine, domid, i); /* the process goes on in the next life */
        wait_for_calls();
        end_guest(guests[i % 2]);
        begin_another_life(machine, i % 4 < 2 ? domid : FIRST + SECOND - domid, i);
        guests[i % 2] = start_guest(domid, i + 3);
    }
    end_guest(guests[0]);
    end_guest(guests[1]);
    wait_until_absent(machine, FIRST);
    wait_until_absent(machine, SECOND);
    assert(pv_machine_free_memory(machine) == free_before);
    pv_machine_close(machine);
}

int main(void)
{
    snprintf(socket_path, sizeof socket_path, "/tmp/pvdrivers-kills-%d", (int)getpid());
    calls = mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(calls != MAP_FAILED);
    pid_t server = serve();
    killed_while_domains_end(environment("PVDRIVERS_STRESS_KILLS", 60));
    end_guest(server);
    unlink(socket_path);
    return 0;
}
