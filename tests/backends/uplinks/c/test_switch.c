/* The switch, one packet after the other: who gets what, and at what cost. Who gets what in general
 * is in test_switch_model.py, against a model of a learning bridge. */
#include "tests/backends/uplinks/c/uplink_test.h"

#include "pvdrivers/backends/uplinks/switch.h"

#include <errno.h>

#define SECOND 1000000000ull
#define PORTS 4u

static struct pv_packet_pool *pool;
static struct pv_packet_cache *cache;
static struct pv_switch *sw;
static struct pv_uplink *ports[PORTS];

static struct pv_uplink *open_port(const struct pv_switch_port_config *config, uint32_t queues)
{
    struct pv_uplink *port = pv_switch_port_create(sw, config);
    assert(port && port->queues == config->queues);
    assert(port->ops->set_carrier(port, queues) == 0);
    return port;
}

static void set_up(const struct pv_switch_port_config *config)
{
    sw = pv_switch_create(&(struct pv_switch_config){.pool = pool, .ageing_ns = 10 * SECOND});
    for (uint32_t i = 0; i < PORTS; i++)
        ports[i] = open_port(config, config->queues);
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < PORTS; i++)
        if (ports[i])
            ports[i]->ops->close(ports[i]);
    pv_switch_destroy(sw);
    assert(pv_packet_pool_used(pool) == 0);
}

static const struct pv_switch_port_config usual = {.queues = 1, .macs = 8, .waiting = 16};

/* How many wait at the port's queue; they are dropped. */
static uint32_t drain(uint32_t port, uint32_t queue)
{
    struct pv_packet *packets[64];
    uint32_t count, all = 0;
    while ((count = ports[port]->ops->receive(ports[port], queue, cache, packets, 64, 0)) > 0) {
        pv_packet_release(cache, packets, count);
        all += count;
    }
    return all;
}

static void station_sends(uint32_t port, uint8_t from, uint8_t to, uint64_t now)
{
    send_one(ports[port], 0, cache, make_frame(cache, from, to, 0, 60), now);
}

static struct pv_switch_stats switch_stats(void)
{
    struct pv_switch_stats stats;
    pv_switch_get_stats(sw, &stats);
    return stats;
}

/* One packet, however many get it, and it goes back when the last has read it. */
static void test_a_flooded_packet_is_shared(void)
{
    set_up(&usual);
    struct pv_packet *got[PORTS], *sent = make_frame(cache, 1, 255, 7, 1504 + HEADER);
    sent->csum_blank = true;
    send_one(ports[0], 0, cache, sent, 0);
    assert(pv_packet_pool_used(pool) == 1);
    for (uint32_t i = 1; i < PORTS; i++) {
        assert(ports[i]->ops->receive(ports[i], 0, cache, &got[i], 1, 0) == 1);
        assert(got[i] == sent && got[i]->users == PORTS - i && number_of(sent) == 7);
        assert(sent->length == 1504 + HEADER && sent->csum_blank);
        if (i < PORTS - 1)
            pv_packet_release(cache, &got[i], 1);
    }
    pv_packet_release(cache, &got[PORTS - 1], 1);
    assert(drain(0, 0) == 0 && pv_packet_pool_used(pool) == 0);
    assert(stats_of(ports[0]).tx_packets == 1 && switch_stats().flooded == 1);
    tear_down();
}

static void test_a_gso_packet_passes_whole(void)
{
    set_up(&usual);
    assert(ports[0]->tx_offloads.gso_tcpv4 && ports[0]->tx_offloads.gso_tcpv6);
    assert(ports[0]->tx_offloads.csum_ipv4 && ports[0]->tx_offloads.csum_ipv6);
    station_sends(1, 2, 255, 0);
    struct pv_packet *got, *sent = make_frame(cache, 1, 2, 0, PV_PACKET_MAX_LENGTH);
    sent->gso_type = 1;
    sent->gso_size = 1448;
    send_one(ports[0], 0, cache, sent, 0);
    assert(ports[1]->ops->receive(ports[1], 0, cache, &got, 1, 0) == 1);
    assert(got == sent && got->gso_size == 1448 && got->length == PV_PACKET_MAX_LENGTH);
    pv_packet_release(cache, &got, 1);
    tear_down();
}

