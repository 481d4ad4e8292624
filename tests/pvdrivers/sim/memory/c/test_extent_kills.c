/* An extent is blocks only when memory of it is wanted. A process is killed while it makes them:
 * all of the memory is there for who comes next. */
#include "pvdrivers/sim/memory/internal.h"
#include "tests/pvdrivers/sim/core/c/stepping.h"

#include <assert.h>

#define FIRST (2ull << 20) /* of an extent that is many blocks */
#define SIZE ((2ull << 20) - 32768)
#define HEAD ((FIRST + 16384) >> FRAME_SHIFT)
#define NEXT (HEAD + 4)

static struct pv_machine *machine;

static void make_machine(void)
{
    struct pv_memory_extent extents[] = {{.size = 16384}, {.start = FIRST + 16384, .size = SIZE}};
    struct pv_machine_config config = {
        .extents = extents, .extent_count = 2, .max_domains = 4, .max_domain_memory = 4u << 20};
    assert(pv_machine_create(&config, &machine) == 0);
    assert(machine->shared->extent_count == 2);
}

static int take_a_large_block(void *unused)
{
    (void)unused;
    machine_lock(machine);
    uint64_t mfn = heap_alloc(machine, 6, 0, 1, ZONE_NORMAL);
    machine_unlock(machine);
    return mfn == NO_FRAME;
}

/* ---- Instants of that call, in the order in which they come ---------------------------------- */

static bool small_extent_is_open(void *unused)
{
    (void)unused;
    return machine->shared->extents[0].opened;
}

static bool a_block_is_there(void *unused)
{
    (void)unused;
    return page_state(machine, HEAD).flags & PGC_free;
}

static bool it_is_linked(void *unused)
{
    (void)unused;
    return frame_info(machine, HEAD)->next;
}

static bool another_is_there(void *unused)
{
    (void)unused;
    return page_state(machine, NEXT).flags & PGC_free;
}

static bool another_counts(void *unused)
{
    (void)unused;
    return machine->shared->extents[1].opened > NEXT - HEAD;
}

static bool (*const instants[])(void *) = {small_extent_is_open, a_block_is_there, it_is_linked,
                                           another_is_there, another_counts};

/* ---- What must hold -------------------------------------------------------------------------- */

static void check_all_is_free(void)
{
    assert(pv_machine_free_memory(machine) == SIZE + 16384);
    struct pv_domain_config everything = {.memory = SIZE + 16384, .vcpus = 1};
    assert(pv_domain_create(machine, 1, &everything) == 1);
    assert(pv_machine_free_memory(machine) == 0);
    assert(pv_domain_destroy(machine, 1) == 0);
    assert(pv_machine_free_memory(machine) == SIZE + 16384);
}

static void killed_at(bool (*instant)(void *))
{
    make_machine();
    pid_t process = start_stopped(take_a_large_block, NULL);
    step_until(process, instant, NULL);
    kill_stopped(process);
    check_all_is_free();
    pv_machine_close(machine);
}

static void test_nobody_wants_memory(void)
{
    make_machine();
    assert(pv_machine_free_memory(machine) == SIZE + 16384);
    assert(!machine->shared->extents[0].opened && !machine->shared->extents[1].opened);
    check_all_is_free();
    pv_machine_close(machine);
}

int main(void)
{
    test_nobody_wants_memory();
    for (size_t i = 0; STEPPING && i < sizeof instants / sizeof *instants; i++)
        killed_at(instants[i]);
    return 0;
}
