/* A network backend that writes what it likes: the frontend stays within its pages, and gives no
 * packet that it should have dropped. Input: a byte of settings, then steps (a byte, and the bytes
 * that the step takes). */
#include "pvdrivers/frontends/vnif/netfront.h"
#include "pvdrivers/ring/ring.h"
#include "tests/fuzz/guest.h"
#include "tests/fuzz/input.h"

#include <stdlib.h>

#define MAX_PAGES 256u
#define BATCH 8u
#define TX_SLOT 12u
#define RX_SLOT 8u

/* Of this size exactly, so that ASan sees a look behind it; kept for the next run. */
static struct {
    void *area[4];
    uint32_t count;
} spare[MAX_PAGES + 1];

static void *pages_alloc(struct pv_hypervisor *hypervisor, unsigned count)
{
    (void)hypervisor;
    if (spare[count].count == 0)
        return calloc(count, PAGE);
    void *area = spare[count].area[--spare[count].count];
    if (count == 1)
        memset(area, 0, PAGE); /* a ring; what data pages held is no concern of the frontend's */
    return area;
}

static int pages_free(struct pv_hypervisor *hypervisor, void *address, unsigned count)
{
    (void)hypervisor;
    spare[count].area[spare[count].count++] = address;
    return 0;
}

static struct pv_packet_pool *pool;
static struct pv_packet_cache *cache;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    pool = pv_packet_pool_create();
    cache = pv_packet_cache_create(pool);
    return 0;
}

/* ---- The backend ---------------------------------------------------------------------------- */

struct rings {
    struct pv_netfront_queue *queue;
    struct pv_back_ring tx, rx;
};

static struct pv_sring *sring_of(grant_ref_t ref)
{
    return pages[ref];
}

static void put_response(struct pv_back_ring *ring, struct input *input, uint32_t bytes)
{
    uint8_t *slot = pv_back_response_slot(ring, ring->rsp_prod_pvt++);
    for (uint32_t i = 0; i < bytes; i++)
        slot[i] = (uint8_t)take_number(input, 1);
}

/* Answers all requests as a backend should. */
static void answer_tx(struct pv_back_ring *ring)
{
    bool extra = false;
    for (int left = pv_back_unconsumed_requests(ring); left > 0; left--) {
        struct netif_tx_request request;
        struct netif_tx_response response = {.status = NETIF_RSP_NULL};
        pv_back_copy_request(ring, ring->req_cons++, &request, sizeof(request));
        if (extra) {
            struct netif_extra_info info;
            memcpy(&info, &request, sizeof(info));
            extra = info.flags & XEN_NETIF_EXTRA_FLAG_MORE;
        } else {
            response = (struct netif_tx_response){.id = request.id};
            extra = request.flags & NETTXF_extra_info;
        }
        memcpy(pv_back_response_slot(ring, ring->rsp_prod_pvt++), &response, sizeof(response));
    }
    pv_back_push_responses(ring);
}

/* A packet of one slot, as a backend should give it. */
static void give_packet(struct rings *rings, uint16_t length, uint16_t flags)
{
    struct pv_back_ring *ring = &rings->rx;
    struct netif_rx_request request;
    if (pv_back_unconsumed_requests(ring) <= 0)
        return;
    pv_back_copy_request(ring, ring->req_cons++, &request, sizeof(request));
    struct netif_rx_response response = {
        .id = request.id, .flags = flags, .status = (int16_t)(length % (PAGE + 1))};
    memcpy(pv_back_response_slot(ring, ring->rsp_prod_pvt++), &response, sizeof(response));
}

/* ---- The frontend ---------------------------------------------------------------------------- */

static void send(struct rings *rings, struct input *input)
{
    uint32_t length = take_number(input, 2), offloads = take_number(input, 1);
    struct pv_packet *packet = pv_packet_alloc(cache, length);
    packet->length = length;
    memset(packet->data, (int)length, length);
    packet->csum_blank = offloads & 1;
    packet->gso_type = offloads >> 1 & 3;
    packet->gso_size = (uint16_t)(offloads >> 3);
    packet->hash_algorithm = offloads & 128 ? XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ : 0;
    int sent = pv_netfront_send(rings->queue, &packet, 1);
    assert(sent == 0 || sent == 1 || sent == -EINVAL || sent == -EPROTO);
    assert(sent != 1 || length >= PV_PACKET_MIN_LENGTH);
    pv_packet_release(cache, &packet, 1);
}