/* The sources that are one too many are not learnt, and those of other ports stay known. */
static void test_a_flood_of_sources(void)
{
    set_up(&usual);
    station_sends(1, 200, 255, 0);
    for (uint32_t i = 1; i <= 100; i++)
        station_sends(0, (uint8_t)i, 200, 0);
    struct pv_switch_stats stats = switch_stats();
    assert(stats.macs == 8 + 1 && stats.refused == 92 && stats.flooded == 1);
    drain(2, 0);
    station_sends(1, 200, 8, 0);
    assert(drain(2, 0) == 0 && drain(0, 0) > 0); /* known */
    station_sends(1, 200, 9, 0);
    assert(drain(2, 0) == 1); /* not known: to all */
    station_sends(3, 201, 200, 0);
    assert(drain(2, 0) == 0); /* others are as they were */

    /* When the old ones are silent for too long there is room again. */
    station_sends(0, 100, 200, 11 * SECOND);
    stats = switch_stats();
    assert(stats.macs == 1 + 1 + 1 && stats.refused == 92);
    tear_down();
}

/* A port without room for it cannot take another's address away. */
static void test_a_full_port_moves_nothing(void)
{
    set_up(&usual);
    station_sends(1, 200, 255, 0);
    for (uint32_t i = 1; i <= 8; i++)
        station_sends(0, (uint8_t)i, 255, 0);
    station_sends(0, 200, 255, 0);
    for (uint32_t i = 0; i < PORTS; i++)
        drain(i, 0);
    station_sends(2, 150, 200, 0);
    assert(drain(1, 0) == 1 && drain(0, 0) == 0 && switch_stats().moved == 0);
    tear_down();
}

static void test_an_address_moves(void)
{
    set_up(&usual);
    station_sends(1, 200, 255, 0);
    station_sends(0, 200, 255, SECOND);
    drain(0, 0), drain(1, 0), drain(2, 0);
    station_sends(2, 1, 200, SECOND);
    assert(drain(0, 0) == 1 && drain(1, 0) == 0);
    assert(switch_stats().moved == 1 && switch_stats().macs == 2);
    tear_down();
}

static void test_addresses_age(void)
{
    set_up(&usual);
    station_sends(1, 200, 255, 0);
    station_sends(1, 200, 255, 8 * SECOND);
    drain(0, 0), drain(2, 0), drain(3, 0);
    station_sends(0, 1, 200, 18 * SECOND);
    assert(drain(1, 0) == 1 && drain(2, 0) == 0);
    station_sends(0, 1, 200, 18 * SECOND + 1);
    assert(drain(1, 0) == 1 && drain(2, 0) == 1);
    tear_down();
}

/* What does not fit is counted by who receives, and by who sends when nobody got it. */
static void test_a_receiver_that_never_reads(void)
{
    set_up(&usual);
    station_sends(1, 2, 255, 0);
    drain(0, 0), drain(2, 0), drain(3, 0);
    struct pv_packet *packets[100];
    for (uint32_t i = 0; i < 100; i++)
        packets[i] = make_frame(cache, 1, 2, i, 60);
    ports[0]->ops->send(ports[0], 0, cache, packets, 100, 0);
    assert(pv_packet_pool_used(pool) == 16);
    assert(stats_of(ports[0]).tx_packets == 16 && stats_of(ports[0]).tx_dropped == 84);
    assert(stats_of(ports[0]).tx_bytes == 16 * 60);
    assert(stats_of(ports[1]).rx_dropped == 84);
    station_sends(0, 1, 255, 0);
    assert(stats_of(ports[0]).tx_packets == 17 && stats_of(ports[1]).rx_dropped == 85);
    assert(drain(2, 0) == 1 && drain(3, 0) == 1); /* a full port is no other's matter */
    ports[1]->ops->close(ports[1]);
    ports[1] = NULL;
    assert(pv_packet_pool_used(pool) == 0);
    assert(switch_stats().ports == 3 && switch_stats().macs == 1);
    tear_down();
}

