/*
 * A guest reduced to what a network backend sees of it: an array of granted pages, of which the
 * first are rings, and event channels that only count. Reference N grants page N. Beside it an
 * uplink that keeps what it is sent and gives what the test has queued.
 */
#ifndef TESTS_BACKENDS_VNIF_C_LOOPBACK_H
#define TESTS_BACKENDS_VNIF_C_LOOPBACK_H

#include "pvdrivers/backends/vnif/netback.h"
#include "pvdrivers/ring/ring.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GUEST 7
#ifndef GUEST_PAGES
#define GUEST_PAGES 1024
#endif
#define QUEUES 2
#define TX_RING(queue) (2 * (queue))
#define RX_RING(queue) (2 * (queue) + 1)
#define CONTROL_RING (2 * QUEUES)
#define TX_PORT(queue) (10 + 2 * (queue)) /* the guest's */
#define RX_PORT(queue) (11 + 2 * (queue))
#define CONTROL_PORT 30
#define LOCAL_PORT(port) ((port) + 100) /* the backend's of a guest's */
#define HANDLES 5000                    /* a map's handle is this and its reference */
#define DATA 16                         /* the first page that is no ring */
#define UPLINK_PACKETS 512

struct fake_uplink {
    struct pv_uplink uplink; /* first: the backend's pointer */
    struct pv_packet *sent[UPLINK_PACKETS], *queued[UPLINK_PACKETS];
    uint32_t sent_count, first_queued, queued_count;
    uint32_t sends, receives, purges;
    uint64_t due;
    int eventfd;
};

struct front {
    struct pv_front_ring tx, rx;
};

struct loopback {
    struct pv_hypervisor hypervisor; /* first: the backend's view */
    struct fake_uplink uplink;
    struct pv_packet_cache *cache; /* the uplink's end */
    struct pv_netback_vif_config config;
    struct pv_netback_vif *vif;
    struct pv_netback_queue *back[QUEUES];
    struct front front[QUEUES];
    uint32_t page_size;
    uint8_t *memory; /* GUEST_PAGES pages */
    grant_ref_t bad_ref, readonly_ref;
    int notified[64], bound;
    uint32_t copy_calls, copies, mapped; /* mapped: pages */
    int fault_fd;
    bool split;
    uint64_t now;
};

/* ---- the hypervisor -------------------------------------------------------------------------- */

static inline uint8_t *loopback_page(struct loopback *loop, grant_ref_t ref)
{
    return ref < GUEST_PAGES && ref != loop->bad_ref ? loop->memory + (size_t)ref * loop->page_size
                                                     : NULL;
}

static inline void *fake_end(struct loopback *loop, const struct pv_grant_copy_end *end, bool gref,
                             unsigned len)
{
    if (!gref)
        return end->address;
    assert(end->domid == GUEST);
    uint8_t *page = loopback_page(loop, end->ref);
    return page && end->offset + len <= loop->page_size ? page + end->offset : NULL;
}

static inline int fake_copy(struct pv_hypervisor *hypervisor, struct pv_grant_copy *copies,
                            unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    pv_fetch_add(&loop->copy_calls, 1);
    pv_fetch_add(&loop->copies, count);
    for (unsigned i = 0; i < count; i++) {
        struct pv_grant_copy *copy = &copies[i];
        void *from = fake_end(loop, &copy->source, copy->flags & GNTCOPY_source_gref, copy->len);
        void *to = fake_end(loop, &copy->dest, copy->flags & GNTCOPY_dest_gref, copy->len);
        assert(copy->len > 0);
        if (copy->flags & GNTCOPY_dest_gref && copy->dest.ref == loop->readonly_ref)
            to = NULL;
        copy->status = from && to ? GNTST_okay : GNTST_bad_gntref;
        if (copy->status == GNTST_okay)
            memcpy(to, from, copy->len);
    }
    return 0;
}

