/*
 * The backend is killed after every single instruction that changes its logs or its rings: a
 * process runs a scenario under ptrace, one step at a time, and from each state it passes through
 * another backend goes on, in a copy of everything that outlives a process. There each slot must
 * get one answer, in order, a packet that is answered must have been sent, a buffer that is
 * answered must hold what its response says, and the filter must be as the guest has set it.
 *
 * The scenario loses its own backend in the middle too, so that the next one is killed while it
 * takes up what the first has left.
 */
#include "tests/backends/c/kills.h"
#include "tests/backends/vnif/c/loopback.h"

#define PAGE 4096u
#define ROUNDS 10
#define MAX_PACKETS 256u /* of all rounds */
#define BUFFERS 32u      /* pages for rx, used in turn */
#define TX_PAGE DATA
#define RX_PAGE (DATA + 1)
#define PAGES (RX_PAGE + BUFFERS)
#define START 0xffffffe0u /* the rings' indices come round on the way */
#define LOG_SIZE 8192u
#define GROUPS 4u                     /* multicast addresses that the guest joins and leaves */
#define WATCHED (LOG_SIZE + 2 * PAGE) /* whatever a backend's other stores are */

/* What outlives a backend. */
struct world {
    _Alignas(4096) uint8_t log[LOG_SIZE];
    uint8_t memory[PAGES * PAGE]; /* the guest's; pages 0 and 1 are the rings */
    struct front front;
    uint32_t packets;           /* that the guest has transmitted */
    uint8_t slots[MAX_PACKETS]; /* of each */
    bool changes[MAX_PACKETS];  /* the filter, and has no packet */
    bool joined[GROUPS];
    uint8_t sent[MAX_PACKETS]; /* times each has reached the uplink */
    uint32_t answered, received;
    bool stepping;
};

static struct world *current; /* of this process's uplink */

/* ---- the uplink ------------------------------------------------------------------------------ */

/* A packet's length is its number. */
static void count_sent(struct pv_uplink *uplink, uint32_t queue, struct pv_packet_cache *cache,
                       struct pv_packet **packets, uint32_t count, uint64_t now)
{
    (void)uplink, (void)queue, (void)now;
    for (uint32_t i = 0; i < count; i++)
        current->sent[packets[i]->length - 64]++;
    pv_packet_release(cache, packets, count);
}

static uint8_t pattern(uint32_t length, uint32_t i)
{
    return (uint8_t)(length * 4 + i * 3); /* begins with an even number: no multicast */
}

/* One in three is of two pages. Made before a pump, which is stepped through. */
static void make_packets(struct loopback *loop, uint32_t count)
{
    static uint32_t number;
    for (; count > 0; count--) {
        uint32_t length = (number % 3 == 0 ? 4200 : 60) + number % 7;
        number++;
        struct pv_packet *packet = uplink_queue(loop, length);
        for (uint32_t i = 0; i < length; i++)
            packet->data[i] = pattern(length, i);
    }
}

static const struct pv_uplink_ops uplink_ops = {
    .name = "killed", .send = count_sent, .receive = fake_receive, .fd = fake_fd};

/* ---- the guest ------------------------------------------------------------------------------- */

static void write_group(uint32_t group, uint8_t *address)
{
    memcpy(address, (uint8_t[]){0x33, 0x33, 0, 0, 1, (uint8_t)group}, 6);
}

static void put_change(struct world *world, struct loopback *loop, uint64_t *random)
{
    uint32_t number = world->packets++, group = choose(random, GROUPS);
    struct netif_extra_info extra = {0};
    assert(number < MAX_PACKETS);
    world->slots[number] = 2;
    world->changes[number] = true;
    world->joined[group] = choose(random, 3) > 0;
    extra.type =
        world->joined[group] ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD : XEN_NETIF_EXTRA_TYPE_MCAST_DEL;
    write_group(group, extra.u.mcast.addr);
    tx_put_request(loop, TX_PAGE, 0, 0, NETTXF_extra_info);
    tx_put_extra(loop, extra);
}

