/* An extent is blocks only when memory of it is wanted, and may be added while the machine runs. A
 * process is killed while it makes blocks or adds it: all of the memory is there for who comes
 * next. */
#include "pvdrivers/sim/memory/internal.h"
#include "tests/pvdrivers/sim/core/c/stepping.h"

#include <assert.h>
#include <errno.h>

#define FIRST (2ull << 20) /* of an extent that is many blocks */
#define SIZE ((2ull << 20) - 32768)
#define ABSENT (4ull << 20) /* from there on, as much */
#define HEAD ((FIRST + 16384) >> FRAME_SHIFT)
#define NEXT (HEAD + 4)

static struct pv_machine *machine;

static void make_machine(void)
{
    struct pv_memory_extent extents[] = {
        {.size = 16384}, {.start = FIRST + 16384, .size = SIZE}, {ABSENT, ABSENT, 1, true}};
    struct pv_machine_config config = {
        .extents = extents, .extent_count = 3, .max_domains = 4, .max_domain_memory = 8u << 20};
    assert(pv_machine_create(&config, &machine) == 0);
    assert(machine->shared->extent_count == 3);
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

static void check_is_free(uint64_t memory)
{
    assert(pv_machine_free_memory(machine) == memory);
    struct pv_domain_config everything = {.memory = memory, .vcpus = 1};
    assert(pv_domain_create(machine, 1, &everything) == 1);
    assert(pv_machine_free_memory(machine) == 0);
    assert(pv_domain_destroy(machine, 1) == 0);
    assert(pv_machine_free_memory(machine) == memory);
}

static void check_all_is_free(void)
{
    check_is_free(SIZE + 16384);
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

/* ---- Memory is added ------------------------------------------------------------------------- */

static int add_memory(void *unused)
{
    const struct pv_memory_extent extent = {ABSENT, ABSENT, 1, false};
    (void)unused;
    return pv_machine_add_memory(machine, &extent);
}

static bool it_is_there(void *unused)
{
    (void)unused;
    return machine->shared->extents[2].count;
}

static bool its_node_is_there(void *unused)
{
    (void)unused;
    return machine->shared->node_count == 2;
}

static bool the_lock_is_taken(void *unused)
{
    (void)unused;
    return ((const uint32_t *)&machine->shared->lock)[0];
}

static bool (*const adding[])(void *) = {the_lock_is_taken, it_is_there, its_node_is_there};

/* It is there as a whole, or may be added as a whole. */
static void killed_while_adding(bool (*instant)(void *))
{
    make_machine();
    pid_t process = start_stopped(add_memory, NULL);
    step_until(process, instant, NULL);
    kill_stopped(process);
    check_is_free(SIZE + 16384 + (instant == the_lock_is_taken ? 0 : ABSENT));
    assert(add_memory(NULL) == (instant == the_lock_is_taken ? 0 : -EINVAL));
    assert(pv_machine_node_count(machine) == 2);
    check_is_free(SIZE + 16384 + ABSENT);
    pv_machine_close(machine);
}

/* ---- Nobody is killed --------------------------------------------------------------------------
 */

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
    for (size_t i = 0; STEPPING && i < sizeof adding / sizeof *adding; i++)
        killed_while_adding(adding[i]);
    return 0;
}
