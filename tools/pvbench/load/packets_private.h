/* What the files of the packet workload share. */
#ifndef TOOLS_PVBENCH_LOAD_PACKETS_PRIVATE_H
#define TOOLS_PVBENCH_LOAD_PACKETS_PRIVATE_H

#include "pvdrivers/ring/ring.h"
#include "tools/pvbench/load/packets.h"
#include "tools/pvbench/load/wait.h"

#include <errno.h>

#define PATIENCE_NS NS_PER_S /* after which a request is lost, and a backend stuck */

/* What is received of one stream. */
struct stream {
    uint64_t next;  /* behind the last frame */
    uint64_t there; /* bit N: frame `next` - 1 - N has come, or was before the first */
    bool has_begun;
};

/* A request that waits for its answer. */
struct request {
    uint64_t number, sent_ns;
    bool outstanding;
};

struct load_queue {
    struct pv_netfront_queue *front;
    uint8_t stream;
    uint64_t sent;              /* frames */
    struct pv_packet **packets; /* a batch of its own, filled again and again */
    bool wants_room;
    struct request *requests;    /* `depth` of them; by their number */
    struct pv_packet **answers;  /* a batch received that is not sent back yet */
    uint32_t nr_answers, answer; /* how many, and the next one */
};

struct pv_packet_workload {
    struct pv_packet_workload_config config;
    struct load_queue *queues;
    struct pv_packet_cache *cache;
    struct pv_packet **batch; /* received */
    struct stream streams[PV_PACKET_WORKLOAD_STREAMS];
    uint32_t slots; /* of the ring, that a frame takes */
    struct pv_load_wait wait;
    uint32_t stop; /* by any thread */
    uint64_t start_ns, measure_from_ns, end_ns;
    uint64_t next_due_ns; /* when the next frame may be sent; with a rate */
    uint64_t received;    /* frames */
    bool measured;
    bool ending; /* nothing more is sent */
    struct pv_packet_workload_result result;
};

/* packets_frame.c */
enum pv_frame { PV_FRAME_GOOD, PV_FRAME_CORRUPT, PV_FRAME_FOREIGN };

#define PV_FRAME_HEADERS 42u /* bytes: Ethernet, IPv4, UDP */

/* What all frames of a stream begin with. */
struct pv_frame_headers {
    uint8_t bytes[PV_FRAME_HEADERS];
};

void pv_frame_make_headers(const struct pv_packet_workload_config *config, uint8_t stream,
                           struct pv_frame_headers *headers);
/* The headers of a frame of `size` bytes. */
void pv_frame_init(struct pv_packet *packet, uint32_t size, const struct pv_frame_headers *headers);
/* The number and a pattern that depends on it. A number has its stream in its top byte. */
void pv_frame_fill(struct pv_packet *packet, uint64_t number);
enum pv_frame pv_frame_check(const struct pv_packet *packet, uint64_t *number);
/* Exchanges the two ends' addresses and ports. */
void pv_frame_turn(struct pv_packet *packet);

static inline uint64_t pv_frame_number(uint8_t stream, uint64_t sequence)
{
    return (uint64_t)stream << 56 | sequence;
}

/* Frames that a rate (a second) allows after so many ns; and when, ns, it allows one more than so
 * many. */
static inline uint64_t pv_frames_due(uint64_t elapsed_ns, uint64_t rate)
{
    return (uint64_t)((unsigned __int128)elapsed_ns * rate / NS_PER_S) + 1;
}

static inline uint64_t pv_frame_due_ns(uint64_t frames, uint64_t rate)
{
    return (uint64_t)(((unsigned __int128)frames * NS_PER_S + rate - 1) / rate);
}

/* packets_send.c */
/* Sends what there is room for, and what is due; how many frames, or a negative errno. */
int pv_packets_send(struct pv_packet_workload *workload, struct load_queue *queue, uint64_t now);
/* Sends back what was received; the same. */
int pv_packets_answer(struct pv_packet_workload *workload, struct load_queue *queue);
void pv_packets_count(struct pv_packet_workload *workload, struct pv_packet_count *count,
                      uint64_t packets, uint64_t bytes);

/* packets_receive.c */
/* Takes and checks a batch; how many frames, or a negative errno. */
int pv_packets_receive(struct pv_packet_workload *workload, struct load_queue *queue);

#endif
