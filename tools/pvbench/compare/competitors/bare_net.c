/*
 * Frames through two rings of netif's shape, without checks, grants or events: one process is both
 * guests, the other what connects them. The data take the way of a frame from guest to guest: each
 * is written afresh, copied into a page, out of it, into another page, out of that, and looked at.
 */
#include "tools/pvbench/compare/competitors/bare.h"

#define SLOTS 256u
#define BATCH 32u
#define PAGE 4096u
#define STEP 0x9E3779B97F4A7C15ull

struct indices {
    uint32_t req_prod, req_event, rsp_prod, rsp_event;
    uint8_t padding[48];
};

struct tx_request {
    uint32_t gref;
    uint16_t offset, flags, id, size;
};

struct tx_response {
    uint16_t id;
    int16_t status;
};

struct rx_request {
    uint16_t id, padding;
    uint32_t gref;
};

struct rx_response {
    uint16_t id, offset, flags;
    int16_t status;
};

struct shared {
    struct indices tx, rx;
    uint8_t tx_slots[SLOTS][12], rx_slots[SLOTS][8];
    uint8_t tx_pages[SLOTS][PAGE] __attribute__((aligned(PAGE)));
    uint8_t rx_pages[SLOTS][PAGE];
};

struct net {
    struct shared *shared;
    uint32_t size; /* bytes of a frame; 0: no data */
    /* The guests' side. */
    uint32_t tx_prod, tx_cons, rx_prod, rx_cons;
    uint64_t sent, received;
    uint8_t frame[BATCH][PAGE];
};

/* Small frames begin in different sets of the cache, as our frontend's do. */
static uint8_t *tx_page(const struct net *net, uint32_t id)
{
    return net->shared->tx_pages[id] + (net->size <= PAGE / 2 ? id % 32 * 64 : 0);
}

/* ---- What connects the guests --------------------------------------------------------------- */

static struct tx_request answer_frame(struct net *net, uint32_t index)
{
    struct tx_request request;
    uint8_t *slot = net->shared->tx_slots[index % SLOTS];
    memcpy(&request, slot, sizeof request);
    use(&request);
    struct tx_response response = {.id = request.id};
    memcpy(slot, &response, sizeof response);
    return request;
}

static void take_frame(struct net *net, uint32_t index, uint8_t *frame)
{
    struct tx_request request = answer_frame(net, index);
    memcpy(frame, net->shared->tx_pages[request.gref] + request.offset, net->size);
    use(frame);
}

static void give_frame(struct net *net, uint32_t index, const uint8_t *frame)
{
    struct rx_request request;
    uint8_t *slot = net->shared->rx_slots[index % SLOTS];
    memcpy(&request, slot, sizeof request);
    use(&request);
    memcpy(net->shared->rx_pages[request.gref], frame, net->size);
    struct rx_response response = {.id = request.id, .status = (int16_t)net->size};
    memcpy(slot, &response, sizeof response);
}

static void connect_guests(void *context)
{
    struct net *net = context;
    struct shared *shared = net->shared;
    for (uint32_t cons = 0;;) {
        uint32_t count = pv_load_acquire(&shared->tx.req_prod) - cons;
        uint32_t buffers = pv_load_acquire(&shared->rx.req_prod) - cons;
        count = count < buffers ? count : buffers;
        count = count < BATCH ? count : BATCH;
        if (count == 0) {
            pv_cpu_relax();
            continue;
        }
        for (uint32_t i = 0; i < count; i++)
            take_frame(net, cons + i, net->frame[i]);
        pv_store_release(&shared->tx.rsp_prod, cons + count);
        for (uint32_t i = 0; i < count; i++)
            give_frame(net, cons + i, net->frame[i]);
        cons += count;
        pv_store_release(&shared->rx.rsp_prod, cons);
    }
}

/* Takes frames, and looks at none of their bytes. */
static void discard_frames(void *context)
{
    struct net *net = context;
    struct shared *shared = net->shared;
    for (uint32_t cons = 0;;) {
        uint32_t count = pv_load_acquire(&shared->tx.req_prod) - cons;
        count = count < BATCH ? count : BATCH;
        if (count == 0) {
            pv_cpu_relax();
            continue;
        }
        for (uint32_t i = 0; i < count; i++)
            answer_frame(net, cons + i);
        cons += count;
        pv_store_release(&shared->tx.rsp_prod, cons);
    }
}

/* ---- The guests ------------------------------------------------------------------------------ */

static void fill(uint8_t *frame, uint32_t size, uint64_t number)
{
    uint64_t word = number * STEP;
    for (uint32_t at = 0; at + sizeof word <= size; at += sizeof word, word += STEP)
        memcpy(frame + at, &word, sizeof word);
}

static void check(const uint8_t *frame, uint32_t size, uint64_t number)
{
    uint64_t word = number * STEP, difference = 0, found;
    for (uint32_t at = 0; at + sizeof word <= size; at += sizeof word, word += STEP) {
        memcpy(&found, frame + at, sizeof found);
        difference |= found ^ word;
    }
    if (difference)
        errx(1, "a frame is not the one that was sent");
}

