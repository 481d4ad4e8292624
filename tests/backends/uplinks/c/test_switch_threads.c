/*
 * Many send through one switch while ports come and go and change their carrier. Each packet is
 * sent to a station or to all, and says from whom it comes and its number there; a receiver sees
 * each sender's packets in order and none twice, and in the end none is left.
 */
#include "tests/backends/uplinks/c/uplink_test.h"

#include "pvdrivers/backends/uplinks/switch.h"
#include "pvdrivers/ring/barrier.h"

#include <pthread.h>
#include <sched.h>

#define STATIONS 3u
#define QUEUES 2u
#define SENT 20000u
#define BATCH 32u

static struct pv_packet_pool *pool;
static struct pv_switch *sw;
static struct pv_uplink *ports[STATIONS];
static uint32_t senders = STATIONS * QUEUES;

static const struct pv_switch_port_config config = {.queues = QUEUES, .macs = 4, .waiting = 128};

struct worker {
    uint32_t station, queue;
    uint32_t last[STATIONS][QUEUES]; /* by sender and its queue, which is in the number */
};

static void receive(struct worker *worker, struct pv_packet_cache *cache, uint64_t now)
{
    struct pv_packet *packets[BATCH];
    struct pv_uplink *port = ports[worker->station];
    uint32_t count = port->ops->receive(port, worker->queue, cache, packets, BATCH, now);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = packets[i]->data[11], number = number_of(packets[i]);
        if (from >= STATIONS) /* of those that come and go */
            continue;
        uint32_t *last = &worker->last[from][number % QUEUES];
        assert(from != worker->station && number > *last);
        *last = number;
    }
    pv_packet_release(cache, packets, count);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    struct pv_uplink *port = ports[worker->station];
    for (uint32_t sent = 0; sent < SENT; sent += BATCH) {
        struct pv_packet *packets[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) {
            uint8_t to = (uint8_t)((worker->station + 1 + i % (STATIONS - 1)) % STATIONS);
            uint32_t number = (sent + i + 1) * QUEUES + worker->queue;
            packets[i] = make_frame(cache, (uint8_t)worker->station, i % 16 ? to : 255, number, 60);
        }
        port->ops->send(port, worker->queue, cache, packets, BATCH, sent);
        receive(worker, cache, sent);
    }
    pv_fetch_sub(&senders, 1);
    while (pv_load_acquire(&senders) > 0) {
        receive(worker, cache, SENT);
        sched_yield();
    }
    pv_packet_cache_destroy(cache);
    return NULL;
}

/* A station that comes, sends from several addresses, does not read and goes. */
static void *come_and_go(void *argument)
{
    uint64_t *times = argument;
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    do {
        struct pv_uplink *port = pv_switch_port_create(sw, &config);
        port->ops->set_carrier(port, QUEUES);
        for (uint8_t i = 0; i < 8; i++)
            send_one(port, 0, cache, make_frame(cache, (uint8_t)(100 + i), 99, 0, 60), 0);
        port->ops->set_carrier(port, *times % 2);
        port->ops->purge(port, 0, cache);
        port->ops->close(port);
        ++*times;
        sched_yield();
    } while (pv_load_acquire(&senders) > 0);
    pv_packet_cache_destroy(cache);
    return NULL;
}

/* Sleeps on a port's fd when there is nothing, as a poll group does. */
static void *sleep_and_read(void *argument)
{
    struct pv_uplink *port = argument;
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    bool last;
    do {
        last = pv_load_acquire(&senders) == 0;
        struct pv_packet *packets[BATCH];
        uint32_t count = port->ops->receive(port, 0, cache, packets, BATCH, 0);
        pv_packet_release(cache, packets, count);
        struct pollfd polled = {.fd = port->ops->fd(port, 0), .events = POLLIN};
        if (count == 0 && !port->ops->arm(port, 0))
            poll(&polled, 1, 50);
    } while (!last);
    pv_packet_cache_destroy(cache);
    return NULL;
}

int main(void)
{
    pool = pv_packet_pool_create();
    sw = pv_switch_create(&(struct pv_switch_config){.pool = pool, .ageing_ns = SENT / 4});
    for (uint32_t i = 0; i < STATIONS; i++) {
        ports[i] = pv_switch_port_create(sw, &config);
        ports[i]->ops->set_carrier(ports[i], QUEUES);
    }
    struct pv_uplink *listener = pv_switch_port_create(sw, &config);
    listener->ops->set_carrier(listener, 1);

    struct worker workers[STATIONS * QUEUES] = {{0}};
    pthread_t threads[STATIONS * QUEUES], comer, hearer;
    uint64_t times = 0;
    for (uint32_t i = 0; i < STATIONS * QUEUES; i++) {
        workers[i] = (struct worker){.station = i / QUEUES, .queue = i % QUEUES};
        assert(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    assert(pthread_create(&comer, NULL, come_and_go, &times) == 0);
    assert(pthread_create(&hearer, NULL, sleep_and_read, listener) == 0);
    for (uint32_t i = 0; i < STATIONS * QUEUES; i++)
        assert(pthread_join(threads[i], NULL) == 0);
    assert(pthread_join(comer, NULL) == 0 && pthread_join(hearer, NULL) == 0 && times > 0);

    for (uint32_t i = 0; i < STATIONS; i++) {
        struct pv_uplink_stats stats = stats_of(ports[i]);
        assert(stats.tx_packets + stats.tx_dropped == QUEUES * SENT);
        assert(stats.tx_packets > 0 && stats.rx_packets > 0);
        ports[i]->ops->close(ports[i]);
    }
    assert(stats_of(listener).rx_packets > 0);
    listener->ops->close(listener);
    struct pv_switch_stats stats;
    pv_switch_get_stats(sw, &stats);
    assert(stats.ports == 0 && stats.macs == 0);
    pv_switch_destroy(sw);
    assert(pv_packet_pool_used(pool) == 0);
    pv_packet_pool_destroy(pool);
    return 0;
}
