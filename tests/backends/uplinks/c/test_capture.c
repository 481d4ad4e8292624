/* Threads that record into one capture, beside its writer; under TSan too. Every packet is counted
 * once, as recorded or not, and all packets pass. */
#include "pvdrivers/backends/uplinks/pcapng.h"
#include "pvdrivers/backends/uplinks/uplinks.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 3
#define BATCHES 2000
#define BATCH 8

static struct pv_packet_pool *pool;
static struct pv_uplink *uplink;

static void *send_all(void *argument)
{
    uint32_t queue = *(uint32_t *)argument;
    struct pv_packet_cache *cache = pv_packet_cache_create(pool);
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        struct pv_packet *packets[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) {
            packets[i] = pv_packet_alloc(cache, 1514);
            packets[i]->length = 60 + batch % 1400;
            memset(packets[i]->data, (int)queue, packets[i]->length);
        }
        uplink->ops->send(uplink, queue, cache, packets, BATCH, batch);
    }
    pv_packet_cache_destroy(cache);
    return NULL;
}

static void test_threads(struct pv_capture *capture)
{
    pthread_t threads[THREADS];
    uint32_t queues[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        queues[i] = i;
        assert(pthread_create(&threads[i], NULL, send_all, &queues[i]) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct pv_capture_stats stats;
    struct pv_uplink_stats passed;
    pv_capture_get_stats(capture, &stats);
    uplink->ops->get_stats(uplink, &passed);
    assert(stats.recorded > 0 && stats.error == 0);
    assert(stats.recorded + stats.not_recorded == THREADS * BATCHES * BATCH);
    assert(passed.tx_packets == THREADS * BATCHES * BATCH);
    assert(pv_packet_pool_used(pool) == 0);
}

/* Blocks follow each other without a gap, each with its length at both ends. */
static uint64_t packets_in(FILE *file)
{
    uint64_t packets = 0;
    uint32_t head[2];
    rewind(file);
    while (fread(head, sizeof(head), 1, file) == 1) {
        uint32_t tail;
        assert(head[1] >= 12 && head[1] % 4 == 0 && head[1] < 4096);
        assert(fseek(file, head[1] - 12, SEEK_CUR) == 0);
        assert(fread(&tail, sizeof(tail), 1, file) == 1 && tail == head[1]);
        packets += head[0] == 6;
    }
    return packets;
}

int main(void)
{
    pool = pv_packet_pool_create();
    FILE *file = tmpfile();
    assert(!pv_capture_create(dup(fileno(file)), PV_CAPTURE_MIN_BUFFER - 1, 0) && errno == EINVAL);
    struct pv_capture *capture =
        pv_capture_create(dup(fileno(file)), PV_CAPTURE_MIN_BUFFER, 1000000000);
    uplink = pv_capture_uplink_create(capture, pv_null_uplink_create(pool, THREADS), "vif1.0",
                                      PV_PACKET_MAX_LENGTH);
    assert(capture && uplink && !uplink->no_data);
    test_threads(capture);
    struct pv_capture_stats stats;
    pv_capture_get_stats(capture, &stats);
    assert(pv_capture_close(capture) == -EBUSY);
    uplink->ops->close(uplink);
    assert(pv_capture_close(capture) == 0);
    assert(packets_in(file) == stats.recorded);
    fclose(file);
    pv_packet_pool_destroy(pool);
    return 0;
}
