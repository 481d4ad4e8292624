/*
 * Event channels: the arguments of the operations and what the FIFO ABI shares with the guest
 * (Xen's event_channel.h). Alike on every ABI; ia64 never had the FIFO ABI. Padding is declared.
 */
#ifndef PVDRIVERS_RING_ABI_EVENT_CHANNEL_H
#define PVDRIVERS_RING_ABI_EVENT_CHANNEL_H

#include "pvdrivers/ring/abi_types.h"

/* cffi: begin */
#define EVTCHNOP_bind_interdomain 0
#define EVTCHNOP_bind_virq 1
#define EVTCHNOP_bind_pirq 2
#define EVTCHNOP_close 3
#define EVTCHNOP_send 4
#define EVTCHNOP_status 5
#define EVTCHNOP_alloc_unbound 6
#define EVTCHNOP_bind_ipi 7
#define EVTCHNOP_bind_vcpu 8
#define EVTCHNOP_unmask 9
#define EVTCHNOP_reset 10
#define EVTCHNOP_init_control 11
#define EVTCHNOP_expand_array 12
#define EVTCHNOP_set_priority 13

#define EVTCHNSTAT_closed 0
#define EVTCHNSTAT_unbound 1
#define EVTCHNSTAT_interdomain 2
#define EVTCHNSTAT_pirq 3
#define EVTCHNSTAT_virq 4
#define EVTCHNSTAT_ipi 5

/* Per vCPU (V), per domain (D) or global (G). */
#define VIRQ_TIMER 0      /* V */
#define VIRQ_DEBUG 1      /* V */
#define VIRQ_CONSOLE 2    /* G */
#define VIRQ_DOM_EXC 3    /* G: a domain died, crashed or was created */
#define VIRQ_TBUF 4       /* G */
#define VIRQ_DEBUGGER 6   /* G */
#define VIRQ_XENOPROF 7   /* V */
#define VIRQ_CON_RING 8   /* G */
#define VIRQ_PCPU_STATE 9 /* G */
#define VIRQ_MEM_EVENT 10 /* G */
#define VIRQ_ARGO 11      /* D */
#define VIRQ_ENOMEM 12    /* G */
#define VIRQ_XENPMU 13    /* V */
#define VIRQ_ARCH_0 16    /* to 23; ia64: timer, x86: machine check */
#define VIRQ_ARCH_1 17    /* ia64: corrected machine check */
#define VIRQ_ARCH_2 18    /* ia64: corrected platform error */
#define NR_VIRQS 24

/* A 2-level domain has (bits of a long)^2 ports. */
#define EVTCHN_2L_NR_CHANNELS_x86_64 4096
#define EVTCHN_2L_NR_CHANNELS_x86_32 1024

/* FIFO: 0 is the highest priority. */
#define EVTCHN_FIFO_PRIORITY_MAX 0
#define EVTCHN_FIFO_PRIORITY_DEFAULT 7
#define EVTCHN_FIFO_PRIORITY_MIN 15
#define EVTCHN_FIFO_MAX_QUEUES 16

/* Bits of an event word. */
#define EVTCHN_FIFO_PENDING 31
#define EVTCHN_FIFO_MASKED 30
#define EVTCHN_FIFO_LINKED 29
#define EVTCHN_FIFO_BUSY 28
#define EVTCHN_FIFO_LINK_BITS 17
#define EVTCHN_FIFO_LINK_MASK 0x1ffff
#define EVTCHN_FIFO_NR_CHANNELS 131072

typedef uint32_t event_word_t;

struct evtchn_alloc_unbound {
    domid_t dom, remote_dom;
    evtchn_port_t port; /* out */
};

struct evtchn_bind_interdomain {
    domid_t remote_dom;
    uint16_t pad;
    evtchn_port_t remote_port;
    evtchn_port_t local_port; /* out */
};

struct evtchn_bind_virq {
    uint32_t virq;
    uint32_t vcpu;
    evtchn_port_t port; /* out */
};

struct evtchn_bind_pirq {
    uint32_t pirq;
    uint32_t flags;     /* 1: will share */
    evtchn_port_t port; /* out */
};

struct evtchn_bind_ipi {
    uint32_t vcpu;
    evtchn_port_t port; /* out */
};

struct evtchn_close {
    evtchn_port_t port;
};

struct evtchn_send {
    evtchn_port_t port;
};

struct evtchn_status {
    domid_t dom;
    uint16_t pad;
    evtchn_port_t port;
    uint32_t status; /* out: EVTCHNSTAT_* */
    uint32_t vcpu;   /* out */
    union {
        struct {
            domid_t dom;
        } unbound;
        struct {
            domid_t dom;
            uint16_t pad;
            evtchn_port_t port;
        } interdomain;
        uint32_t pirq;
        uint32_t virq;
    } u; /* out */
};

struct evtchn_bind_vcpu {
    evtchn_port_t port;
    uint32_t vcpu;
};

struct evtchn_unmask {
    evtchn_port_t port;
};

struct evtchn_reset {
    domid_t dom;
};

struct evtchn_init_control {
    uint64_t control_gfn;
    uint32_t offset; /* bytes; a multiple of 8, the block may not cross the page */
    uint32_t vcpu;
    uint8_t link_bits; /* out */
    uint8_t _pad[7];
};

struct evtchn_expand_array {
    uint64_t array_gfn;
};

struct evtchn_set_priority {
    evtchn_port_t port;
    uint32_t priority;
};

/* Per vCPU, in a page of the guest's. */
struct evtchn_fifo_control_block {
    uint32_t ready; /* bit per queue that is not empty */
    uint32_t _rsvd;
    uint32_t head[EVTCHN_FIFO_MAX_QUEUES]; /* port, 0 when empty */
};
/* cffi: end */

static_assert(sizeof(struct evtchn_alloc_unbound) == 8, "evtchn_alloc_unbound");
static_assert(sizeof(struct evtchn_bind_interdomain) == 12, "evtchn_bind_interdomain");
static_assert(sizeof(struct evtchn_status) == 24, "evtchn_status");
static_assert(sizeof(struct evtchn_init_control) == 24, "evtchn_init_control");
static_assert(sizeof(struct evtchn_fifo_control_block) == 72, "evtchn_fifo_control_block");

#endif
