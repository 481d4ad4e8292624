/* How a poller's patience follows the waits it has seen, and when it gives way. */
#include "pvdrivers/poll/window.h"

#undef NDEBUG
#include <assert.h>

#define US 1000u

static void test_a_wait_that_was_short_enough_changes_nothing(void)
{
    assert(pv_poll_window_next(20 * US, 0) == 20 * US);
    assert(pv_poll_window_next(20 * US, 20 * US) == 20 * US);
}

static void test_it_grows_until_waits_are_spun_through(void)
{
    uint64_t window = pv_poll_window_next(0, 30 * US);
    assert(window >= 30 * US);
    assert(pv_poll_window_next(window, 30 * US) == window);
}

static void test_it_never_exceeds_the_most(void)
{
    assert(pv_poll_window_next(150 * US, 199 * US) == PV_POLL_WINDOW_MAX_NS);
    assert(pv_poll_window_next(150 * US, PV_POLL_WINDOW_MAX_NS) == PV_POLL_WINDOW_MAX_NS);
}

static void test_waits_too_long_for_any_spinning_end_it(void)
{
    uint64_t window = PV_POLL_WINDOW_MAX_NS;
    for (int i = 0; i < 20; i++)
        window = pv_poll_window_next(window, 10000 * US);
    assert(window == 0);
}

static void test_it_yields_again_at_once_when_the_processor_comes_back_at_once(void)
{
    assert(pv_yield_next(1000 * US, 1000 * US) == 1000 * US);
    assert(pv_yield_next(1000 * US, 1300 * US) == 1300 * US);
}

/* Else a program that computes would have the processor but for a look now and then. */
static void test_it_keeps_the_processor_longer_than_it_waited_for_it(void)
{
    uint64_t from = 1000 * US, to = from + 3000 * US;
    assert(pv_yield_next(from, to) - to > to - from);
}

int main(void)
{
    test_a_wait_that_was_short_enough_changes_nothing();
    test_it_grows_until_waits_are_spun_through();
    test_it_never_exceeds_the_most();
    test_waits_too_long_for_any_spinning_end_it();
    test_it_yields_again_at_once_when_the_processor_comes_back_at_once();
    test_it_keeps_the_processor_longer_than_it_waited_for_it();
    return 0;
}
