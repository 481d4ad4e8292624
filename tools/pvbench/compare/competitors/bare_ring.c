/* One ring between two processes, of a protocol's shape, without its checks, grants and events. */
#include "tools/pvbench/compare/competitors/bare.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define MOST_SLOT_BYTES 252

/* Known where it is used, so that all copies have constant sizes. */
struct shape {
    uint32_t slots, slot_size;
    uint32_t request_id;    /* where in a request its number is */
    uint32_t response_size; /* bytes; it begins with the number */
};

static const struct shape blkif = {32, 112, 8, 16};
static const struct shape vscsiif = {16, MOST_SLOT_BYTES, 0, 108};

/* All four indices share a cache line. */
struct ring {
    uint32_t req_prod, req_event, rsp_prod, rsp_event;
    uint8_t padding[48];
    uint8_t slots[4096 - 64];
};

static ALWAYS_INLINE uint8_t *slot_of(struct ring *ring, const struct shape shape, uint32_t index)
{
    return ring->slots + (size_t)(index % shape.slots) * shape.slot_size;
}

static ALWAYS_INLINE void back(struct ring *ring, const struct shape shape)
{
    for (uint32_t cons = 0;;) {
        uint32_t prod = pv_load_acquire(&ring->req_prod);
        if (cons == prod) {
            pv_cpu_relax();
            continue;
        }
        for (; cons != prod; cons++) {
            uint8_t *slot = slot_of(ring, shape, cons);
            uint8_t request[MOST_SLOT_BYTES], response[MOST_SLOT_BYTES] = {0};
            memcpy(request, slot, shape.slot_size);
            use(request);
            memcpy(response, request + shape.request_id, sizeof(uint64_t));
            memcpy(slot, response, shape.response_size);
        }
        pv_store_release(&ring->rsp_prod, prod);
    }
}

static void blkif_back(void *ring)
{
    back(ring, blkif);
}

static void vscsiif_back(void *ring)
{
    back(ring, vscsiif);
}

struct ring_front {
    struct ring *ring;
    uint32_t req_prod, rsp_cons;
};

static ALWAYS_INLINE void fill(struct ring_front *front, const struct shape shape, uint32_t depth)
{
    uint8_t request[MOST_SLOT_BYTES] = {0};
    if (front->req_prod - front->rsp_cons == depth)
        return;
    while (front->req_prod - front->rsp_cons < depth) {
        uint64_t id = front->req_prod;
        memcpy(request + shape.request_id, &id, sizeof id);
        use(request);
        memcpy(slot_of(front->ring, shape, front->req_prod++), request, shape.slot_size);
    }
    pv_store_release(&front->ring->req_prod, front->req_prod);
}

static ALWAYS_INLINE void reap(struct ring_front *front, const struct shape shape)
{
    uint32_t prod = pv_load_acquire(&front->ring->rsp_prod);
    if (front->rsp_cons == prod)
        pv_cpu_relax();
    for (; front->rsp_cons != prod; front->rsp_cons++) {
        uint8_t response[MOST_SLOT_BYTES];
        uint64_t id;
        memcpy(response, slot_of(front->ring, shape, front->rsp_cons), shape.response_size);
        use(response);
        memcpy(&id, response, sizeof id);
        if (id != front->rsp_cons)
            errx(1, "a response is not the one expected");
    }
}

/* At least one answer, even when the other process did not get its processor in time. */
static ALWAYS_INLINE uint64_t rate(struct ring_front *front, const struct shape shape, uint64_t end)
{
    uint32_t before = front->rsp_cons;
    uint64_t total = 0;
    do {
        for (int i = 0; i < ROUNDS_BETWEEN_CLOCKS; i++) {
            fill(front, shape, shape.slots);
            reap(front, shape);
        }
        total += front->rsp_cons - before;
        before = front->rsp_cons;
    } while (now_ns() < end || total == 0);
    return total;
}

static uint64_t blkif_rate(void *front, uint64_t end, struct pv_histogram *latency)
{
    (void)latency;
    return rate(front, blkif, end);
}

static uint64_t vscsiif_rate(void *front, uint64_t end, struct pv_histogram *latency)
{
    (void)latency;
    return rate(front, vscsiif, end);
}

static uint64_t blkif_latency(void *context, uint64_t end, struct pv_histogram *latency)
{
    struct ring_front *front = context;
    uint64_t total = 0;
    for (uint64_t begin; (begin = now_ns()) < end;) {
        fill(front, blkif, 1);
        while (front->rsp_cons != front->req_prod)
            reap(front, blkif);
        pv_histogram_add(latency, now_ns() - begin);
        total++;
    }
    return total;
}

static const struct pair kinds[] = {{"ring", blkif_back, blkif_rate, false},
                                    {"ring-latency", blkif_back, blkif_latency, true},
                                    {"scsi-ring", vscsiif_back, vscsiif_rate, false}};

bool bare_ring(const char *kind, uint64_t duration, char **percentiles)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strcmp(kind, kinds[i].name)) {
            struct ring_front front = {.ring = allocate(sizeof(struct ring))};
            measure_pair(&kinds[i], front.ring, &front, duration, percentiles);
            return true;
        }
    }
    return false;
}
