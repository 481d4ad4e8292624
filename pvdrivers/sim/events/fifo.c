/*
 * The FIFO ABI: an event word per port in the guest's pages, linked into 16 queues per vcpu. The
 * words are the guest's memory, changed by it at any time; nothing read there is believed
 * further than the guest's own events go.
 */
#include "pvdrivers/sim/events/internal.h"

#include <errno.h>
#include <string.h>

#define LINK_ATTEMPTS 4

/* ---- Linking --------------------------------------------------------------------------------- */

/* One attempt to make `word`, if still linked, point to `port`: 1 done, 0 not linked, -EAGAIN the
 * guest changed it. */
static int try_set_link(uint32_t *word, uint32_t *seen, evtchn_port_t port)
{
    if (!(*seen & EVENT_WORD_LINKED))
        return 0;
    uint32_t expected = *seen;
    uint32_t linked = (expected & ~(EVENT_WORD_BUSY | EVENT_WORD_LINK)) | port;
    /* One step: the guest takes the tail out of the queue with all that is linked behind it, or
     * nothing is linked behind it. */
    *seen = pv_compare_exchange(word, expected, linked);
    return *seen == expected ? 1 : -EAGAIN;
}

/* Whether the tail now points to `port`. A guest that keeps changing its word gets a bounded
 * number of attempts (XSA-295), the last ones with BUSY set, which holds its unmasking back; then
 * the port counts as linked and only that guest loses its event. */
static bool set_link(uint32_t *word, evtchn_port_t port)
{
    uint32_t seen = pv_read_once(word);
    int result = try_set_link(word, &seen, port);
    if (result >= 0)
        return result;
    pv_fetch_or(word, EVENT_WORD_BUSY);
    seen = pv_read_once(word);
    for (int attempt = 0; attempt < LINK_ATTEMPTS; attempt++) {
        result = try_set_link(word, &seen, port);
        if (result == 1)
            return true;
        if (result == 0)
            break;
    }
    pv_fetch_and(word, ~EVENT_WORD_BUSY);
    return result != 0;
}

/* Appends the port to the queue it belongs to. Whether its vcpu needs an upcall. */
static bool link_port(struct domain *d, struct pv_event_view *view, struct evtchn *chn,
                      evtchn_port_t port, uint32_t *word)
{
    /* One step: the word is the guest's too. */
    if (pv_fetch_or(word, EVENT_WORD_LINKED) & EVENT_WORD_LINKED)
        return false;
    struct event_vcpu *vcpus = d->event_channels.vcpu;
    uint32_t *old_tail = &vcpus[chn->last_vcpu].fifo.tail[chn->last_priority];
    uint32_t *tail = &vcpus[chn->notify_vcpu].fifo.tail[chn->priority];
    /* It was the last of a queue that the guest has emptied: the link set above would otherwise
     * make that queue look alive. */
    if (*old_tail == port)
        *old_tail = 0;
    chn->last_vcpu = chn->notify_vcpu;
    chn->last_priority = chn->priority;

    uint32_t *tail_word = *tail ? pv_event_fifo_word(view, *tail) : NULL;
    bool linked = tail_word && set_link(tail_word, port);
    if (!linked)
        pv_write_once(&view->control_block->head[chn->priority], port);
    *tail = port;
    uint32_t ready = 1u << chn->priority;
    /* Full: the head is there before its queue is ready. */
    return !linked && !(pv_fetch_or(&view->control_block->ready, ready) & ready);
}

bool set_pending_fifo(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = port_entry(machine, d, port);
    struct pv_event_view view = event_view(machine, d, chn->notify_vcpu);
    uint32_t *word = pv_event_fifo_word(&view, port);
    if (!word) {
        chn->pending = true; /* until the guest adds the page */
        return false;
    }
    /* Full: what was written before is visible before the event is. */
    pv_fetch_or(word, EVENT_WORD_PENDING);
    uint32_t seen = pv_read_once(word);
    /* A vcpu without a control block gets no events (XSA-107). */
    if (seen & (EVENT_WORD_MASKED | EVENT_WORD_LINKED) || !view.control_block)
        return false;
    return link_port(d, &view, chn, port, word);
}

