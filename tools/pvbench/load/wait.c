#include "tools/pvbench/load/wait.h"
#include "pvdrivers/poll/window.h"

#include <poll.h>
#include <sched.h>
#include <time.h>

#define LONGEST_SLEEP_NS (NS_PER_S / 20)

uint64_t pv_load_now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

void pv_load_wait_progress(struct pv_load_wait *wait, uint64_t now)
{
    wait->window = pv_poll_window_next(wait->window, now - wait->last_progress_ns);
    wait->last_progress_ns = now;
}

bool pv_load_wait_is_over(struct pv_load_wait *wait, uint64_t now)
{
    uint64_t waited = now - wait->last_progress_ns;
    if (wait->mode == PV_POLL_MODE_EVENT ||
        (wait->mode == PV_POLL_MODE_HYBRID && waited >= wait->window))
        return true;
    if (waited >= PV_YIELD_AFTER_NS && now >= wait->next_yield) {
        sched_yield();
        wait->next_yield = pv_yield_next(now, pv_load_now_ns());
    }
    return false;
}

void pv_load_wait_sleep(struct pv_load_wait *wait, uint64_t ns)
{
    const struct pv_hypervisor_ops *ops = wait->hypervisor->ops;
    struct pollfd event = {.fd = ops->evtchn_fd(wait->evtchn), .events = POLLIN};
    struct timespec longest = {.tv_nsec = (long)(ns < LONGEST_SLEEP_NS ? ns : LONGEST_SLEEP_NS)};
    if (ppoll(&event, 1, &longest, NULL) <= 0)
        return;
    for (int port; (port = ops->evtchn_pending(wait->evtchn)) >= 0;)
        ops->evtchn_unmask(wait->evtchn, (evtchn_port_t)port);
}