static void post_buffers(struct net *net)
{
    if (net->rx_prod == net->rx_cons + SLOTS)
        return;
    for (; net->rx_prod != net->rx_cons + SLOTS; net->rx_prod++) {
        struct rx_request request = {.id = (uint16_t)(net->rx_prod % SLOTS),
                                     .gref = net->rx_prod % SLOTS};
        memcpy(net->shared->rx_slots[net->rx_prod % SLOTS], &request, sizeof request);
    }
    pv_store_release(&net->shared->rx.req_prod, net->rx_prod);
}

static void send_frames(struct net *net, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, net->tx_prod++) {
        uint32_t id = net->tx_prod % SLOTS;
        uint8_t *page = tx_page(net, id);
        fill(net->frame[i], net->size, net->sent++);
        use(net->frame[i]);
        memcpy(page, net->frame[i], net->size);
        struct tx_request request = {.gref = id,
                                     .offset = (uint16_t)(page - net->shared->tx_pages[id]),
                                     .id = (uint16_t)id,
                                     .size = (uint16_t)net->size};
        memcpy(net->shared->tx_slots[id], &request, sizeof request);
    }
    pv_store_release(&net->shared->tx.req_prod, net->tx_prod);
}

static void take_tx_responses(struct net *net)
{
    uint32_t prod = pv_load_acquire(&net->shared->tx.rsp_prod);
    for (; net->tx_cons != prod; net->tx_cons++) {
        struct tx_response response;
        memcpy(&response, net->shared->tx_slots[net->tx_cons % SLOTS], sizeof response);
        use(&response);
    }
}

static void receive_frames(struct net *net)
{
    uint32_t prod = pv_load_acquire(&net->shared->rx.rsp_prod);
    if (prod == net->rx_cons)
        pv_cpu_relax();
    for (; net->rx_cons != prod; net->rx_cons++) {
        struct rx_response response;
        uint32_t id = net->rx_cons % SLOTS;
        memcpy(&response, net->shared->rx_slots[id], sizeof response);
        use(&response);
        memcpy(net->frame[0], net->shared->rx_pages[id], net->size);
        use(net->frame[0]);
        check(net->frame[0], net->size, net->received++);
    }
    post_buffers(net);
}

/* ---- Kinds ----------------------------------------------------------------------------------- */

static struct net *open_net(size_t size)
{
    if (size > PAGE)
        errx(2, "a frame has at most %u bytes", PAGE);
    struct net *net = calloc(1, sizeof *net);
    if (!net)
        err(1, "net");
    net->size = (uint32_t)size;
    net->shared = allocate(sizeof *net->shared);
    post_buffers(net);
    return net;
}

void bare_net(uint64_t duration, char **arguments)
{
    struct net *net = open_net(number(arguments[0]));
    pid_t child = start(connect_guests, net);
    uint64_t begin = 0, before = 0, length = RAMP_NS;
    for (int pass = 0; pass < 2; pass++, length = duration) {
        begin = now_ns();
        before = net->received;
        do {
            for (int i = 0; i < ROUNDS_BETWEEN_CLOCKS; i++) {
                take_tx_responses(net);
                if (net->tx_cons + SLOTS - net->tx_prod >= BATCH)
                    send_frames(net, BATCH);
                receive_frames(net);
            }
        } while (now_ns() < begin + length || net->received == before);
    }
    double seconds = (double)(now_ns() - begin) / NS_PER_S;
    stop(child);
    print_result((double)(net->received - before) / seconds, NULL, (char *[]){NULL});
    free(net);
}

void bare_net_tx(uint64_t duration, char **arguments)
{
    struct net *net = open_net(number(arguments[0]));
    pid_t child = start(discard_frames, net);
    uint64_t begin = 0, before = 0, total = 0, length = RAMP_NS;
    for (int pass = 0; pass < 2; pass++, length = duration) {
        begin = now_ns();
        before = net->sent;
        do {
            for (int i = 0; i < ROUNDS_BETWEEN_CLOCKS; i++) {
                take_tx_responses(net);
                if (net->tx_cons + SLOTS - net->tx_prod >= BATCH)
                    send_frames(net, BATCH);
                else
                    pv_cpu_relax();
            }
            total = net->sent - before;
        } while (now_ns() < begin + length || total == 0);
    }
    double seconds = (double)(now_ns() - begin) / NS_PER_S;
    stop(child);
    print_result((double)total / seconds, NULL, (char *[]){NULL});
    free(net);
}

void bare_net_latency(uint64_t duration, char **arguments)
{
    struct net *net = open_net(number(arguments[0]));
    struct pv_histogram *latency = calloc(1, sizeof *latency);
    if (!latency)
        err(1, "net-latency");
    pid_t child = start(connect_guests, net);
    uint64_t measure_from = now_ns() + RAMP_NS, begin;
    while ((begin = now_ns()) < measure_from + duration) {
        take_tx_responses(net);
        send_frames(net, 1);
        while (net->received != net->sent)
            receive_frames(net);
        if (begin >= measure_from)
            pv_histogram_add(latency, now_ns() - begin);
    }
    stop(child);
    print_result((double)latency->count * NS_PER_S / (double)duration, latency, arguments + 1);
    free(latency);
    free(net);
}
