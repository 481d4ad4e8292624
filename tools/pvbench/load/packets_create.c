/* A packet workload's memory: all of it is taken here. */
#include "tools/pvbench/load/packets_private.h"

#include <stdlib.h>

static bool config_is_sound(const struct pv_packet_workload_config *config)
{
    return config->hypervisor && config->evtchn && config->pool && config->nr_queues > 0 &&
           config->nr_queues <= (uint32_t)(PV_PACKET_WORKLOAD_STREAMS - config->first_stream) &&
           config->pattern < PV_PACKETS_PATTERN_COUNT &&
           config->size >= PV_PACKET_WORKLOAD_MIN_SIZE && config->size <= PV_PACKET_MAX_LENGTH &&
           config->batch > 0 && config->batch <= PV_PACKET_WORKLOAD_MAX_BATCH &&
           (config->pattern != PV_PACKETS_ASK || config->depth > 0);
}

static int create_packets(struct pv_packet_workload *workload, struct load_queue *queue)
{
    const struct pv_packet_workload_config *config = &workload->config;
    struct pv_frame_headers headers;
    pv_frame_make_headers(config, queue->stream, &headers);
    for (uint32_t i = 0; i < config->batch; i++) {
        queue->packets[i] = pv_packet_alloc(workload->cache, config->size);
        if (!queue->packets[i])
            return -ENOMEM;
        pv_frame_init(queue->packets[i], config->size, &headers);
    }
    return 0;
}

static int create_queue(struct pv_packet_workload *workload, uint32_t index)
{
    const struct pv_packet_workload_config *config = &workload->config;
    struct load_queue *queue = &workload->queues[index];
    queue->front = config->queues[index];
    queue->stream = (uint8_t)(config->first_stream + index);
    queue->packets = calloc(config->batch, sizeof(*queue->packets));
    queue->answers = calloc(config->batch, sizeof(*queue->answers));
    if (!queue->packets || !queue->answers)
        return -ENOMEM;
    if (config->pattern == PV_PACKETS_ASK) {
        queue->requests = calloc(config->depth, sizeof(*queue->requests));
        if (!queue->requests)
            return -ENOMEM;
    }
    bool sends = config->pattern != PV_PACKETS_RECEIVE && config->pattern != PV_PACKETS_ANSWER;
    return sends ? create_packets(workload, queue) : 0;
}

static int create_parts(struct pv_packet_workload *workload)
{
    const struct pv_packet_workload_config *config = &workload->config;
    workload->cache = pv_packet_cache_create(config->pool);
    workload->queues = calloc(config->nr_queues, sizeof(*workload->queues));
    workload->batch = calloc(config->batch, sizeof(*workload->batch));
    if (!workload->cache || !workload->queues || !workload->batch)
        return -ENOMEM;
    int error = 0;
    for (uint32_t i = 0; !error && i < config->nr_queues; i++)
        error = create_queue(workload, i);
    return error;
}

struct pv_packet_workload *pv_packet_workload_create(const struct pv_packet_workload_config *config)
{
    if (!config_is_sound(config)) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_packet_workload *workload = calloc(1, sizeof(*workload));
    if (!workload)
        return NULL;
    workload->config = *config;
    workload->wait = (struct pv_load_wait){
        .hypervisor = config->hypervisor, .evtchn = config->evtchn, .mode = config->mode};
    /* A batch goes whole, so it may take half of a ring at most. */
    uint32_t page_size = config->hypervisor->page_size;
    uint32_t ring = pv_ring_entries(page_size, sizeof(union netif_tx_sring_entry));
    workload->slots = (config->size + page_size - 1) / page_size;
    uint32_t most = ring / 2 / workload->slots;
    if (workload->config.batch > most)
        workload->config.batch = most;
    int error = create_parts(workload);
    if (error) {
        pv_packet_workload_destroy(workload);
        errno = -error;
        return NULL;
    }
    return workload;
}

void pv_packet_workload_destroy(struct pv_packet_workload *workload)
{
    if (!workload)
        return;
    for (uint32_t i = 0; workload->queues && i < workload->config.nr_queues; i++) {
        struct load_queue *queue = &workload->queues[i];
        for (uint32_t j = 0; queue->packets && j < workload->config.batch && queue->packets[j]; j++)
            pv_packet_release(workload->cache, &queue->packets[j], 1);
        if (queue->nr_answers > 0)
            pv_packet_release(workload->cache, queue->answers + queue->answer, queue->nr_answers);
        free(queue->packets);
        free(queue->answers);
        free(queue->requests);
    }
    free(workload->queues);
    free(workload->batch);
    pv_packet_cache_destroy(workload->cache);
    free(workload);
}
