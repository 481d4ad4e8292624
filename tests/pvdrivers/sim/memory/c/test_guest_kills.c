/* A process of a guest is killed while it takes a grant ref or pages: the guest's other processes
 * get what it was about to take, whatever call they make next. */
#include "tests/pvdrivers/sim/core/c/stepping.h"
#include "tests/pvdrivers/sim/grants/c/grant_test.h"

static struct fixture f;
static void *page;

static struct domain *front(void)
{
    return domain_window(f.machine, FRONT);
}

static int grant_page(void *unused)
{
    grant_ref_t ref;
    (void)unused;
    return f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, page, false, &ref);
}

static bool has_taken_a_ref(void *fresh)
{
    return front()->grant_table.free_refs.fresh != *(uint32_t *)fresh;
}

static int allocate_page(void *unused)
{
    (void)unused;
    return !f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], 1);
}

static bool has_taken_a_page(void *unused)
{
    const guest_page_owner *owners = domain_area(f.machine, front(), SUBSYSTEM_GUEST_PAGES);
    (void)unused;
    return owners[GUEST_RESERVED_PAGES];
}

static void kill_at(int (*call)(void *), bool (*reached)(void *), void *argument)
{
    pid_t process = start_stopped(call, NULL);
    step_until(process, reached, argument);
    kill_stopped(process);
}

static void a_ref_that_was_being_taken_is_free_again(void)
{
    f = set_up();
    page = f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], 1);
    uint32_t fresh = front()->grant_table.free_refs.fresh;
    grant_ref_t ref;
    kill_at(grant_page, has_taken_a_ref, &fresh);
    assert(f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], 1));
    assert(f.hv[FRONT]->ops->grant_access(f.hv[FRONT], BACK, page, false, &ref) == 0);
    assert(ref == fresh);
    tear_down(&f);
}

static void a_page_that_was_being_taken_is_free_again(void)
{
    f = set_up();
    kill_at(allocate_page, has_taken_a_page, NULL);
    FOR_EACH_SUBSYSTEM_REVERSE(id, client_left)
    subsystems[id]->client_left(f.machine, f.machine->client);
    assert(f.hv[FRONT]->ops->pages_alloc(f.hv[FRONT], PAGES - GUEST_RESERVED_PAGES));
    tear_down(&f);
}

int main(void)
{
    if (!STEPPING)
        return 0;
    a_ref_that_was_being_taken_is_free_again();
    a_page_that_was_being_taken_is_free_again();
    return 0;
}
