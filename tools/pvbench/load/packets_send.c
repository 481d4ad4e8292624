/* What a packet workload sends. */
#include "tools/pvbench/load/packets_private.h"

void pv_packets_count(struct pv_packet_workload *workload, struct pv_packet_count *count,
                      uint64_t packets, uint64_t bytes)
{
    if (!workload->measured)
        return;
    pv_add_counter(&count->packets, packets);
    pv_add_counter(&count->bytes, bytes);
}

/* How many frames the rate allows now. */
static uint64_t due(struct pv_packet_workload *workload, const struct load_queue *queue,
                    uint64_t now)
{
    uint64_t rate = workload->config.rate;
    if (!rate)
        return UINT64_MAX;
    uint64_t allowed = pv_frames_due(now - workload->start_ns, rate);
    if (allowed > queue->sent)
        return allowed - queue->sent;
    uint64_t next = workload->start_ns + pv_frame_due_ns(queue->sent, rate);
    if (next < workload->next_due_ns)
        workload->next_due_ns = next;
    return 0;
}

/* How many requests may be outstanding in addition, in the order of their numbers. */
static uint64_t free_requests(struct pv_packet_workload *workload, const struct load_queue *queue,
                              uint64_t now)
{
    uint32_t depth = workload->config.depth, count = 0;
    for (; count < depth; count++) {
        struct request *request = &queue->requests[(queue->sent + count) % depth];
        if (!request->outstanding)
            continue;
        if (now - request->sent_ns < PATIENCE_NS)
            break;
        request->outstanding = false;
        workload->result.lost++;
    }
    return count;
}

static uint32_t wanted(struct pv_packet_workload *workload, const struct load_queue *queue,
                       uint64_t now)
{
    const struct pv_packet_workload_config *config = &workload->config;
    uint64_t count = config->batch;
    uint64_t limits[] = {due(workload, queue, now),
                         config->count ? config->count - queue->sent : UINT64_MAX,
                         queue->requests ? free_requests(workload, queue, now) : UINT64_MAX};
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
        count = limits[i] < count ? limits[i] : count;
    return (uint32_t)count;
}

static void fill(const struct pv_packet_workload *workload, struct load_queue *queue,
                 uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = pv_frame_number(queue->stream, queue->sent + i);
        pv_frame_fill(queue->packets[i], number);
        if (queue->requests)
            queue->requests[(queue->sent + i) % workload->config.depth] = (struct request){
                .number = number, .sent_ns = pv_load_now_ns(), .outstanding = true};
    }
}

/* A batch goes whole: to send what little there is room for would cost a publication each time. */
int pv_packets_send(struct pv_packet_workload *workload, struct load_queue *queue, uint64_t now)
{
    uint32_t count = wanted(workload, queue, now);
    if (count == 0)
        return 0;
    bool has_room = pv_netfront_room(queue->front) >= count * workload->slots;
    workload->result.no_room += !has_room && !queue->wants_room;
    queue->wants_room = !has_room;
    if (!has_room)
        return pv_netfront_broken(queue->front) ? -EPROTO : 0;
    fill(workload, queue, count);
    int sent = pv_netfront_send(queue->front, queue->packets, count);
    if (sent < 0)
        return sent;
    queue->sent += (uint32_t)sent;
    pv_packets_count(workload, &workload->result.tx, (uint32_t)sent,
                     (uint64_t)sent * workload->config.size);
    return sent;
}

int pv_packets_answer(struct pv_packet_workload *workload, struct load_queue *queue)
{
    if (queue->nr_answers == 0)
        return 0;
    struct pv_packet **answers = queue->answers + queue->answer;
    int sent = pv_netfront_send(queue->front, answers, queue->nr_answers);
    if (sent < 0)
        return sent;
    uint64_t bytes = 0;
    for (int i = 0; i < sent; i++)
        bytes += answers[i]->length;
    pv_packet_release(workload->cache, answers, (uint32_t)sent);
    queue->answer += (uint32_t)sent;
    queue->nr_answers -= (uint32_t)sent;
    queue->sent += (uint32_t)sent;
    queue->wants_room = queue->nr_answers > 0;
    workload->result.no_room += queue->wants_room;
    pv_packets_count(workload, &workload->result.tx, (uint32_t)sent, bytes);
    return sent;
}
