/*
 * A workload on network devices: frames that carry a number and a pattern, sent, received and
 * checked, or requests and their answers. One thread drives every queue; nothing is allocated once
 * it is created. Each frame is written afresh, as a program would, and is Ethernet with IPv4 and
 * UDP, so that bridges pass it on and hashes tell streams apart.
 */
#ifndef TOOLS_PVBENCH_LOAD_PACKETS_H
#define TOOLS_PVBENCH_LOAD_PACKETS_H

#include "pvdrivers/frontends/vnif/netfront.h"
#include "pvdrivers/poll/group.h"
#include "tools/pvbench/load/histogram.h"

/* cffi: begin */
struct pv_packet_workload;

#define PV_PACKET_WORKLOAD_MIN_SIZE 60 /* bytes of a frame, the Ethernet header included */
#define PV_PACKET_WORKLOAD_STREAMS 256
#define PV_PACKET_WORKLOAD_MAX_BATCH 256

/* What the workload does. Whoever only sends drops what it receives. */
enum pv_packet_pattern {
    PV_PACKETS_SEND,
    PV_PACKETS_RECEIVE,
    PV_PACKETS_BOTH,   /* sends, and checks what it receives */
    PV_PACKETS_ASK,    /* sends requests and waits for each one's answer */
    PV_PACKETS_ANSWER, /* sends back what it receives */
    PV_PACKETS_PATTERN_COUNT
};

struct pv_packet_workload_config {
    struct pv_hypervisor *hypervisor;
    struct pv_evtchn *evtchn;          /* of all the queues */
    struct pv_netfront_queue **queues; /* connected; each one that sends is a stream */
    uint32_t nr_queues;
    struct pv_packet_pool *pool; /* of the queues */
    enum pv_packet_pattern pattern;
    uint8_t source[6], destination[6]; /* MACs of what is sent */
    uint8_t first_stream; /* the number of the first queue's: those that send to one receiver have
                             different ones */
    uint32_t size;        /* bytes of a frame */
    uint32_t batch;       /* frames given to a queue at once */
    uint32_t depth;       /* requests outstanding on each queue */
    uint64_t rate;        /* frames a second that each queue sends at most; 0: no limit */
    uint64_t count;       /* frames that each queue sends, or that are received; 0: no limit */
    uint64_t runtime_ns;  /* 0: no limit */
    uint64_t ramp_ns;     /* not measured, before the runtime */
    bool until_stopped;   /* what comes after the runtime is still taken, and not measured */
    enum pv_poll_mode mode;
};

struct pv_packet_count {
    uint64_t packets, bytes;
};

struct pv_packet_workload_result {
    uint64_t elapsed_ns;
    struct pv_packet_count tx, rx; /* in the measured time; rx: of this kind of workload alone */
    /* From the first frame to the last. */
    uint64_t lost;       /* frames before the last that never came, or requests without an answer
                            for 1 s */
    uint64_t reordered;  /* came after a later one of their stream, or an answer after 1 s */
    uint64_t duplicated; /* came twice */
    uint64_t corrupt;    /* another content than was sent */
    uint64_t foreign;    /* no such workload's */
    uint64_t no_room;    /* times that sending had to wait for the backend */
    uint64_t sleeps;     /* times the thread waited for an event */
    uint64_t user_ns, system_ns, context_switches; /* of the thread */
    struct pv_histogram latency;                   /* ns, of requests, in the measured time */
};

struct pv_packet_progress {
    struct pv_packet_count tx, rx; /* since the ramp */
};

/* NULL with errno set: EINVAL for a configuration that makes no sense. */
PV_API struct pv_packet_workload *
pv_packet_workload_create(const struct pv_packet_workload_config *config);
PV_API void pv_packet_workload_destroy(struct pv_packet_workload *workload); /* NULL is fine */
/* Runs to its end in the calling thread, once. 0, -ETIMEDOUT when the backend does not take what
 * was sent for 1 s, or what a queue says: -EPROTO for a broken one, -EINVAL for frames that it
 * cannot send. */
PV_API int pv_packet_workload_run(struct pv_packet_workload *workload);
/* These may be called from any thread. Stopping lets what is outstanding end. */
PV_API void pv_packet_workload_stop(struct pv_packet_workload *workload);
PV_API void pv_packet_workload_get_progress(const struct pv_packet_workload *workload,
                                            struct pv_packet_progress *progress);
/* For when it does not run. */
PV_API const struct pv_packet_workload_result *
pv_packet_workload_get_result(const struct pv_packet_workload *workload);
/* cffi: end */

#endif
