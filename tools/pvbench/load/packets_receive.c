/* What a packet workload receives. */
#include "tools/pvbench/load/packets_private.h"

/* A frame behind a later one: it had been counted as lost, unless it came before. */
static void take_late(struct pv_packet_workload_result *result, struct stream *stream,
                      uint64_t sequence)
{
    uint64_t age = stream->next - 1 - sequence;
    bool is_known = age < 64;
    uint64_t bit = is_known ? 1ull << age : 0;
    if (stream->there & bit) {
        result->duplicated++;
        return;
    }
    stream->there |= bit;
    result->reordered++;
    result->lost -= is_known;
}

static void check_order(struct pv_packet_workload *workload, uint64_t number)
{
    struct stream *stream = &workload->streams[number >> 56];
    uint64_t sequence = number << 8 >> 8;
    if (!stream->has_begun) /* a receiver may be later than its queue */
        *stream = (struct stream){.next = sequence, .there = UINT64_MAX, .has_begun = true};
    if (sequence < stream->next) {
        take_late(&workload->result, stream, sequence);
        return;
    }
    uint64_t missing = sequence - stream->next;
    workload->result.lost += missing;
    stream->there = (missing < 63 ? stream->there << (missing + 1) : 0) | 1;
    stream->next = sequence + 1;
}

static void take_answer(struct pv_packet_workload *workload, struct load_queue *queue,
                        uint64_t number, uint64_t now)
{
    uint64_t sequence = number << 8 >> 8;
    struct request *request = &queue->requests[sequence % workload->config.depth];
    if (!request->outstanding || request->number != number) {
        workload->result.reordered++; /* too late, or twice */
        return;
    }
    request->outstanding = false;
    if (workload->measured)
        pv_histogram_add(&workload->result.latency, now - request->sent_ns);
}

/* Counts a frame; false: it is none of this workload's. */
static bool take_frame(struct pv_packet_workload *workload, struct load_queue *queue,
                       struct pv_packet *packet, uint64_t now)
{
    uint64_t number;
    switch (pv_frame_check(packet, &number)) {
    case PV_FRAME_FOREIGN:
        workload->result.foreign++;
        return false;
    case PV_FRAME_CORRUPT:
        workload->result.corrupt++;
        return false;
    case PV_FRAME_GOOD:
        break;
    }
    if (workload->config.pattern == PV_PACKETS_ASK)
        take_answer(workload, queue, number, now);
    else
        check_order(workload, number);
    return true;
}

int pv_packets_receive(struct pv_packet_workload *workload, struct load_queue *queue)
{
    enum pv_packet_pattern pattern = workload->config.pattern;
    struct pv_packet **packets = workload->batch;
    if (queue->nr_answers > 0)
        return 0; /* they come first */
    int count = pv_netfront_receive(queue->front, packets, workload->config.batch);
    if (count <= 0)
        return count;
    uint64_t now = pattern == PV_PACKETS_ASK ? pv_load_now_ns() : 0;
    uint64_t good = 0, bytes = 0;
    uint32_t released = 0;
    queue->answer = 0;
    for (int i = 0; i < count; i++) {
        struct pv_packet *packet = packets[i];
        bool mine = pattern != PV_PACKETS_SEND && take_frame(workload, queue, packet, now);
        good += mine;
        bytes += mine ? packet->length : 0;
        if (mine && pattern == PV_PACKETS_ANSWER) {
            pv_frame_turn(packet);
            queue->answers[queue->nr_answers++] = packet;
        } else {
            packets[released++] = packet;
        }
    }
    workload->received += good;
    pv_packet_release(workload->cache, packets, released);
    pv_packets_count(workload, &workload->result.rx, good, bytes);
    return count;
}
