/* Which CPUs share a runqueue: those that lie together, in equal numbers, 16 at most. */
#include "pvdrivers/sim/sched/credit2.h"

#define MAX_CPUS 16

static bool lie_together(const struct scheduler *sched, uint32_t a, uint32_t b)
{
    switch (sched->credit2_runqueue) {
    case PV_CREDIT2_RUNQUEUE_CPU:
        return false;
    case PV_CREDIT2_RUNQUEUE_CORE:
        return is_in(core_of(sched, a), b);
    case PV_CREDIT2_RUNQUEUE_NODE:
        return node_of(sched, a) == node_of(sched, b);
    case PV_CREDIT2_RUNQUEUE_ALL:
        return true;
    default:
        return is_in(socket_of(sched, a), b);
    }
}

/* So many that the machine's CPUs make queues of equal length. */
static uint32_t fair_count(const struct scheduler *sched)
{
    return sched->cpus / ((sched->cpus - 1) / MAX_CPUS + 1);
}

/* The threads of all cores of which one is in the queue: they may all come. */
static uint32_t threads_in(const struct scheduler *sched, const struct sched_queue *queue)
{
    uint32_t count = 0;
    struct cpu_range core;
    for (uint32_t cpu = 0; cpu < sched->cpus; cpu = core.end) {
        core = core_of(sched, cpu);
        if (mask_count(&queue->cpus, core))
            count += core.end - core.first;
    }
    return count;
}

static bool has_room(const struct scheduler *sched, const struct sched_queue *queue, uint32_t cpu)
{
    struct cpu_range core = core_of(sched, cpu);
    if (queue->cpu_count >= fair_count(sched))
        return false;
    return sched->credit2_runqueue == PV_CREDIT2_RUNQUEUE_ALL ||
           threads_in(sched, queue) + core.end - core.first <= fair_count(sched);
}

uint32_t credit2_queue_for(const struct scheduler *sched, const struct sched_pool *pool,
                           uint32_t cpu)
{
    uint32_t best = SCHED_MAX_CPUS;
    for (uint32_t id = 0; id < sched->cpus; id++) {
        const struct sched_queue *queue = &sched->queue[id];
        if (queue->cpu_count == 0 || !mask_meets(&queue->cpus, &pool->cpus) ||
            !lie_together(sched, mask_first(&queue->cpus, all_cpus(sched)), cpu))
            continue;
        if (mask_count(&queue->cpus, core_of(sched, cpu)))
            return id; /* however many there are */
        if (has_room(sched, queue, cpu) &&
            (best == SCHED_MAX_CPUS || queue->cpu_count < sched->queue[best].cpu_count))
            best = id;
    }
    return best == SCHED_MAX_CPUS ? runqueue_unused(sched) : best;
}