static inline int fake_map(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps,
                           unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    for (unsigned i = 0; i < count; i++) {
        struct pv_grant_map *map = &maps[i];
        assert(map->domid == GUEST && map->flags & GNTMAP_host_map);
        bool allowed = map->ref != loop->readonly_ref || map->flags & GNTMAP_readonly;
        map->address = allowed ? loopback_page(loop, map->ref) : NULL;
        map->handle = map->ref + HANDLES;
        map->status = map->address ? GNTST_okay : GNTST_bad_gntref;
        pv_fetch_add(&loop->mapped, map->address != NULL);
    }
    return 0;
}

static inline int fake_unmap(struct pv_hypervisor *hypervisor, struct pv_grant_map *maps,
                             unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    for (unsigned i = 0; i < count; i++)
        assert(maps[i].address && maps[i].handle == maps[i].ref + HANDLES);
    pv_fetch_sub(&loop->mapped, count);
    return 0;
}

static inline void *fake_map_contiguous(struct pv_hypervisor *hypervisor, domid_t domid,
                                        const grant_ref_t *refs, unsigned count, bool readonly)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    assert(domid == GUEST && !readonly && count == 1);
    uint8_t *page = loopback_page(loop, refs[0]);
    loop->mapped += page != NULL;
    errno = EINVAL;
    return page;
}

static inline int fake_unmap_contiguous(struct pv_hypervisor *hypervisor, void *address,
                                        unsigned count)
{
    struct loopback *loop = (struct loopback *)hypervisor;
    assert(address && count == 1);
    loop->mapped--;
    return 0;
}

static inline uint32_t fake_page_size(struct pv_hypervisor *hypervisor, domid_t domid)
{
    return domid == GUEST ? ((struct loopback *)hypervisor)->page_size : 0;
}

static inline int fake_bind(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port)
{
    struct loopback *loop = (struct loopback *)handle;
    assert(remote == GUEST && port >= 10 && port <= CONTROL_PORT);
    loop->bound++;
    return (int)LOCAL_PORT(port);
}

static inline int fake_unbind(struct pv_evtchn *handle, evtchn_port_t port)
{
    assert(port >= LOCAL_PORT(10));
    ((struct loopback *)handle)->bound--;
    return 0;
}

static inline int fake_notify(struct pv_evtchn *handle, evtchn_port_t port)
{
    ((struct loopback *)handle)->notified[port - LOCAL_PORT(0)]++;
    return 0;
}

static const struct pv_hypervisor_ops fake_ops = {.name = "fake",
                                                  .evtchn_bind_interdomain = fake_bind,
                                                  .evtchn_unbind = fake_unbind,
                                                  .evtchn_notify = fake_notify,
                                                  .gnttab_map = fake_map,
                                                  .gnttab_unmap = fake_unmap,
                                                  .gnttab_copy = fake_copy,
                                                  .gnttab_map_contiguous = fake_map_contiguous,
                                                  .gnttab_unmap_contiguous = fake_unmap_contiguous,
                                                  .gnttab_page_size = fake_page_size};

/* ---- the uplink ------------------------------------------------------------------------------ */

static inline void fake_send(struct pv_uplink *uplink, uint32_t queue,
                             struct pv_packet_cache *cache, struct pv_packet **packets,
                             uint32_t count, uint64_t now)
{
    struct fake_uplink *fake = (struct fake_uplink *)uplink;
    (void)queue, (void)now;
    assert(count > 0 && cache);
    fake->sends++;
    for (uint32_t i = 0; i < count; i++) {
        if (fake->sent_count == UPLINK_PACKETS) /* it keeps the first ones */
            pv_packet_release(cache, &packets[i], 1);
        else
            fake->sent[fake->sent_count++] = packets[i];
    }
}

static inline uint32_t fake_receive(struct pv_uplink *uplink, uint32_t queue,
                                    struct pv_packet_cache *cache, struct pv_packet **packets,
                                    uint32_t count, uint64_t now)
{
    struct fake_uplink *fake = (struct fake_uplink *)uplink;
    uint32_t given = 0;
    (void)cache, (void)now;
    fake->receives++;
    while (queue == 0 && given < count && fake->first_queued < fake->queued_count)
        packets[given++] = fake->queued[fake->first_queued++];
    return given;
}

