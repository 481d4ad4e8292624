/* Both halves of a network device on one simulated machine and in one thread, as pumps.c does it
 * for a disk. */
#include "benchmarks/instructions/packets.h"
#include "benchmarks/instructions/domains.h"
#include "benchmarks/instructions/static_grants.h"
#include "pvdrivers/backends/vnif/netback.h"
#include "pvdrivers/frontends/vnif/netfront.h"

#include <stdlib.h>
#include <string.h>

#define WARM_ROUNDS 16u /* every page touched, every buffer posted once */
#define MAX_DEPTH 64u
#define INDEPENDENT __attribute__((noinline, noclone))

struct link {
    struct pv_uplink uplink; /* first: the backend's pointer */
    struct pv_packet *packet;
    uint32_t waiting; /* times the guest is to receive it */
    uint64_t sent;
};

struct device {
    struct link link;
    struct pv_packet_cache *cache;
    struct domains domains;
    struct pv_netback_vif *vif;
    struct pv_netback_control *control; /* with static grants */
    struct pv_netback_queue *back;
    struct pv_netfront_queue *front;
    struct pv_packet *batch[MAX_DEPTH];
};

/* ---- An uplink that costs next to nothing ---------------------------------------------------- */

static void send(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                 struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)queue, (void)now;
    ((struct link *)uplink)->sent += count;
    pv_packet_release(cache, packets, count);
}

/* The same packet again and again. */
static uint32_t receive(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                        struct pv_packet **packets, uint32_t count, uint64_t now)
{
    struct link *link = (struct link *)uplink;
    uint32_t given = count < link->waiting ? count : link->waiting;
    (void)queue, (void)cache, (void)now;
    if (given)
        pv_packet_hold(link->packet, given);
    for (uint32_t i = 0; i < given; i++)
        packets[i] = link->packet;
    link->waiting -= given;
    return given;
}

static int no_fd(struct pv_uplink *uplink, uint32_t queue)
{
    (void)uplink, (void)queue;
    return -1;
}

static const struct pv_uplink_ops link_ops = {
    .name = "counted", .send = send, .receive = receive, .fd = no_fd};

/* ---- The device ------------------------------------------------------------------------------ */

static void connect(struct device *device)
{
    const struct pv_netfront_config front = {.hypervisor = device->domains.front_view,
                                             .evtchn = device->domains.front_events,
                                             .split_event_channels = true,
                                             .pool = device->link.uplink.pool};
    const struct pv_netfront_features features = {
        .sg = true, .gso_tcpv4 = true, .gso_tcpv6 = true, .csum_ipv4 = true, .csum_ipv6 = true};
    device->front = pv_netfront_create(&front);
    require(device->front, "frontend");
    const struct pv_netback_vif_config vif = {.hypervisor = device->domains.back_view,
                                              .frontend = 1,
                                              .abi = PV_ABI_X86_64,
                                              .uplink = &device->link.uplink,
                                              .queues = 1,
                                              .sg = true,
                                              .gso_tcpv4 = true,
                                              .gso_tcpv6 = true,
                                              .csum_ipv4 = true,
                                              .csum_ipv6 = true,
                                              .rx_notify = true};
    device->vif = pv_netback_vif_create(&vif);
    require(device->vif, "vif");
    const struct pv_netback_queue_config queue = {
        .evtchn = device->domains.back_events,
        .tx_ring_ref = pv_netfront_tx_ring_ref(device->front),
        .rx_ring_ref = pv_netfront_rx_ring_ref(device->front),
        .tx_port = pv_netfront_tx_port(device->front),
        .rx_port = pv_netfront_rx_port(device->front)};
    device->back = pv_netback_queue_create(device->vif, &queue);
    require(device->back, "backend");
    require(pv_netfront_connect(device->front, &features) == 0, "connection");
}

