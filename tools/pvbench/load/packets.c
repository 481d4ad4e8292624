/* A packet workload's loop: send what may be sent, take what has come, wait. */
#include "tools/pvbench/load/packets_private.h"
#include "tools/pvbench/load/usage.h"

#define LOOKS 16u /* at the queues between two looks at the clock */

static bool sends(const struct pv_packet_workload *workload)
{
    return workload->config.pattern != PV_PACKETS_RECEIVE &&
           workload->config.pattern != PV_PACKETS_ANSWER;
}

/* ---- Waiting ------------------------------------------------------------------------------- */

/* Until something has come, but not for long. */
static void look_around(const struct pv_packet_workload *workload)
{
    for (unsigned look = 0; look < LOOKS; look++) {
        for (uint32_t i = 0; i < workload->config.nr_queues; i++)
            if (pv_netfront_has_news(workload->queues[i].front))
                return;
    }
    pv_cpu_relax();
}

static void sleep_until_event(struct pv_packet_workload *workload, uint64_t now)
{
    for (uint32_t i = 0; i < workload->config.nr_queues; i++) {
        struct load_queue *queue = &workload->queues[i];
        if (pv_netfront_arm(queue->front, queue->wants_room || workload->ending))
            return;
    }
    uint64_t next =
        workload->next_due_ns < workload->end_ns ? workload->next_due_ns : workload->end_ns;
    workload->result.sleeps++;
    pv_load_wait_sleep(&workload->wait, next > now && !workload->ending ? next - now : UINT64_MAX);
}

/* ---- The end ------------------------------------------------------------------------------- */

static bool has_sent_all(const struct pv_packet_workload *workload)
{
    for (uint32_t i = 0; i < workload->config.nr_queues; i++)
        if (workload->queues[i].sent < workload->config.count)
            return false;
    return true;
}

static bool has_enough(const struct pv_packet_workload *workload)
{
    uint64_t count = workload->config.count;
    if (count == 0)
        return false;
    return sends(workload) ? has_sent_all(workload) : workload->received >= count;
}

static bool is_outstanding(const struct pv_packet_workload *workload,
                           const struct load_queue *queue)
{
    if (pv_netfront_outstanding(queue->front) > 0)
        return true;
    for (uint32_t i = 0; queue->requests && i < workload->config.depth; i++)
        if (queue->requests[i].outstanding)
            return true;
    return false;
}

static bool may_end(const struct pv_packet_workload *workload)
{
    return workload->ending && (!workload->config.until_stopped || pv_read_once(&workload->stop));
}

/* Whether everything sent has arrived, as far as it can be told. */
static bool is_idle(const struct pv_packet_workload *workload)
{
    const struct pv_packet_workload_config *config = &workload->config;
    for (uint32_t i = 0; i < config->nr_queues; i++)
        if (is_outstanding(workload, &workload->queues[i]))
            return false;
    return config->pattern != PV_PACKETS_BOTH || !has_enough(workload) ||
           workload->received >= config->count * config->nr_queues;
}

/* Nothing more comes. */
static int give_up(struct pv_packet_workload *workload)
{
    int error = 0;
    for (uint32_t i = 0; i < workload->config.nr_queues; i++) {
        struct load_queue *queue = &workload->queues[i];
        if (pv_netfront_outstanding(queue->front) > 0)
            error = -ETIMEDOUT;
        for (uint32_t j = 0; queue->requests && j < workload->config.depth; j++)
            workload->result.lost += queue->requests[j].outstanding;
    }
    return error;
}

/* ---- The loop ------------------------------------------------------------------------------ */

static void look_at_the_time(struct pv_packet_workload *workload, uint64_t now)
{
    workload->measured = now >= workload->measure_from_ns && now < workload->end_ns;
    if (now >= workload->end_ns || pv_read_once(&workload->stop) || has_enough(workload))
        workload->ending = true;
    workload->next_due_ns = UINT64_MAX;
}

/* How much there was to do, or a negative errno. */
static int work(struct pv_packet_workload *workload, uint64_t now)
{
    int done = 0;
    for (uint32_t i = 0; i < workload->config.nr_queues; i++) {
        struct load_queue *queue = &workload->queues[i];
        int received = pv_packets_receive(workload, queue), sent = 0;
        if (workload->config.pattern == PV_PACKETS_ANSWER)
            sent = pv_packets_answer(workload, queue);
        else if (sends(workload) && !workload->ending)
            sent = pv_packets_send(workload, queue, now);
        if (received < 0 || sent < 0)
            return received < 0 ? received : sent;
        done += received + sent;
    }
    return done;
}

static int loop(struct pv_packet_workload *workload)
{
    for (uint64_t now = workload->start_ns;; now = pv_load_now_ns()) {
        look_at_the_time(workload, now);
        int done = work(workload, now);
        if (done < 0)
            return done;
        if (done > 0) {
            pv_load_wait_progress(&workload->wait, now);
            continue;
        }
        if (may_end(workload) && is_idle(workload))
            return 0;
        if (may_end(workload) && now - workload->wait.last_progress_ns > PATIENCE_NS)
            return give_up(workload);
        if (pv_load_wait_is_over(&workload->wait, now))
            sleep_until_event(workload, now);
        else
            look_around(workload);
    }
}

static void count_usage(struct pv_packet_workload_result *result, const struct load_usage *before)
{
    const struct load_usage after = load_usage_now();
    result->user_ns = after.user_ns - before->user_ns;
    result->system_ns = after.system_ns - before->system_ns;
    result->context_switches = after.context_switches - before->context_switches;
}

int pv_packet_workload_run(struct pv_packet_workload *workload)
{
    const struct pv_packet_workload_config *config = &workload->config;
    const struct load_usage before = load_usage_now();
    workload->start_ns = workload->wait.last_progress_ns = pv_load_now_ns();
    workload->measure_from_ns = workload->start_ns + config->ramp_ns;
    workload->end_ns =
        config->runtime_ns ? workload->measure_from_ns + config->runtime_ns : UINT64_MAX;
    int error = loop(workload);
    uint64_t now = pv_load_now_ns(), end = now < workload->end_ns ? now : workload->end_ns;
    workload->result.elapsed_ns =
        end > workload->measure_from_ns ? end - workload->measure_from_ns : 0;
    count_usage(&workload->result, &before);
    return error;
}

/* ---- What other threads ask ---------------------------------------------------------------- */

void pv_packet_workload_stop(struct pv_packet_workload *workload)
{
    pv_write_once(&workload->stop, 1);
}

static void read_count(struct pv_packet_count *copy, const struct pv_packet_count *count)
{
    copy->packets = pv_read_counter(&count->packets);
    copy->bytes = pv_read_counter(&count->bytes);
}

void pv_packet_workload_get_progress(const struct pv_packet_workload *workload,
                                     struct pv_packet_progress *progress)
{
    read_count(&progress->tx, &workload->result.tx);
    read_count(&progress->rx, &workload->result.rx);
}

const struct pv_packet_workload_result *
pv_packet_workload_get_result(const struct pv_packet_workload *workload)
{
    return &workload->result;
}