static void put_packet(struct world *world, struct loopback *loop, uint64_t *random)
{
    uint32_t number = world->packets++, fragments = choose(random, 3), extras = choose(random, 2);
    uint16_t more = fragments ? NETTXF_more_data : 0;
    assert(number < MAX_PACKETS);
    world->slots[number] = (uint8_t)(1 + extras + fragments);
    tx_put_request(loop, TX_PAGE, 0, (uint16_t)(64 + number),
                   (uint16_t)(more | (extras ? NETTXF_extra_info : 0)));
    if (extras)
        tx_put_extra(loop, (struct netif_extra_info){.type = XEN_NETIF_EXTRA_TYPE_HASH});
    for (uint32_t i = 0; i < fragments; i++)
        tx_put_request(loop, TX_PAGE, 0, 3, i + 1 < fragments ? NETTXF_more_data : 0);
}

static void take_answers(struct world *world, struct loopback *loop)
{
    int ready = pv_front_unconsumed_responses(&loop->front[0].tx);
    assert(ready >= 0);
    while (ready > 0) {
        assert(world->answered < world->packets);
        uint32_t number = world->answered++, slots = world->slots[number];
        assert((uint32_t)ready >= slots); /* whole packets */
        ready -= (int)slots;
        assert(world->changes[number] || world->sent[number] > 0);
        for (uint32_t i = 0; i < slots; i++) {
            struct netif_tx_response response = tx_take(loop);
            assert(response.status == NETIF_RSP_NULL || response.id == TX_PAGE);
            assert(response.status == NETIF_RSP_NULL || response.status == NETIF_RSP_OKAY);
        }
    }
}

static void post_buffers(struct loopback *loop, uint32_t count)
{
    struct pv_front_ring *ring = &loop->front[0].rx;
    for (; count > 0; count--) {
        uint32_t index = ring->req_prod_pvt++;
        struct netif_rx_request request = {.id = (uint16_t)(index % BUFFERS),
                                           .gref = RX_PAGE + index % BUFFERS};
        memcpy(pv_front_request_slot(ring, index), &request, sizeof request);
    }
}

static void take_packets(struct world *world, struct loopback *loop)
{
    struct pv_front_ring *ring = &loop->front[0].rx;
    for (bool more = false; more || !rx_is_empty(loop, 0);) {
        uint32_t id = ring->rsp_cons % BUFFERS;
        struct netif_rx_response response = rx_take(loop, 0);
        const uint8_t *page = loopback_page(loop, RX_PAGE + id);
        assert(response.id == id && response.status > 0);
        if (more) /* the second page of the largest; its length is the first one's secret */
            assert(response.status >= 104 && response.status <= 110);
        if (!more && page[0] & 1) /* of a group */
            assert(response.status == 60);
        for (int i = 0; i < response.status && (more || !(page[0] & 1)); i++) {
            uint32_t length = more ? 4096u + (uint32_t)response.status : (uint32_t)response.status;
            if (more || !(response.flags & NETRXF_more_data))
                assert(page[i] == pattern(length, (uint32_t)i + (more ? 4096 : 0)));
        }
        more = response.flags & NETRXF_more_data;
        world->received++;
    }
}

/* ---- backends -------------------------------------------------------------------------------- */

static void prepare(struct world *world, struct loopback *loop)
{
    loopback_init(loop, PV_ABI_X86_64);
    free(loop->memory);
    loop->memory = world->memory;
    loop->uplink.uplink.ops = &uplink_ops;
    loop->front[0] = world->front;
    loop->front[0].tx.sring = (struct pv_sring *)world->memory; /* of this copy */
    loop->front[0].rx.sring = (struct pv_sring *)(world->memory + PAGE);
    loop->config.multicast_control = true;
    loop->config.resumed = *(uint32_t *)world->log != 0;
    current = world;
}

static struct pv_netback_queue_config log_config(struct world *world, struct loopback *loop)
{
    struct pv_netback_queue_config config = loopback_queue_config(loop, 0);
    config.log = world->log;
    config.log_size = LOG_SIZE;
    return config;
}

static void connect_backend(struct world *world, struct loopback *loop)
{
    struct pv_netback_queue_config config = log_config(world, loop);
    loop->vif = pv_netback_vif_create(&loop->config);
    int resumable = pv_netback_queue_resumable(loop->vif, &config);
    assert(resumable == 0 || (resumable == -EBUSY && *(uint32_t *)world->log == 0));
    loop->back[0] = pv_netback_queue_create(loop->vif, &config);
    assert(loop->back[0]);
}

static void pump(struct loopback *loop)
{
    assert(loopback_pump(loop) >= 0);
}