static inline bool fake_arm(struct pv_uplink *uplink, uint32_t queue)
{
    struct fake_uplink *fake = (struct fake_uplink *)uplink;
    return queue == 0 && fake->first_queued < fake->queued_count;
}

static inline int fake_fd(struct pv_uplink *uplink, uint32_t queue)
{
    (void)queue;
    return ((struct fake_uplink *)uplink)->eventfd;
}

static inline uint64_t fake_deadline(struct pv_uplink *uplink, uint32_t queue)
{
    (void)queue;
    return ((struct fake_uplink *)uplink)->due;
}

static inline void fake_purge(struct pv_uplink *uplink, uint32_t queue,
                              struct pv_packet_cache *cache)
{
    struct fake_uplink *fake = (struct fake_uplink *)uplink;
    (void)queue;
    fake->purges++;
    pv_packet_release(cache, fake->queued + fake->first_queued,
                      fake->queued_count - fake->first_queued);
    fake->first_queued = fake->queued_count;
}

static const struct pv_uplink_ops fake_uplink_ops = {.name = "fake",
                                                     .send = fake_send,
                                                     .receive = fake_receive,
                                                     .arm = fake_arm,
                                                     .fd = fake_fd,
                                                     .deadline = fake_deadline,
                                                     .purge = fake_purge};

/* Queues a packet for the guest; its bytes are the test's to write. */
static inline struct pv_packet *uplink_queue(struct loopback *loop, uint32_t length)
{
    struct fake_uplink *fake = &loop->uplink;
    if (fake->first_queued == fake->queued_count)
        fake->first_queued = fake->queued_count = 0;
    assert(fake->queued_count < UPLINK_PACKETS);
    struct pv_packet *packet = pv_packet_alloc(loop->cache, length);
    packet->length = length;
    for (uint32_t i = 0; i < length; i++)
        packet->data[i] = (uint8_t)(i * 7 + length);
    packet->data[0] = 0; /* no multicast */
    return fake->queued[fake->queued_count++] = packet;
}