/* TCP over IPv4 with a blank checksum, as a guest's own traffic. */
static struct pv_packet *make_packet(struct device *device, uint32_t length)
{
    static const uint8_t headers[54] = "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45\0\0\0\0\0\0\0"
                                       "\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02\x12\x34\0\x50"
                                       "\0\0\0\0\0\0\0\0\x50\x10";
    struct pv_packet *packet = pv_packet_alloc(device->cache, length);
    require(packet && length >= sizeof headers, "packet");
    memset(packet->data, 0, length);
    memcpy(packet->data, headers, sizeof headers);
    packet->data[16] = (uint8_t)((length - 14) >> 8), packet->data[17] = (uint8_t)(length - 14);
    packet->length = length;
    packet->csum_blank = packet->data_validated = true;
    if (length > 1514)
        packet->gso_type = XEN_NETIF_GSO_TYPE_TCPV4, packet->gso_size = 1448;
    return packet;
}

static void tear_down(struct device *device)
{
    pv_netback_queue_destroy(device->back);
    pv_netback_control_destroy(device->control);
    pv_netback_vif_destroy(device->vif);
    pv_netfront_destroy(device->front);
    pv_packet_release(device->cache, &device->link.packet, 1);
    pv_packet_cache_destroy(device->cache);
    pv_packet_pool_destroy(device->link.uplink.pool);
    close_domains(&device->domains);
}

/* ---- What is counted ------------------------------------------------------------------------- */

INDEPENDENT static int measured_back(struct device *device)
{
    return pv_netback_queue_pump(device->back, MAX_DEPTH, 1);
}

INDEPENDENT static int measured_front(struct device *device, uint32_t depth, bool send_packets)
{
    if (send_packets)
        return pv_netfront_send(device->front, device->batch, depth);
    return pv_netfront_receive(device->front, device->batch, depth);
}

static void run_round(struct device *device, bool tx, uint32_t depth, bool counted)
{
    for (uint32_t i = 0; tx && i < depth; i++)
        device->batch[i] = device->link.packet;
    if (tx && counted)
        require(measured_front(device, depth, true) == (int)depth, "send");
    else if (tx)
        require(pv_netfront_send(device->front, device->batch, depth) == (int)depth, "send");
    else
        device->link.waiting = depth;
    int moved = counted ? measured_back(device) : pv_netback_queue_pump(device->back, MAX_DEPTH, 1);
    require(moved == (int)depth, "pump");
    int received = counted ? measured_front(device, depth, false)
                           : pv_netfront_receive(device->front, device->batch, depth);
    require(received == (tx ? 0 : (int)depth), "receive");
    if (received > 0)
        pv_packet_release(device->cache, device->batch, (uint32_t)received);
}

int count_packets(char **argv)
{
    static struct device device;
    bool tx = strcmp(argv[2], "rx") != 0;
    uint32_t length = (uint32_t)atoi(argv[3]), depth = (uint32_t)atoi(argv[5]);
    uint32_t rounds = (uint32_t)atoi(argv[6]);
    require(depth <= MAX_DEPTH, "depth");
    device.link.uplink = (struct pv_uplink){.ops = &link_ops,
                                            .pool = pv_packet_pool_create(),
                                            .queues = 1,
                                            .tx_offloads = {true, true, true, true},
                                            .no_data = strcmp(argv[2], "null") == 0};
    device.cache = pv_packet_cache_create(device.link.uplink.pool);
    make_domains(&device.domains, 64u << 20);
    connect(&device);
    if (strcmp(argv[4], "static") == 0) {
        device.control =
            add_static_grants(device.vif, device.domains.back_events, device.domains.front_view,
                              device.domains.front_events, device.front);
        require(device.control, "static grants");
    }
    device.link.packet = make_packet(&device, length);
    for (uint32_t round = 0; round < WARM_ROUNDS + rounds; round++)
        run_round(&device, tx, depth, round >= WARM_ROUNDS);
    require(!tx || device.link.sent == (uint64_t)depth * (WARM_ROUNDS + rounds), "uplink");
    tear_down(&device);
    return 0;
}