static uint32_t posted(const struct loopback *loop)
{
    return loop->front[0].rx.req_prod_pvt - loop->front[0].rx.rsp_cons;
}

static void check_filter(struct world *world, struct loopback *loop)
{
    if (posted(loop) < GROUPS)
        post_buffers(loop, GROUPS - posted(loop));
    for (uint32_t group = 0; group < GROUPS; group++) {
        uint64_t filtered = loopback_stats(loop).rx_filtered;
        write_group(group, uplink_queue(loop, 60)->data);
        pump(loop);
        assert(loopback_stats(loop).rx_filtered == filtered + !world->joined[group]);
    }
    take_packets(world, loop);
}

/* The successor of the killed process; the guest is as it was. */
static void go_on(struct world *world)
{
    struct loopback loop;
    prepare(world, &loop);
    connect_backend(world, &loop);
    pump(&loop);
    take_answers(world, &loop);
    take_packets(world, &loop);
    assert(world->answered == world->packets);
    check_filter(world, &loop);
    make_packets(&loop, BUFFERS + 2); /* more than it has buffers for */
    pump(&loop);
    take_packets(world, &loop);
    assert(posted(&loop) < 2); /* one may be too few for the packet that comes next */
    loop.memory = malloc(1);
    loopback_close(&loop);
}

/* ---- the scenario ---------------------------------------------------------------------------- */

static void begin_steps(struct loopback *loop)
{
    current->front = loop->front[0];
    current->stepping = true;
    raise(SIGTRAP);
}

/* A new queue does this shortly before it turns to its logs. */
static int bind_and_begin_steps(struct pv_evtchn *handle, domid_t remote, evtchn_port_t port)
{
    if (port == RX_PORT(0))
        begin_steps((struct loopback *)handle);
    return fake_bind(handle, remote, port);
}

static void connect_stepped(struct world *world, struct loopback *loop)
{
    static struct pv_hypervisor_ops ops;
    prepare(world, loop);
    ops = *loop->hypervisor.ops;
    ops.evtchn_bind_interdomain = bind_and_begin_steps;
    loop->hypervisor.ops = &ops;
    connect_backend(world, loop);
    world->stepping = false;
}

static void run_scenario(struct world *world, uint64_t random)
{
    static struct loopback loop;
    connect_stepped(world, &loop);
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t n = choose(&random, 5); n > 0; n--)
            (choose(&random, 3) == 0 ? put_change : put_packet)(world, &loop, &random);
        post_buffers(&loop, choose(&random, BUFFERS - posted(&loop) + 1));
        pv_front_push_requests(&loop.front[0].tx);
        pv_front_push_requests(&loop.front[0].rx);
        make_packets(&loop, choose(&random, 4));
        begin_steps(&loop);
        assert(pv_netback_queue_pump(loop.back[0], 1 + choose(&random, 8), 1) >= 0);
        world->stepping = false;
        if (choose(&random, 2)) {
            take_answers(world, &loop);
            take_packets(world, &loop);
        }
        world->front = loop.front[0];
        if (choose(&random, 3) == 0) /* this backend is gone, with all that it has not answered */
            connect_stepped(world, &loop);
    }
}

static void begin(struct world *world)
{
    for (int i = 0; i < 2; i++) {
        struct pv_sring *sring = (struct pv_sring *)(world->memory + PAGE * (size_t)i);
        pv_sring_init(sring);
        sring->req_prod = sring->rsp_prod = START;
        sring->req_event = sring->rsp_event = START + 1;
        pv_front_ring_attach(i == 0 ? &world->front.tx : &world->front.rx, sring, PAGE,
                             i == 0 ? sizeof(union netif_tx_sring_entry)
                                    : sizeof(union netif_rx_sring_entry),
                             START);
    }
}

static void test_kills(uint64_t seed)
{
    static const struct kill_test test = {.size = sizeof(struct world),
                                          .watched = WATCHED,
                                          .stepping = offsetof(struct world, stepping),
                                          .run = run_scenario,
                                          .go_on = go_on};
    struct world *world = make_world(&test);
    begin(world);
    assert(kill_everywhere(&test, world, seed) > 10 * ROUNDS);
}

int main(void)
{
    for (int seed = 0; seed < (STEPPING ? 1 : 0); seed++)
        test_kills((uint64_t)seed);
    return 0;
}