static inline void uplink_forget(struct loopback *loop)
{
    struct fake_uplink *fake = &loop->uplink;
    pv_packet_release(loop->cache, fake->sent, fake->sent_count);
    fake->sent_count = 0;
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* Everything offered; tests change what they are about. All loopbacks of a program share a pool,
 * which costs more than all else here. */
static inline void loopback_init(struct loopback *loop, enum pv_abi abi)
{
    memset(loop, 0, sizeof *loop);
    loop->hypervisor =
        (struct pv_hypervisor){.ops = &fake_ops, .abi = PV_ABI_X86_64, .page_size = 4096};
    loop->page_size = abi == PV_ABI_IA64 ? 16384 : 4096;
    loop->memory = calloc(GUEST_PAGES, loop->page_size);
    loop->bad_ref = loop->readonly_ref = UINT32_MAX;
    loop->now = 1;
    loop->split = true;
    loop->fault_fd = eventfd(0, EFD_NONBLOCK);
    for (int i = 0; i <= CONTROL_RING; i++)
        pv_sring_init((struct pv_sring *)(loop->memory + (size_t)i * loop->page_size));
    static struct pv_packet_pool *pool;
    if (!pool)
        pool = pv_packet_pool_create();
    loop->cache = pv_packet_cache_create(pool);
    loop->uplink.uplink = (struct pv_uplink){
        .ops = &fake_uplink_ops,
        .pool = pool,
        .queues = QUEUES,
        .tx_offloads = {.csum_ipv4 = true, .csum_ipv6 = true, .gso_tcpv4 = true, .gso_tcpv6 = true},
    };
    loop->uplink.due = UINT64_MAX;
    loop->uplink.eventfd = eventfd(0, EFD_NONBLOCK);
    loop->config = (struct pv_netback_vif_config){.hypervisor = &loop->hypervisor,
                                                  .frontend = GUEST,
                                                  .abi = abi,
                                                  .uplink = &loop->uplink.uplink,
                                                  .mac = {0, 0x16, 0x3e, 0, 0, 1},
                                                  .queues = QUEUES,
                                                  .sg = true,
                                                  .gso_tcpv4 = true,
                                                  .gso_tcpv6 = true,
                                                  .csum_ipv4 = true,
                                                  .csum_ipv6 = true,
                                                  .rx_notify = true};
}

static inline struct pv_netback_queue_config loopback_queue_config(struct loopback *loop,
                                                                   uint32_t queue)
{
    return (struct pv_netback_queue_config){
        .evtchn = (struct pv_evtchn *)loop,
        .index = queue,
        .tx_ring_ref = TX_RING(queue),
        .rx_ring_ref = RX_RING(queue),
        .tx_port = TX_PORT(queue),
        .rx_port = loop->split ? RX_PORT(queue) : TX_PORT(queue),
        .fault_fd = loop->fault_fd,
    };
}

static inline void loopback_attach_front(struct loopback *loop, uint32_t queue)
{
    struct pv_sring *tx = (struct pv_sring *)loopback_page(loop, TX_RING(queue));
    struct pv_sring *rx = (struct pv_sring *)loopback_page(loop, RX_RING(queue));
    pv_front_ring_attach(&loop->front[queue].tx, tx, loop->page_size,
                         sizeof(union netif_tx_sring_entry), tx->rsp_prod);
    pv_front_ring_attach(&loop->front[queue].rx, rx, loop->page_size,
                         sizeof(union netif_rx_sring_entry), rx->rsp_prod);
}

static inline void loopback_connect_queue(struct loopback *loop, uint32_t queue)
{
    struct pv_netback_queue_config config = loopback_queue_config(loop, queue);
    loop->back[queue] = pv_netback_queue_create(loop->vif, &config);
    assert(loop->back[queue]);
    loopback_attach_front(loop, queue);
}

/* With loop->config, and one queue; a test may connect more. */
static inline void loopback_connect(struct loopback *loop)
{
    loop->vif = pv_netback_vif_create(&loop->config);
    assert(loop->vif);
    loopback_connect_queue(loop, 0);
}

static inline void loopback_open(struct loopback *loop)
{
    loopback_init(loop, PV_ABI_X86_64);
    loopback_connect(loop);
}

/* Every packet is back in the pool, every page unmapped and every port unbound. */
static inline void loopback_close(struct loopback *loop)
{
    for (uint32_t i = 0; i < QUEUES; i++)
        pv_netback_queue_destroy(loop->back[i]);
    pv_netback_vif_destroy(loop->vif);
    uplink_forget(loop);
    fake_purge(&loop->uplink.uplink, 0, loop->cache);
    assert(loop->mapped == 0 && loop->bound == 0);
    assert(pv_packet_pool_used(loop->uplink.uplink.pool) == 0);
    pv_packet_cache_destroy(loop->cache);
    close(loop->fault_fd);
    close(loop->uplink.eventfd);
    free(loop->memory);
}

/* ---- what the guest does --------------------------------------------------------------------- */

static inline bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static inline void tx_put(struct loopback *loop, const void *slot)
{
    struct pv_front_ring *ring = &loop->front[0].tx;
    memcpy(pv_front_request_slot(ring, ring->req_prod_pvt++), slot,
           sizeof(struct netif_tx_request));
}

static inline void tx_put_extra(struct loopback *loop, struct netif_extra_info extra)
{
    union netif_tx_sring_entry slot = {0};
    memcpy(&slot, &extra, sizeof extra);
    tx_put(loop, &slot);
}

/* A slot's id is its reference, unless the test says another. */
static inline void tx_put_request(struct loopback *loop, grant_ref_t gref, uint16_t offset,
                                  uint16_t size, uint16_t flags)
{
    struct netif_tx_request request = {
        .gref = gref, .offset = offset, .flags = flags, .id = (uint16_t)gref, .size = size};
    tx_put(loop, &request);
}

static inline int loopback_pump(struct loopback *loop)
{
    pv_front_push_requests(&loop->front[0].tx);
    pv_front_push_requests(&loop->front[0].rx);
    return pv_netback_queue_pump(loop->back[0], 1024, loop->now);
}

/* The next response; it must be there. */
static inline struct netif_tx_response tx_take(struct loopback *loop)
{
    struct pv_front_ring *ring = &loop->front[0].tx;
    struct netif_tx_response response;
    assert(pv_front_unconsumed_responses(ring) > 0);
    pv_front_copy_response(ring, ring->rsp_cons++, &response, sizeof response);
    return response;
}

static inline void tx_expect(struct loopback *loop, grant_ref_t id, int16_t status)
{
    struct netif_tx_response response = tx_take(loop);
    assert(response.id == id && response.status == status);
}

static inline void tx_expect_null(struct loopback *loop)
{
    assert(tx_take(loop).status == NETIF_RSP_NULL);
}

static inline bool tx_is_empty(struct loopback *loop)
{
    return pv_front_unconsumed_responses(&loop->front[0].tx) == 0;
}

/* Posts buffers; each one's id is its place in the ring. */
static inline void rx_post(struct loopback *loop, uint32_t queue, uint32_t count)
{
    struct pv_front_ring *ring = &loop->front[queue].rx;
    for (; count > 0; count--) {
        uint32_t index = ring->req_prod_pvt++;
        uint16_t id = (uint16_t)(index & (ring->nr_ents - 1));
        struct netif_rx_request request = {.id = id, .gref = DATA + id};
        memcpy(pv_front_request_slot(ring, index), &request, sizeof request);
    }
}

static inline bool rx_is_empty(struct loopback *loop, uint32_t queue)
{
    return pv_front_unconsumed_responses(&loop->front[queue].rx) == 0;
}

static inline struct netif_rx_response rx_take(struct loopback *loop, uint32_t queue)
{
    struct pv_front_ring *ring = &loop->front[queue].rx;
    struct netif_rx_response response;
    assert(!rx_is_empty(loop, queue));
    pv_front_copy_response(ring, ring->rsp_cons++, &response, sizeof response);
    return response;
}

/* What a packet of one slot is. */
static inline struct netif_rx_response rx_expect(struct loopback *loop, uint32_t queue,
                                                 uint32_t length)
{
    uint16_t id = (uint16_t)(loop->front[queue].rx.rsp_cons & (loop->front[queue].rx.nr_ents - 1));
    struct netif_rx_response response = rx_take(loop, queue);
    assert(response.id == id && response.status == (int)length);
    return response;
}

static inline struct netif_extra_info rx_take_extra(struct loopback *loop)
{
    struct netif_rx_response response = rx_take(loop, 0);
    struct netif_extra_info extra;
    memcpy(&extra, &response, sizeof extra);
    return extra;
}

static inline struct pv_netback_stats loopback_stats(struct loopback *loop)
{
    struct pv_netback_stats stats;
    pv_netback_queue_get_stats(loop->back[0], &stats);
    return stats;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* Ethernet, IPv4 and TCP or UDP headers of 54 bytes (UDP: 42), with right lengths. Of the checksums
 * only IP's is right. */
static inline void write_frame(uint8_t *data, uint32_t length, uint8_t protocol)
{
    uint16_t ip = (uint16_t)(length - 14);
    memset(data, 0, length);
    memcpy(data, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45", 15);
    data[16] = (uint8_t)(ip >> 8), data[17] = (uint8_t)ip;
    data[22] = 64, data[23] = protocol;
    memcpy(data + 26, "\x0a\0\0\x01\x0a\0\0\x02\x12\x34\0\x50", 12);
    uint32_t sum = 0;
    for (uint32_t i = 14; i < 34; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    sum = ~(sum + (sum >> 16));
    data[24] = (uint8_t)(sum >> 8), data[25] = (uint8_t)sum;
    if (protocol == 6)
        data[46] = 0x50, data[47] = 0x10;
    else
        data[38] = (uint8_t)((ip - 20) >> 8), data[39] = (uint8_t)(ip - 20);
    for (uint32_t i = protocol == 6 ? 54 : 42; i < length; i++)
        data[i] = (uint8_t)(i * 13);
}

#endif
