#include "pvdrivers/ring/event_channel.h"

#include "pvdrivers/ring/abi_shared_info.h"
#include "pvdrivers/ring/barrier.h"

/* Where shared_info keeps the events (xen.h; arch-*.h). All ABIs are little-endian, so bit n of a
 * 64-bit word is bit n % 32 of 32-bit word n / 32, and one kind of access does for all. */
struct event_layout {
    uint16_t word_bits, vcpu_info_size, selector, pending, mask;
};

#define LAYOUT(abi, bits)                                                                          \
    {                                                                                              \
        .word_bits = bits,                                                                         \
        .vcpu_info_size = sizeof(struct vcpu_info_##abi),                                          \
        .selector = offsetof(struct vcpu_info_##abi, evtchn_pending_sel),                          \
        .pending = offsetof(struct shared_info_##abi, evtchn_pending),                             \
        .mask = offsetof(struct shared_info_##abi, evtchn_mask),                                   \
    }

static const struct event_layout layouts[PV_ABI_COUNT] = {
    [PV_ABI_X86_64] = LAYOUT(x86_64, 64),
    [PV_ABI_X86_32] = LAYOUT(x86_32, 32),
    [PV_ABI_IA64] = LAYOUT(ia64, 64),
};

uint32_t pv_event_2l_ports(enum pv_abi abi)
{
    return (uint32_t)layouts[abi].word_bits * layouts[abi].word_bits;
}

uint32_t pv_event_vcpu_info_size(enum pv_abi abi)
{
    return layouts[abi].vcpu_info_size;
}

/* ---- Where things are ------------------------------------------------------------------------ */

uint8_t *pv_event_upcall_pending(const struct pv_event_view *view)
{
    return view->vcpu_info;
}

uint8_t *pv_event_upcall_mask(const struct pv_event_view *view)
{
    return (uint8_t *)view->vcpu_info + offsetof(struct vcpu_info_x86_64, evtchn_upcall_mask);
}

static uint32_t *selector(const struct pv_event_view *view)
{
    return (uint32_t *)((uint8_t *)view->vcpu_info + layouts[view->abi].selector);
}

static struct pv_event_bit bitmap_bit(const struct pv_event_view *view, uint32_t offset,
                                      evtchn_port_t port)
{
    if (port >= pv_event_2l_ports(view->abi))
        return (struct pv_event_bit){NULL, 0};
    uint32_t *bitmap = (uint32_t *)((uint8_t *)view->shared_info + offset);
    return (struct pv_event_bit){bitmap + port / 32, 1u << port % 32};
}

uint32_t *pv_event_fifo_word(const struct pv_event_view *view, evtchn_port_t port)
{
    uint32_t page = port / EVTCHN_FIFO_WORDS_PER_PAGE;
    if (page >= view->event_frame_count)
        return NULL;
    return (uint32_t *)(view->memory + (view->event_frames[page] << 12)) +
           port % EVTCHN_FIFO_WORDS_PER_PAGE;
}

struct pv_event_bit pv_event_pending_bit(const struct pv_event_view *view, evtchn_port_t port)
{
    if (view->fifo)
        return (struct pv_event_bit){pv_event_fifo_word(view, port), EVENT_WORD_PENDING};
    return bitmap_bit(view, layouts[view->abi].pending, port);
}

struct pv_event_bit pv_event_mask_bit(const struct pv_event_view *view, evtchn_port_t port)
{
    if (view->fifo)
        return (struct pv_event_bit){pv_event_fifo_word(view, port), EVENT_WORD_MASKED};
    return bitmap_bit(view, layouts[view->abi].mask, port);
}

struct pv_event_bit pv_event_selector_bit(const struct pv_event_view *view, evtchn_port_t port)
{
    uint32_t bit = port / layouts[view->abi].word_bits;
    return (struct pv_event_bit){selector(view) + bit / 32, 1u << bit % 32};
}

/* ---- One port -------------------------------------------------------------------------------- */

bool pv_event_is_pending(const struct pv_event_view *view, evtchn_port_t port)
{
    struct pv_event_bit bit = pv_event_pending_bit(view, port);
    /* Acquire: a poller that finds the event sees what the sender wrote before. */
    return bit.word && (pv_load_acquire(bit.word) & bit.mask);
}

bool pv_event_is_masked(const struct pv_event_view *view, evtchn_port_t port)
{
    struct pv_event_bit bit = pv_event_mask_bit(view, port);
    return !bit.word || (pv_read_once(bit.word) & bit.mask);
}

bool pv_event_clear_pending(struct pv_event_view *view, evtchn_port_t port)
{
    struct pv_event_bit bit = pv_event_pending_bit(view, port);
    /* Full barrier: what the sender wrote before raising the event is read after this. */
    return bit.word && (pv_fetch_and(bit.word, ~bit.mask) & bit.mask);
}

bool pv_event_mask(struct pv_event_view *view, evtchn_port_t port)
{
    struct pv_event_bit bit = pv_event_mask_bit(view, port);
    /* One step: other bits of the word are others' to change. */
    return !bit.word || (pv_fetch_or(bit.word, bit.mask) & bit.mask);
}

/* Waits for Xen to finish with the word (BUSY): the exchange fails until it has. */
static bool fifo_unmask(uint32_t *word)
{
    uint32_t seen = pv_read_once(word);
    for (;;) {
        if (!(seen & EVENT_WORD_MASKED))
            return true;
        if (seen & EVENT_WORD_PENDING)
            return false;
        uint32_t expected = seen & ~EVENT_WORD_BUSY;
        /* One step: an event that is raised meanwhile is found here, or finds no mask. */
        seen = pv_compare_exchange(word, expected, expected & ~EVENT_WORD_MASKED);
        if (seen == expected)
            return true;
        pv_cpu_relax();
    }
}

bool pv_event_unmask(struct pv_event_view *view, evtchn_port_t port)
{
    struct pv_event_bit bit = pv_event_mask_bit(view, port);
    if (!bit.word)
        return true;
    if (view->fifo)
        return fifo_unmask(bit.word);
    pv_fetch_and(bit.word, ~bit.mask);
    /* The mask is off before we look (full barrier above); a sender sets the bit, then looks at
     * the mask, so one of the two sees the other. */
    if (!pv_event_is_pending(view, port))
        return true;
    pv_fetch_or(bit.word, bit.mask);
    return false;
}

/* ---- 2-level scan ---------------------------------------------------------------------------- */

static uint32_t lowest_bit(uint32_t bits)
{
    return (uint32_t)__builtin_ctz(bits);
}

/* Ports of 32 bits of the bitmaps. */
static uint32_t scan_bits(const struct pv_event_view *view, uint32_t first_port,
                          evtchn_port_t *ports)
{
    struct pv_event_bit pending = bitmap_bit(view, layouts[view->abi].pending, first_port);
    struct pv_event_bit mask = bitmap_bit(view, layouts[view->abi].mask, first_port);
    /* No order: pv_event_clear_pending gives it, before what the sender wrote is read. */
    uint32_t raised = pv_read_once(pending.word) & ~pv_read_once(mask.word);
    uint32_t count = 0;
    for (; raised; raised &= raised - 1)
        ports[count++] = first_port + lowest_bit(raised);
    return count;
}

static uint32_t scan_2l(struct pv_event_view *view, evtchn_port_t *ports, uint32_t capacity)
{
    uint32_t word_bits = layouts[view->abi].word_bits, count = 0;
    for (uint32_t half = 0; half < word_bits / 32; half++) {
        uint32_t *selected = selector(view) + half;
        /* Full: the bitmaps are read after. One step: a word selected meanwhile stays so. */
        uint32_t words = pv_read_once(selected) ? pv_exchange(selected, 0) : 0;
        for (; words && capacity - count >= word_bits; words &= words - 1) {
            uint32_t first = (half * 32 + lowest_bit(words)) * word_bits;
            for (uint32_t part = 0; part < word_bits; part += 32)
                count += scan_bits(view, first + part, ports + count);
        }
        if (words) {
            /* One step: a word that a sender selects meanwhile stays so. */
            pv_fetch_or(selected, words);
            pv_write_once_byte(pv_event_upcall_pending(view), 1);
        }
    }
    return count;
}

/* ---- FIFO scan ------------------------------------------------------------------------------- */

/* Takes the word out of its queue; returns the port that follows. */
static uint32_t clear_linked(uint32_t *word)
{
    uint32_t seen = pv_read_once(word), old;
    do {
        old = seen;
        /* One step: the hypervisor links the next port here, or finds that it cannot. */
        seen = pv_compare_exchange(word, old, old & ~(EVENT_WORD_LINKED | EVENT_WORD_LINK));
    } while (seen != old);
    return old & EVENT_WORD_LINK;
}

/* Takes the first port of a queue; 0 when it has none that exists. */
static evtchn_port_t pop_fifo(struct pv_event_view *view, uint32_t priority, bool *more)
{
    uint32_t *head = &view->fifo_heads[priority];
    evtchn_port_t port = *head;
    /* Reached the end last time: Xen has put the new first port into the control block. */
    if (port == 0)
        port = pv_read_once(&view->control_block->head[priority]);
    uint32_t *word = port ? pv_event_fifo_word(view, port) : NULL;
    *head = word ? clear_linked(word) : 0;
    *more = *head != 0;
    return word ? port : 0;
}

static uint32_t scan_fifo(struct pv_event_view *view, evtchn_port_t *ports, uint32_t capacity)
{
    if (!view->control_block)
        return 0;
    /* Links are the guest's own memory: a knot in them ends here. */
    uint32_t count = 0, steps = view->event_frame_count * EVTCHN_FIFO_WORDS_PER_PAGE;
    uint32_t *shared_ready = &view->control_block->ready;
    /* One step: a queue that becomes ready meanwhile stays so. */
    uint32_t ready = pv_exchange(shared_ready, 0) & ((1u << EVTCHN_FIFO_MAX_QUEUES) - 1);
    while (ready && count < capacity && steps-- > 0) {
        uint32_t priority = lowest_bit(ready);
        bool more;
        evtchn_port_t port = pop_fifo(view, priority, &more);
        if (!more)
            ready &= ~(1u << priority);
        if (port && pv_event_is_pending(view, port) && !pv_event_is_masked(view, port))
            ports[count++] = port;
        ready |= pv_exchange(shared_ready, 0) & ((1u << EVTCHN_FIFO_MAX_QUEUES) - 1);
    }
    if (ready) {
        /* One step: a queue that a sender makes ready meanwhile stays so. */
        pv_fetch_or(shared_ready, ready);
        pv_write_once_byte(pv_event_upcall_pending(view), 1);
    }
    return count;
}

uint32_t pv_event_scan(struct pv_event_view *view, evtchn_port_t *ports, uint32_t capacity)
{
    /* Full: before the selector or the ready word is read, so that what comes after is a new
     * upcall. */
    uint8_t *upcall_pending = pv_event_upcall_pending(view);
    if (pv_read_once_byte(upcall_pending))
        pv_exchange_byte(upcall_pending, 0);
    return view->fifo ? scan_fifo(view, ports, capacity) : scan_2l(view, ports, capacity);
}