bool unmask_fifo(struct pv_machine *machine, struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = port_entry(machine, d, port);
    struct pv_event_view view = event_view(machine, d, chn->notify_vcpu);
    uint32_t *word = pv_event_fifo_word(&view, port);
    if (!word)
        return false;
    /* One step: the word is the guest's too. */
    pv_fetch_and(word, ~EVENT_WORD_MASKED);
    return (pv_read_once(word) & EVENT_WORD_PENDING) && set_pending_fifo(machine, d, port);
}

/* ---- The guest's pages ----------------------------------------------------------------------- */

/* Ports that were raised under the 2-level ABI are raised again when their words appear. */
static void switch_to_fifo(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    struct pv_event_view view = event_view(machine, d, 0);
    for (evtchn_port_t port = 1; port < ec->end; port++) {
        struct evtchn *chn = port_entry(machine, d, port);
        /* Release: an event is never nowhere. */
        __atomic_store_n(&chn->pending, pv_event_is_pending(&view, port), __ATOMIC_RELEASE);
        chn->pending |= pv_event_clear_pending(&view, port);
        chn->priority = chn->last_priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    }
    __atomic_store_n(&ec->fifo, 1, __ATOMIC_RELEASE);
}

static int set_control_block(struct pv_machine *machine, struct domain *d, uint32_t vcpu,
                             uint64_t mfn, uint32_t offset)
{
    struct event_channels *ec = &d->event_channels;
    struct evtchn_fifo_vcpu *fifo = &ec->vcpu[vcpu].fifo;
    if (domain_is_dying(d) || fifo->control_mfn)
        return -EINVAL;
    if (event_page_hold(machine, d, mfn))
        return -EINVAL;
    struct evtchn_fifo_control_block *block =
        (void *)((uint8_t *)frame_address(machine, mfn) + offset);
    memset(block, 0, sizeof *block);
    memset(fifo, 0, sizeof *fifo);
    fifo->control_offset = offset;
    /* Release: the queues are empty before anybody finds the block (XSA-358). */
    pv_store_release_64(&fifo->control_mfn, mfn + 1);
    event_page_settle(machine, d);
    if (!ec->fifo)
        switch_to_fifo(machine, d);
    return 0;
}

int pv_evtchn_op_init_control(struct pv_machine *machine, domid_t caller, uint64_t control_gfn,
                              uint32_t offset, uint32_t vcpu, uint8_t *link_bits)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, caller);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_EVTCHN_OTHER, 1);
    if (d->abi == PV_ABI_IA64)
        return -ENOSYS;
    *link_bits = EVTCHN_FIFO_LINK_BITS;
    if (vcpu >= d->max_vcpus)
        return -ENOENT;
    if (offset > FRAME_SIZE - sizeof(struct evtchn_fifo_control_block) || offset % 8)
        return -EINVAL;
    uint64_t mfn = gfn_to_mfn(machine, d, control_gfn);
    if (mfn == NO_FRAME)
        return -EINVAL;
    event_lock(machine, d);
    int error = set_control_block(machine, d, vcpu, mfn, offset);
    event_unlock(machine, d);
    return error;
}

static int add_event_page(struct pv_machine *machine, struct domain *d, uint64_t mfn)
{
    struct event_channels *ec = &d->event_channels;
    if (domain_is_dying(d))
        return -EINVAL;
    if (!ec->fifo)
        return -EOPNOTSUPP;
    uint32_t page = ec->event_frame_count;
    if (page >= EVTCHN_FIFO_MAX_PAGES)
        return -ENOSPC;
    if (event_page_hold(machine, d, mfn))
        return -EINVAL;
    ec->event_frames[page] = mfn;
    /* Release: the page is in the array before the count covers it (XSA-359). */
    pv_store_release(&ec->event_frame_count, page + 1);
    event_page_settle(machine, d);

    evtchn_port_t first = page * EVTCHN_FIFO_WORDS_PER_PAGE;
    evtchn_port_t end = first + EVTCHN_FIFO_WORDS_PER_PAGE;
    for (evtchn_port_t port = first; port < end && port < ec->end; port++) {
        struct evtchn *chn = port_entry(machine, d, port);
        if (chn->pending) {
            raise_port(machine, d, port);
            chn->pending = false; /* last: killed in between, the repair raises it again */
        }
    }
    return 0;
}

