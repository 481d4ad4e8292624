/* What the events room keeps in the machine and in each domain: ports, and the handles through
 * which processes receive events. */
#ifndef PVDRIVERS_SIM_EVENTS_STATE_H
#define PVDRIVERS_SIM_EVENTS_STATE_H

#include "pvdrivers/ring/event_channel.h"

#include <pthread.h>
#include <stdbool.h>

#define EVENT_VCPUS 128
#define MAX_EVENT_HANDLES 16384

/* A vcpu's FIFO state (Xen's struct evtchn_fifo_vcpu). */
struct evtchn_fifo_vcpu {
    uint64_t control_mfn;    /* page of the control block, plus one; 0: none */
    uint32_t control_offset; /* bytes */
    uint32_t tail[EVTCHN_FIFO_MAX_QUEUES];
    uint32_t head[EVTCHN_FIFO_MAX_QUEUES]; /* the simulated kernel's place in the queues */
};

#define ANY_PORT UINT32_MAX

struct event_vcpu {
    uint16_t upcall; /* handle + 1 of the vcpu's guest, 0: none */
    uint32_t virq_port[NR_VIRQS];
    uint32_t polled; /* the port it waits for (SCHEDOP_poll), ANY_PORT, or 0 */
    struct evtchn_fifo_vcpu fifo;
};

/* The lock is initialised once per domid. The fields before `first_free` are also read without it.
 */
struct event_channels {
    pthread_mutex_t lock;
    uint32_t max_ports;    /* highest port + 1 the domain may have, whatever the ABI */
    uint32_t fifo;         /* the ABI: 0 2-level, 1 FIFO */
    uint32_t end;          /* no port from here on was ever in use */
    uint32_t first_free;   /* every port below is in use */
    uint32_t active;       /* ports in use */
    uint32_t open_handles; /* with one, the domain has a kernel that answers upcalls */
    uint32_t unsignalled;  /* handles with ports waiting whose eventfd is still to be written */
    uint32_t to_signal;    /* + 1: a handle whose eventfd is written when the lock is free */
    uint32_t pollers;      /* vcpus that wait for ports */
    uint32_t event_frame_count;
    uint64_t
        page_pending_repair; /* set while PGC_events and the FIFO state may disagree; mfn + 1 */
    uint64_t event_frames[EVTCHN_FIFO_MAX_PAGES];
    struct event_vcpu vcpu[EVENT_VCPUS]; /* last: only as many are touched as the domain has */
};

/* A port. `binding` is one word (port.h), so that a sender reads it whole without the lock;
 * everything else is its domain's lock's. */
struct evtchn {
    uint64_t binding;
    uint32_t next, prev; /* ports delivered to the same handle and not taken yet; 0: none */
    uint16_t handle;     /* + 1; 0: the guest reads shared_info itself */
    uint8_t notify_vcpu;
    uint8_t priority;
    uint8_t last_vcpu, last_priority; /* the queue it was last linked into */
    bool queued;                      /* in its handle's list */
    bool pending;                     /* raised before its event word existed */
    bool is_static;                   /* outlives its handle */
};

/* The port table; sparse, in the domain's window of the segment. */
struct event_area {
    struct evtchn port[EVTCHN_FIFO_NR_CHANNELS];
};

/* An open handle: a queue of delivered ports and an eventfd, readable while a port waits. Or the
 * upcall of a vcpu: an eventfd only. All but `client` is under the domain's event lock. */
struct event_handle {
    uint32_t client;     /* + 1; 0: free. Taken by compare-and-exchange */
    uint32_t generation; /* tells uses of the slot apart */
    uint64_t domain_generation;
    domid_t domid;
    bool open;
    bool upcall;      /* of vcpu `vcpu` */
    bool signalled;   /* the eventfd is readable, or a sender is about to write it */
    bool unsignalled; /* ports wait and the eventfd is still to be written */
    uint8_t vcpu;
    uint32_t head, tail; /* delivered ports, oldest first */
};

/* Every open handle of every process, in the head of the segment. */
struct event_handles {
    domid_t virq_handler[NR_VIRQS]; /* whose the global VIRQs are; at first domain 0 */
    uint32_t end;                   /* no slot from here on was ever in use */
    uint32_t first_free;            /* where the search for one starts: a guess */
    struct event_handle slot[MAX_EVENT_HANDLES];
};

#endif
