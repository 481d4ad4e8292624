/* The eventfds a process knows. Threads that fetch the same one at once must not close it under
 * each other: a write that goes astray is a wake-up that never comes. */
#include "event_machine.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HANDLE 7u
#define ROUNDS 200u

static int new_fd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(fd >= 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_the_first_of_a_generation_stays(void)
{
    struct pv_machine *machine = new_machine();
    int first = new_fd(), second = new_fd(), next = new_fd(), late = new_fd();
    assert(event_fd(machine, HANDLE, 1) == -1);
    event_fds_add(machine, HANDLE, 1, first);
    event_fds_add(machine, HANDLE, 1, second);
    assert(event_fd(machine, HANDLE, 1) == first && is_open(first) && !is_open(second));
    event_fds_add(machine, HANDLE, 2, next);
    assert(event_fd(machine, HANDLE, 2) == next && is_open(next) && !is_open(first));
    event_fds_add(machine, HANDLE, 1, late);
    assert(event_fd(machine, HANDLE, 2) == next && is_open(next) && !is_open(late));
    assert(event_fd(machine, HANDLE, 1) == -1);
    event_fds_remove(machine, HANDLE);
    assert(event_fd(machine, HANDLE, 2) == -1 && !is_open(next));
    pv_machine_close(machine);
}

/* Generations are counted in 32 bits, and come round. */
static void test_generations_come_round(void)
{
    struct pv_machine *machine = new_machine();
    int last = new_fd(), next = new_fd();
    event_fds_add(machine, HANDLE, UINT32_MAX, last);
    event_fds_add(machine, HANDLE, 3, next);
    assert(event_fd(machine, HANDLE, 3) == next && !is_open(last));
    pv_machine_close(machine);
    assert(!is_open(next));
}

static struct pv_machine *machine;
static pthread_barrier_t barrier;

static void *fetch_each(void *copies)
{
    int *fd = copies;
    for (uint32_t generation = 1; generation <= ROUNDS; generation++) {
        pthread_barrier_wait(&barrier);
        event_fds_add(machine, HANDLE, generation, fd[generation]);
        /* From here on a thread may write to it, so it must stay, whatever others add. */
        int known = event_fd(machine, HANDLE, generation);
        for (int look = 0; look < 20; look++)
            assert(event_fd(machine, HANDLE, generation) == known && is_open(known));
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void test_threads_agree_on_one(void)
{
    static int copies[2][ROUNDS + 1];
    pthread_t threads[2];
    machine = new_machine();
    pthread_barrier_init(&barrier, NULL, 2);
    for (uint32_t generation = 1; generation <= ROUNDS; generation++) {
        copies[0][generation] = new_fd();
        copies[1][generation] = dup(copies[0][generation]);
    }
    for (int i = 0; i < 2; i++)
        assert(pthread_create(&threads[i], NULL, fetch_each, copies[i]) == 0);
    for (int i = 0; i < 2; i++)
        assert(pthread_join(threads[i], NULL) == 0);
    for (uint32_t generation = 1; generation < ROUNDS; generation++)
        assert(!is_open(copies[0][generation]) && !is_open(copies[1][generation]));
    pv_machine_close(machine);
}

int main(void)
{
    test_the_first_of_a_generation_stays();
    test_generations_come_round();
    test_threads_agree_on_one();
    return 0;
}