static void check(const struct pv_packet *packet)
{
    assert(packet->length >= PV_PACKET_MIN_LENGTH && packet->length <= PV_PACKET_MAX_LENGTH);
    assert(packet->length <= packet->capacity && packet->users == 1);
    assert(packet->gso_type <= XEN_NETIF_GSO_TYPE_TCPV6);
    assert(packet->gso_type == XEN_NETIF_GSO_TYPE_NONE || packet->gso_size > 0);
    assert(packet->hash_algorithm <= XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
    assert(packet->hash_type < 4);
}

static void receive(struct rings *rings)
{
    struct pv_packet *packets[BATCH];
    int count = pv_netfront_receive(rings->queue, packets, BATCH);
    assert(count <= (int)BATCH && (count >= 0 || count == -EPROTO));
    for (int i = 0; i < count; i++)
        check(packets[i]);
    if (count > 0)
        pv_packet_release(cache, packets, (uint32_t)count);
}

static void step(struct rings *rings, struct input *input)
{
    static const uint8_t address[6] = {1};
    switch (take_number(input, 1) % 12) {
    case 0:
        send(rings, input);
        break;
    case 1:
        pv_netfront_multicast(rings->queue, address, take_number(input, 1) & 1);
        break;
    case 2:
        receive(rings);
        break;
    case 3:
        put_response(&rings->tx, input, sizeof(struct netif_tx_response));
        break;
    case 4:
        put_response(&rings->rx, input, sizeof(struct netif_rx_response));
        break;
    case 5:
        pv_back_push_responses(&rings->tx);
        break;
    case 6:
        pv_back_push_responses(&rings->rx);
        break;
    case 7:
        answer_tx(&rings->tx);
        break;
    case 8:
        give_packet(rings, (uint16_t)take_number(input, 2), (uint16_t)take_number(input, 1));
        break;
    case 9:
        assert(pv_netfront_room(rings->queue) <= rings->tx.nr_ents);
        pv_netfront_has_news(rings->queue);
        pv_netfront_arm(rings->queue, true);
        break;
    case 10:
        rings->tx.rsp_prod_pvt += (uint32_t)(int8_t)take_number(input, 1);
        break;
    case 11:
        rings->rx.rsp_prod_pvt += (uint32_t)(int8_t)take_number(input, 1);
        break;
    }
    assert(pv_netfront_outstanding(rings->queue) <= rings->tx.nr_ents);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint32_t settings = take_number(&input, 1);
    struct pv_netfront_features features = {.sg = settings & 1,
                                            .gso_tcpv4 = settings & 2,
                                            .gso_tcpv6 = settings & 4,
                                            .csum_ipv4 = settings & 8,
                                            .csum_ipv6 = settings & 16,
                                            .hash = settings & 32};
    struct pv_netfront_config config = {.hypervisor = &hypervisor,
                                        .evtchn = (struct pv_evtchn *)&hypervisor,
                                        .pool = pool,
                                        .rx_buffers = 1u << (settings >> 6) * 2};
    refs_made = refs_held = 0;
    struct rings rings = {.queue = pv_netfront_create(&config)};
    pv_netfront_connect(rings.queue, &features);
    pv_back_ring_attach(&rings.tx, sring_of(pv_netfront_tx_ring_ref(rings.queue)), PAGE, TX_SLOT,
                        0);
    pv_back_ring_attach(&rings.rx, sring_of(pv_netfront_rx_ring_ref(rings.queue)), PAGE, RX_SLOT,
                        0);
    while (input.left > 0)
        step(&rings, &input);
    receive(&rings);
    pv_netfront_destroy(rings.queue);
    assert(refs_held == 0 && pv_packet_pool_used(pool) == 0);
    return 0;
}
