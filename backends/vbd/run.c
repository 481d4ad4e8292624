/* A thread that does nothing but pump queues: for benchmarks and for backends of their own
 * process. */
#include "backends/vbd/blkback_private.h"

#include <poll.h>
#include <sched.h>
#include <time.h>

#define BUDGET 256
#define SLEEP_MS 50             /* how late a stop may be noticed */
#define SPINS_BEFORE_YIELD 1024 /* the peer may be waiting for this very processor */
#define LEAST_SPIN_NS 2000u     /* a line transfer or two */
#define MOST_SPIN_NS 100000u    /* several sleeps and wake-ups */

struct runner {
    struct pv_blkback_queue **queues;
    unsigned count;
    struct pv_evtchn *handles[PV_BLKBACK_MAX_RUN_QUEUES]; /* each once */
    const struct pv_hypervisor_ops *ops[PV_BLKBACK_MAX_RUN_QUEUES];
    unsigned handle_count;
    uint64_t spin; /* ns to look for work before sleeping */
    bool spun;     /* since the last work */
    unsigned spins;
};

static uint64_t clock_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void collect_handles(struct runner *runner)
{
    for (unsigned i = 0; i < runner->count; i++) {
        struct pv_evtchn *handle = runner->queues[i]->evtchn;
        unsigned known = 0;
        while (known < runner->handle_count && runner->handles[known] != handle)
            known++;
        if (known < runner->handle_count)
            continue;
        runner->handles[known] = handle;
        runner->ops[known] = runner->queues[i]->hypervisor->ops;
        runner->handle_count++;
    }
}

static bool pump_all(struct runner *runner, uint64_t now)
{
    bool worked = false;
    for (unsigned i = 0; i < runner->count; i++)
        worked |= pv_blkback_pump(runner->queues[i], BUDGET, now) > 0;
    return worked;
}

/* Wake-ups heard are unmasked only now that their work is done: a storm of them costs its sender
 * more than us (XSA-332). An unmasked port may fire again at once, so each handle gets no more
 * looks than there are queues before all of them are pumped again. */
static void rearm_ports(struct runner *runner)
{
    for (unsigned i = 0; i < runner->handle_count; i++) {
        int port;
        for (unsigned left = runner->count;
             left > 0 && (port = runner->ops[i]->evtchn_pending(runner->handles[i])) >= 0; left--)
            runner->ops[i]->evtchn_unmask(runner->handles[i], (evtchn_port_t)port);
    }
}

static int sleep_ms(const struct runner *runner, uint64_t now)
{
    uint64_t deadline = UINT64_MAX;
    for (unsigned i = 0; i < runner->count; i++)
        if (runner->queues[i]->deadline < deadline)
            deadline = runner->queues[i]->deadline;
    if (deadline <= now)
        return 0;
    uint64_t ms = (deadline - now) / 1000000u + 1;
    return ms < SLEEP_MS ? (int)ms : SLEEP_MS;
}

static int sleep_until_woken(struct runner *runner, uint64_t now)
{
    struct pollfd fds[2 * PV_BLKBACK_MAX_RUN_QUEUES];
    unsigned count = 0;
    bool work = false;
    rearm_ports(runner);
    for (unsigned i = 0; i < runner->count; i++) {
        work |= pv_blkback_arm(runner->queues[i]);
        fds[count++] = (struct pollfd){.fd = runner->queues[i]->fd, .events = POLLIN};
    }
    if (work)
        return 0;
    for (unsigned i = 0; i < runner->handle_count; i++)
        fds[count++] =
            (struct pollfd){.fd = runner->ops[i]->evtchn_fd(runner->handles[i]), .events = POLLIN};
    return poll(fds, count, sleep_ms(runner, now)) < 0 && errno != EINTR ? -errno : 0;
}

/* Spinning that found work was worth it and may last longer next time; spinning in vain halves
 * it. */
static void adapt(struct runner *runner, bool paid)
{
    runner->spin = paid ? runner->spin * 2 : runner->spin / 2;
    if (runner->spin < LEAST_SPIN_NS)
        runner->spin = LEAST_SPIN_NS;
    if (runner->spin > MOST_SPIN_NS)
        runner->spin = MOST_SPIN_NS;
}

static void relax(struct runner *runner)
{
    pv_cpu_relax();
    if (++runner->spins % SPINS_BEFORE_YIELD == 0)
        sched_yield();
}

int pv_blkback_run(struct pv_blkback_queue **queues, unsigned count, enum pv_blkback_mode mode,
                   const uint32_t *stop)
{
    struct runner runner = {.queues = queues, .count = count, .spin = MOST_SPIN_NS};
    if (count == 0 || count > PV_BLKBACK_MAX_RUN_QUEUES)
        return -EINVAL;
    collect_handles(&runner);
    uint64_t now = clock_now(), last_work = now;
    int status = 0;
    while (status == 0 && !pv_load_acquire(stop)) {
        now = clock_now();
        if (pump_all(&runner, now)) {
            if (runner.spun)
                adapt(&runner, true);
            runner.spun = false;
            last_work = now;
        } else if (mode == PV_BLKBACK_POLL ||
                   (mode == PV_BLKBACK_HYBRID && now - last_work < runner.spin)) {
            runner.spun = true;
            relax(&runner);
        } else {
            adapt(&runner, false);
            status = sleep_until_woken(&runner, now);
            runner.spun = false;
            last_work = clock_now();
        }
    }
    return status;
}
