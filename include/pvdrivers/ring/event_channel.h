/*
 * Event channels as a guest sees them: the bits of shared_info (2-level ABI) or the event words
 * in its own pages (FIFO ABI), and how a kernel finds out what was raised for one vcpu.
 *
 * A kernel's round: pv_event_scan, then for each port pv_event_clear_pending *before* handling it,
 * so that an event raised meanwhile is not lost.
 */
#ifndef PVDRIVERS_RING_EVENT_CHANNEL_H
#define PVDRIVERS_RING_EVENT_CHANNEL_H

#include "pvdrivers/ring/abi_event_channel.h"

/* cffi: begin */
#define EVTCHN_FIFO_WORDS_PER_PAGE 1024 /* pages are 4 KiB: ia64 never had this ABI */
#define EVTCHN_FIFO_MAX_PAGES 128

/* One vcpu's events, seen by its guest. */
struct pv_event_view {
    enum pv_abi abi;
    uint32_t vcpu;
    void *shared_info;
    void *vcpu_info; /* the vcpu's, in shared_info or where the guest has registered it */
    bool fifo;       /* else the 2-level ABI */
    /* FIFO only. */
    struct evtchn_fifo_control_block *control_block; /* NULL: this vcpu has none, and no events */
    uint32_t *fifo_heads;         /* the guest's place in each of the 16 queues, at first 0 */
    uint8_t *memory;              /* what `event_frames` count from, in 4 KiB frames */
    const uint64_t *event_frames; /* the event array's pages */
    uint32_t event_frame_count;
};

/* Ports the 2-level ABI has, port 0 included: 4096, or 1024 on x86_32. */
PV_API uint32_t pv_event_2l_ports(enum pv_abi abi);
/* Answers the upcall: what is pending and not masked, at most `capacity` ports (64 at least, since
 * a word of the 2-level bitmaps is taken whole). To be repeated until it returns 0. FIFO ports come
 * in order of priority; 2-level ports that share a word with the vcpu's come along with them,
 * whichever vcpu they are bound to. */
PV_API uint32_t pv_event_scan(struct pv_event_view *view, evtchn_port_t *ports, uint32_t capacity);
/* A port beyond the ABI's end (or the event array's) is never pending and always masked. */
PV_API bool pv_event_is_pending(const struct pv_event_view *view, evtchn_port_t port);
PV_API bool pv_event_is_masked(const struct pv_event_view *view, evtchn_port_t port);
PV_API bool pv_event_clear_pending(struct pv_event_view *view, evtchn_port_t port);
/* Returns whether it was masked before. */
PV_API bool pv_event_mask(struct pv_event_view *view, evtchn_port_t port);
/* Lets the port through again. False when an event came meanwhile: the mask then still stands and
 * the unmask hypercall must be made, which raises the event again. */
PV_API bool pv_event_unmask(struct pv_event_view *view, evtchn_port_t port);
/* cffi: end */

/* Bits of a FIFO event word. */
#define EVENT_WORD_PENDING (1u << EVTCHN_FIFO_PENDING)
#define EVENT_WORD_MASKED (1u << EVTCHN_FIFO_MASKED)
#define EVENT_WORD_LINKED (1u << EVTCHN_FIFO_LINKED)
#define EVENT_WORD_BUSY (1u << EVTCHN_FIFO_BUSY)
#define EVENT_WORD_LINK ((uint32_t)EVTCHN_FIFO_LINK_MASK)

/* Bytes of a vcpu_info. */
uint32_t pv_event_vcpu_info_size(enum pv_abi abi);

/* Where the words are. Hypervisor and guest both use these. NULL when there is no such word. */
struct pv_event_bit {
    uint32_t *word;
    uint32_t mask;
};
struct pv_event_bit pv_event_pending_bit(const struct pv_event_view *view, evtchn_port_t port);
struct pv_event_bit pv_event_mask_bit(const struct pv_event_view *view, evtchn_port_t port);
/* The bit of `port`'s word in the vcpu's evtchn_pending_sel (2-level only). */
struct pv_event_bit pv_event_selector_bit(const struct pv_event_view *view, evtchn_port_t port);
uint32_t *pv_event_fifo_word(const struct pv_event_view *view, evtchn_port_t port);
uint8_t *pv_event_upcall_pending(const struct pv_event_view *view);
uint8_t *pv_event_upcall_mask(const struct pv_event_view *view); /* there on every ABI */

#endif
