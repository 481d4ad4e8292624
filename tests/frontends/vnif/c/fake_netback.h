/* A network frontend's guest, and a backend that does what a test tells it. */
#ifndef TESTS_FRONTENDS_VNIF_C_FAKE_NETBACK_H
#define TESTS_FRONTENDS_VNIF_C_FAKE_NETBACK_H

#include "frontends/c/fake_guest.h"
#include "pvdrivers/frontends/vnif/netfront.h"
#include "pvdrivers/ring/ring.h"

#define FRAME_MAX 70000u

/* A packet as the backend found it on the tx ring. */
struct sent {
    struct netif_tx_request head;
    struct netif_extra_info extras[4];
    unsigned nr_extras, nr_fragments;
    uint16_t ids[32];
    uint32_t length;
    uint8_t data[FRAME_MAX];
};

struct fake_netback {
    struct fake_guest guest; /* first: the hypervisor gets this address */
    struct pv_packet_pool *pool;
    struct pv_packet_cache *cache;
    struct pv_netfront_queue *queue;
    struct pv_back_ring tx, rx;
};

static const struct pv_netfront_features all_features = {.sg = true,
                                                         .gso_tcpv4 = true,
                                                         .gso_tcpv6 = true,
                                                         .csum_ipv4 = true,
                                                         .csum_ipv6 = true,
                                                         .hash = true};

static inline void netback_attach(struct fake_netback *netback, struct pv_back_ring *back,
                                  grant_ref_t ref, uint32_t slot_size)
{
    const struct fake_grant *grant = &netback->guest.grants[ref];
    assert(grant->page && !grant->readonly);
    pv_back_ring_attach(back, (struct pv_sring *)(uintptr_t)grant->page,
                        netback->guest.hypervisor.page_size, slot_size, 0);
}

/* A queue that is not connected yet; `config` says what is not the same for all. */
static inline struct fake_netback *netback_create(enum pv_abi abi, struct pv_netfront_config config)
{
    struct fake_netback *netback = calloc(1, sizeof(*netback));
    assert(netback);
    fake_guest_init(&netback->guest, abi);
    netback->pool = pv_packet_pool_create();
    netback->cache = pv_packet_cache_create(netback->pool);
    config.hypervisor = &netback->guest.hypervisor;
    config.evtchn = (struct pv_evtchn *)netback;
    config.pool = netback->pool;
    netback->queue = pv_netfront_create(&config);
    assert(netback->pool && netback->cache && netback->queue);
    netback_attach(netback, &netback->tx, pv_netfront_tx_ring_ref(netback->queue), 12);
    netback_attach(netback, &netback->rx, pv_netfront_rx_ring_ref(netback->queue), 8);
    return netback;
}

static inline struct fake_netback *netback_connect(enum pv_abi abi,
                                                   struct pv_netfront_features features)
{
    struct fake_netback *netback = netback_create(abi, (struct pv_netfront_config){0});
    assert(pv_netfront_connect(netback->queue, &features) == 0);
    return netback;
}

/* Everything was given back, but for `leaked` pages; all packets are in their pool. */
static inline void netback_destroy(struct fake_netback *netback, unsigned leaked)
{
    pv_netfront_destroy(netback->queue);
    assert(pv_packet_pool_used(netback->pool) == 0);
    pv_packet_cache_destroy(netback->cache);
    pv_packet_pool_destroy(netback->pool);
    fake_guest_end(&netback->guest, leaked);
    free(netback);
}

static inline struct pv_netfront_stats netback_stats(const struct fake_netback *netback)
{
    struct pv_netfront_stats stats;
    pv_netfront_get_stats(netback->queue, &stats);
    return stats;
}

/* ---- tx ------------------------------------------------------------------------------------ */

static inline uint8_t pattern(uint32_t seed, uint32_t at)
{
    return (uint8_t)(seed * 31 + at * 7 + at / 256 * 13);
}

static inline struct pv_packet *make_packet(struct fake_netback *netback, uint32_t length,
                                            uint32_t seed)
{
    struct pv_packet *packet = pv_packet_alloc(netback->cache, length);
    assert(packet);
    packet->length = length;
    for (uint32_t i = 0; i < length; i++)
        packet->data[i] = pattern(seed, i);
    return packet;
}

static inline int send_one(struct fake_netback *netback, struct pv_packet *packet)
{
    return pv_netfront_send(netback->queue, &packet, 1);
}

static inline int send_and_release(struct fake_netback *netback, struct pv_packet *packet)
{
    int sent = send_one(netback, packet);
    pv_packet_release(netback->cache, &packet, 1);
    return sent;
}

/* The next slot of the tx ring, which must be there. */
static inline void tx_slot(struct fake_netback *netback, void *slot, size_t size)
{
    assert(pv_back_unconsumed_requests(&netback->tx) > 0);
    pv_back_copy_request(&netback->tx, netback->tx.req_cons++, slot, size);
}

static inline void take_fragment(struct fake_netback *netback, struct sent *sent,
                                 const struct netif_tx_request *request, uint32_t bytes)
{
    assert(request->gref < FAKE_GRANTS);
    const struct fake_grant *grant = &netback->guest.grants[request->gref];
    assert(grant->page && grant->readonly);
    assert(request->offset + bytes <= netback->guest.hypervisor.page_size);
    memcpy(sent->data + sent->length, grant->page + request->offset, bytes);
    sent->length += bytes;
    sent->ids[sent->nr_fragments++] = request->id;
}

