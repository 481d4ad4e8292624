/* A workload's memory: all of it is taken here. */
#include "tools/pvbench/load/workload_private.h"

#include <stdlib.h>
#include <string.h>

#define MIN_REAPED 8u /* where half of all are as many */
#define MAX_REAPED 32u

static bool sizes_are_sound(const struct pv_blk_workload_config *config)
{
    for (int i = 0; i < PV_BLK_DIR_COUNT; i++) {
        const struct pv_blk_sizes *sizes = &config->sizes[i];
        uint32_t percents = 0;
        if (sizes->max == 0)
            continue;
        if (config->verify || sizes->min == 0 || sizes->min > sizes->max ||
            sizes->min % config->block_size || sizes->max % PV_SECTOR_SIZE ||
            sizes->max > config->size || sizes->nr_shares > PV_BLK_SIZE_SHARES)
            return false;
        for (uint32_t j = 0; j < sizes->nr_shares; j++) {
            uint32_t size = sizes->shares[j].size;
            if (size < sizes->min || size > sizes->max || size % PV_SECTOR_SIZE)
                return false;
            percents += sizes->shares[j].percent;
        }
        if (sizes->nr_shares && percents != 100)
            return false;
    }
    return true;
}

static bool distribution_is_sound(const struct pv_blk_workload_config *config)
{
    if (config->distribution == PV_BLK_ZIPF)
        return config->theta > 0.0 && config->theta != 1.0;
    return config->distribution == PV_BLK_UNIFORM || (config->theta > 0.0 && config->theta < 1.0);
}

static bool config_is_sound(const struct pv_blk_workload_config *config)
{
    uint32_t size = config->block_size;
    return config->hypervisor && config->evtchn && config->nr_queues > 0 && config->jobs > 0 &&
           config->iodepth > 0 && config->iodepth <= UINT32_MAX / config->jobs && size > 0 &&
           size % PV_SECTOR_SIZE == 0 && config->offset % PV_SECTOR_SIZE == 0 &&
           config->size >= size && config->read_percent <= 100 &&
           (!config->time_based || config->runtime_ns) &&
           (!config->thinktime_ns || config->thinktime_blocks) && distribution_is_sound(config) &&
           sizes_are_sound(config);
}

/* Bytes from one operation's data to the next: each starts a page. */
static size_t stride(const struct pv_blk_workload *workload)
{
    size_t page_size = workload->config.hypervisor->page_size;
    return (workload->max_size + page_size - 1) / page_size * page_size;
}

static int create_data(struct pv_blk_workload *workload)
{
    const struct pv_blk_workload_config *config = &workload->config;
    size_t size = stride(workload) * workload->nr_slots;
    if (config->in_place)
        return 0;
    workload->data = aligned_alloc(config->hypervisor->page_size, size);
    if (!workload->data)
        return -ENOMEM;
    uint64_t state = config->seed;
    for (size_t at = 0; at < size; at += sizeof(state))
        *(uint64_t *)(workload->data + at) = pv_workload_random(&state);
    return 0;
}

static void *data_of(const struct pv_blk_workload *workload, uint32_t slot)
{
    const struct pv_blk_workload_config *config = &workload->config;
    if (workload->data)
        return workload->data + slot * stride(workload);
    const struct pv_load_queue *queue = &config->queues[slot % config->nr_queues];
    return (uint8_t *)queue->ops->buffers(queue->front) +
           slot / config->nr_queues * stride(workload);
}