int pv_evtchn_op_expand_array(struct pv_machine *machine, domid_t caller, uint64_t array_gfn)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, caller);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_EVTCHN_OTHER, 1);
    if (!__atomic_load_n(&d->event_channels.fifo, __ATOMIC_ACQUIRE))
        return -EOPNOTSUPP;
    uint64_t mfn = gfn_to_mfn(machine, d, array_gfn);
    if (mfn == NO_FRAME)
        return -EINVAL;
    event_lock(machine, d);
    int error = add_event_page(machine, d, mfn);
    event_unlock(machine, d);
    return error;
}

int pv_evtchn_op_set_priority(struct pv_machine *machine, domid_t caller, evtchn_port_t port,
                              uint32_t priority)
{
    RCU_SECTION(machine);
    struct domain *d = find_domain(machine, caller);
    if (!d)
        return -ESRCH;
    account(d, PV_ACCOUNT_EVTCHN_OTHER, 1);
    event_lock(machine, d);
    struct evtchn *chn = find_port(machine, d, port);
    int error = !chn ? -EINVAL : !d->event_channels.fifo ? -ENOSYS : 0;
    if (!error && priority > EVTCHN_FIFO_PRIORITY_MIN)
        error = -EINVAL;
    if (!error)
        chn->priority = (uint8_t)priority; /* from the next time it is linked */
    event_unlock(machine, d);
    return error;
}

static void forget_queues(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    struct pv_event_view view = event_view(machine, d, 0);
    for (evtchn_port_t port = 1; port < ec->end; port++) {
        uint32_t *word = pv_event_fifo_word(&view, port);
        if (word)
            pv_fetch_and(word, EVENT_WORD_PENDING | EVENT_WORD_MASKED);
    }
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++) {
        view = event_view(machine, d, vcpu);
        memset(ec->vcpu[vcpu].fifo.tail, 0, sizeof ec->vcpu[vcpu].fifo.tail);
        memset(ec->vcpu[vcpu].fifo.head, 0, sizeof ec->vcpu[vcpu].fifo.head);
        if (view.control_block)
            memset(view.control_block, 0, sizeof *view.control_block);
    }
}

/* Events that waited for words are pending now, under either ABI, if they have one. */
static void return_waiting_events(struct pv_machine *machine, struct domain *d)
{
    struct pv_event_view view = event_view(machine, d, 0);
    for (evtchn_port_t port = 1; port < d->event_channels.end; port++) {
        struct evtchn *chn = port_entry(machine, d, port);
        struct pv_event_bit pending = pv_event_pending_bit(&view, port);
        if (!chn->pending || !pending.word)
            continue;
        pv_fetch_or(pending.word, pending.mask);
        chn->pending = false;
    }
}

void fifo_repair(struct pv_machine *machine, struct domain *d)
{
    event_page_settle(machine, d);
    if (d->event_channels.fifo)
        forget_queues(machine, d);
    else
        fifo_destroy(machine, d);
    return_waiting_events(machine, d);
}

void fifo_destroy(struct pv_machine *machine, struct domain *d)
{
    struct event_channels *ec = &d->event_channels;
    __atomic_store_n(&ec->fifo, 0, __ATOMIC_RELEASE);
    while (ec->event_frame_count) {
        event_page_let_go(d, ec->event_frames[ec->event_frame_count - 1]);
        pv_store_release(&ec->event_frame_count, ec->event_frame_count - 1);
        event_page_settle(machine, d);
    }
    for (uint32_t vcpu = 0; vcpu < d->max_vcpus; vcpu++) {
        event_page_let_go(d, ec->vcpu[vcpu].fifo.control_mfn - 1);
        __atomic_store_n(&ec->vcpu[vcpu].fifo.control_mfn, 0, __ATOMIC_RELEASE);
        event_page_settle(machine, d);
    }
}