/* Reads a packet off the tx ring as netif.h tells: the first size is the whole packet's. */
static inline void netback_take(struct fake_netback *netback, struct sent *sent)
{
    struct netif_tx_request fragments[32];
    unsigned count = 0;
    *sent = (struct sent){0};
    tx_slot(netback, &sent->head, sizeof(sent->head));
    if (sent->head.flags & NETTXF_extra_info) {
        do {
            assert(sent->nr_extras < 4);
            tx_slot(netback, &sent->extras[sent->nr_extras], sizeof(sent->extras[0]));
        } while (sent->extras[sent->nr_extras++].flags & XEN_NETIF_EXTRA_FLAG_MORE);
    }
    uint32_t first = sent->head.size;
    for (uint16_t more = sent->head.flags & NETTXF_more_data; more; count++) {
        assert(count + 1 < XEN_NETIF_NR_SLOTS_MIN);
        tx_slot(netback, &fragments[count], sizeof(fragments[0]));
        assert(fragments[count].size > 0 && fragments[count].size < first);
        first -= fragments[count].size;
        more = fragments[count].flags & NETTXF_more_data;
    }
    take_fragment(netback, sent, &sent->head, first);
    for (unsigned i = 0; i < count; i++)
        take_fragment(netback, sent, &fragments[i], fragments[i].size);
}

static inline void answer(struct fake_netback *netback, uint16_t id, int16_t status)
{
    struct netif_tx_response response = {id, status};
    memcpy(pv_back_response_slot(&netback->tx, netback->tx.rsp_prod_pvt++), &response,
           sizeof(response));
    pv_back_push_responses(&netback->tx);
}

/* Answers a packet in the order of its slots. */
static inline void answer_packet(struct fake_netback *netback, const struct sent *sent,
                                 int16_t status)
{
    answer(netback, sent->ids[0], status);
    for (unsigned i = 0; i < sent->nr_extras; i++)
        answer(netback, 0xBEEF, NETIF_RSP_NULL);
    for (unsigned i = 1; i < sent->nr_fragments; i++)
        answer(netback, sent->ids[i], status);
}

static inline void expect_data(const uint8_t *data, uint32_t length, uint32_t seed)
{
    for (uint32_t i = 0; i < length; i++)
        assert(data[i] == pattern(seed, i));
}

/* Takes a packet, checks it and answers OKAY. */
static inline void netback_serve(struct fake_netback *netback, uint32_t length, uint32_t seed)
{
    static struct sent sent;
    netback_take(netback, &sent);
    assert(sent.length == length);
    expect_data(sent.data, length, seed);
    answer_packet(netback, &sent, NETIF_RSP_OKAY);
}

/* ---- rx ------------------------------------------------------------------------------------ */

/* The page of the next posted buffer, which must be there. */
static inline uint8_t *next_buffer(struct fake_netback *netback, struct netif_rx_request *request)
{
    assert(pv_back_unconsumed_requests(&netback->rx) > 0);
    assert(netback->rx.req_cons == netback->rx.rsp_prod_pvt);
    pv_back_copy_request(&netback->rx, netback->rx.req_cons, request, sizeof(*request));
    assert(request->id == netback->rx.req_cons % netback->rx.nr_ents && request->pad == 0);
    const struct fake_grant *grant = &netback->guest.grants[request->gref];
    assert(grant->page && !grant->readonly);
    netback->rx.req_cons++;
    return (uint8_t *)(uintptr_t)grant->page;
}

static inline void put_response(struct fake_netback *netback, const void *response)
{
    memcpy(pv_back_response_slot(&netback->rx, netback->rx.rsp_prod_pvt++), response, 8);
}

/* Writes a response without a look at the buffer. */
static inline void put_raw(struct fake_netback *netback, uint16_t offset, uint16_t flags,
                           int16_t status)
{
    struct netif_rx_request request;
    next_buffer(netback, &request);
    struct netif_rx_response response = {request.id, offset, flags, status};
    put_response(netback, &response);
}

/* Bytes of a packet, from `from` on, into the next buffer at `offset`. */
static inline void put_fragment(struct fake_netback *netback, uint32_t seed, uint32_t from,
                                uint16_t bytes, uint16_t offset, uint16_t flags)
{
    struct netif_rx_request request;
    uint8_t *page = next_buffer(netback, &request) + offset;
    for (uint32_t i = 0; i < bytes; i++)
        page[i] = pattern(seed, from + i);
    struct netif_rx_response response = {request.id, offset, flags, (int16_t)bytes};
    put_response(netback, &response);
}

static inline void put_extra(struct fake_netback *netback, struct netif_extra_info extra)
{
    struct netif_rx_request request;
    next_buffer(netback, &request);
    put_response(netback, &extra);
}

static inline void push_rx(struct fake_netback *netback)
{
    pv_back_push_responses(&netback->rx);
}

/* The one packet that there is. */
static inline struct pv_packet *receive_one(struct fake_netback *netback)
{
    struct pv_packet *packets[2];
    assert(pv_netfront_receive(netback->queue, packets, 2) == 1);
    return packets[0];
}

static inline void expect_packet(struct fake_netback *netback, uint32_t length, uint32_t seed)
{
    struct pv_packet *packet = receive_one(netback);
    assert(packet->length == length && packet->users == 1);
    expect_data(packet->data, length, seed);
    pv_packet_release(netback->cache, &packet, 1);
}

/* There is one packet, and it is dropped for this reason. */
static inline void expect_drop(struct fake_netback *netback, enum pv_netfront_error error)
{
    struct pv_packet *packet;
    struct pv_netfront_stats before = netback_stats(netback);
    push_rx(netback);
    assert(pv_netfront_receive(netback->queue, &packet, 1) == 0);
    struct pv_netfront_stats after = netback_stats(netback);
    for (int i = 0; i < PV_NETFRONT_ERROR_COUNT; i++)
        assert(after.errors[i] == before.errors[i] + (i == (int)error));
    assert(after.rx_dropped == before.rx_dropped + 1 && after.violations == 0);
}

#endif