static void test_a_guest_that_is_not_there(void)
{
    set_up(&usual);
    station_sends(1, 2, 255, 0);
    drain(0, 0), drain(2, 0), drain(3, 0);
    ports[1]->ops->set_carrier(ports[1], 0);
    assert(switch_stats().macs == 0);
    station_sends(0, 1, 255, 0);
    ports[1]->ops->set_carrier(ports[1], 1);
    assert(drain(1, 0) == 0 && drain(2, 0) == 1);
    station_sends(0, 1, 2, 0);
    assert(drain(1, 0) == 1);
    tear_down();
}

/* A flow's packets stay on one queue, and flows are spread; a guest with fewer queues than the port
 * gets all on those it has. */
static void test_queues(void)
{
    static const struct pv_switch_port_config four = {.queues = 4, .macs = 8, .waiting = 64};
    set_up(&four);
    station_sends(1, 2, 255, 0);
    for (uint32_t guest = 1; guest <= 4; guest++) {
        ports[1]->ops->set_carrier(ports[1], guest);
        station_sends(1, 2, 255, 0);
        for (uint32_t i = 0; i < 64; i++)
            send_one(ports[0], 0, cache, make_frame(cache, (uint8_t)(10 + i % 8), 2, 5, 60), 0);
        uint32_t all = 0;
        for (uint32_t queue = 0; queue < 4; queue++) {
            uint32_t got = drain(1, queue);
            assert(got == 0 || queue < guest);
            assert(got % 8 == 0); /* a flow's eight */
            all += got;
        }
        assert(all == 64);
    }
    drain(0, 0);
    tear_down();
}

static void test_the_fd_is_the_queues_own(void)
{
    static const struct pv_switch_port_config two = {.queues = 2, .macs = 8, .waiting = 64};
    set_up(&two);
    ports[1]->ops->set_carrier(ports[1], 1);
    for (uint32_t queue = 0; queue < 2; queue++)
        assert(!ports[1]->ops->arm(ports[1], queue));
    station_sends(0, 1, 2, 0);
    assert(is_readable(ports[1]->ops->fd(ports[1], 0)));
    assert(!is_readable(ports[1]->ops->fd(ports[1], 1)));
    assert(drain(1, 0) == 1 && !is_readable(ports[1]->ops->fd(ports[1], 0)));
    tear_down();
}

static void test_numbers(void)
{
    set_up(&usual);
    struct pv_switch_port_config wrong[] = {
        {.queues = 0, .macs = 1, .waiting = 1},
        {.queues = 1, .macs = 0, .waiting = 1},
        {.queues = 1, .macs = PV_SWITCH_MAX_PORT_MACS + 1, .waiting = 1},
        {.queues = 1, .macs = 1, .waiting = 0},
        {.queues = 1, .macs = 1, .waiting = PV_UPLINK_MAX_WAITING_PACKETS + 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        errno = 0;
        assert(!pv_switch_port_create(sw, &wrong[i]) && errno == EINVAL);
    }
    assert(switch_stats().ports == PORTS);
    tear_down();
}

int main(void)
{
    pool = pv_packet_pool_create();
    cache = pv_packet_cache_create(pool);
    test_a_flooded_packet_is_shared();
    test_a_gso_packet_passes_whole();
    test_a_flood_of_sources();
    test_a_full_port_moves_nothing();
    test_an_address_moves();
    test_addresses_age();
    test_a_receiver_that_never_reads();
    test_a_guest_that_is_not_there();
    test_queues();
    test_the_fd_is_the_queues_own();
    test_numbers();
    pv_packet_cache_destroy(cache);
    pv_packet_pool_destroy(pool);
    return 0;
}