static int create_slots(struct pv_blk_workload *workload)
{
    const struct pv_blk_workload_config *config = &workload->config;
    workload->jobs = calloc(config->jobs, sizeof(*workload->jobs));
    workload->slots = calloc(workload->nr_slots, sizeof(*workload->slots));
    workload->done = calloc(workload->nr_slots, sizeof(struct pv_blkfront_io *));
    workload->batches = calloc(config->nr_queues, sizeof(*workload->batches));
    workload->queues = calloc(config->nr_queues, sizeof(*workload->queues));
    if (!workload->jobs || !workload->slots || !workload->done || !workload->batches ||
        !workload->queues)
        return -ENOMEM;
    memcpy(workload->queues, config->queues, config->nr_queues * sizeof(*workload->queues));
    for (uint32_t i = 0; i < config->nr_queues; i++) {
        workload->batches[i].ios = calloc(workload->nr_slots, sizeof(struct pv_blkfront_io *));
        if (!workload->batches[i].ios)
            return -ENOMEM;
    }
    for (uint32_t i = workload->nr_slots; i-- > 0;) {
        struct slot *slot = &workload->slots[i];
        slot->job = &workload->jobs[i / config->iodepth];
        slot->queue = i % config->nr_queues;
        slot->io.data = data_of(workload, i);
        slot->next_free = slot->job->free;
        slot->job->free = slot;
    }
    return 0;
}

static int create_parts(struct pv_blk_workload *workload)
{
    int error = create_data(workload);
    if (!error)
        error = create_slots(workload);
    if (error || !workload->config.verify)
        return error;
    workload->crcs = calloc(workload->nr_blocks, sizeof(*workload->crcs));
    workload->blocks = calloc(workload->nr_blocks, sizeof(*workload->blocks));
    return workload->crcs && workload->blocks ? 0 : -ENOMEM;
}

/* A direction without sizes of its own has blocks among those with several. */
static void take_sizes(struct pv_blk_workload *workload)
{
    struct pv_blk_workload_config *config = &workload->config;
    workload->max_size = config->block_size;
    for (int i = 0; i < PV_BLK_DIR_COUNT; i++) {
        struct pv_blk_sizes *sizes = &config->sizes[i];
        workload->sized |= sizes->max > 0;
        if (sizes->max == 0)
            sizes->min = sizes->max = config->block_size;
        if (sizes->max > workload->max_size)
            workload->max_size = sizes->max;
    }
}

/* Neither side should wait for the other to have finished all of them, nor make the other's cache
 * lines move for each. */
static uint32_t reap_budget(uint32_t depth)
{
    uint32_t half = depth / 2, quarter = depth / 4;
    if (quarter >= MIN_REAPED)
        return quarter < MAX_REAPED ? quarter : MAX_REAPED;
    return half < 1 ? 1 : half < MIN_REAPED ? half : MIN_REAPED;
}

struct pv_blk_workload *pv_blk_workload_create(const struct pv_blk_workload_config *config)
{
    if (!config_is_sound(config)) {
        errno = EINVAL;
        return NULL;
    }
    struct pv_blk_workload *workload = calloc(1, sizeof(*workload));
    if (!workload)
        return NULL;
    workload->config = *config;
    workload->wait = (struct pv_load_wait){
        .hypervisor = config->hypervisor, .evtchn = config->evtchn, .mode = config->mode};
    workload->nr_blocks = config->size / config->block_size;
    workload->nr_slots = config->jobs * config->iodepth;
    take_sizes(workload);
    for (int i = 0; i < PV_BLK_DIR_COUNT; i++)
        workload->paced |= config->rate[i] || config->rate_iops[i];
    workload->paced |= config->thinktime_ns > 0;
    if (config->distribution != PV_BLK_UNIFORM)
        pv_workload_init_distribution(workload);
    workload->reap_budget = reap_budget(workload->nr_slots / config->nr_queues);
    int error = create_parts(workload);
    if (error) {
        pv_blk_workload_destroy(workload);
        errno = -error;
        return NULL;
    }
    return workload;
}

void pv_blk_workload_destroy(struct pv_blk_workload *workload)
{
    if (!workload)
        return;
    for (uint32_t i = 0; workload->batches && i < workload->config.nr_queues; i++)
        free(workload->batches[i].ios);
    free(workload->batches);
    free(workload->queues);
    free(workload->done);
    free(workload->slots);
    for (uint32_t i = 0; workload->jobs && i < workload->config.jobs; i++)
        free(workload->jobs[i].log);
    free(workload->jobs);
    free(workload->data);
    free(workload->crcs);
    free(workload->blocks);
    free(workload);
}
