/* What a job does next. */
#include "tools/pvbench/load/workload_private.h"

static enum pv_blk_direction choose_direction(const struct pv_blk_workload *workload,
                                              struct job *job)
{
    if (workload->pass != PASS_MEASURE)
        return workload->pass == PASS_LAYOUT ? PV_BLK_DIR_WRITE : PV_BLK_DIR_READ;
    if (workload->config.trim)
        return PV_BLK_DIR_TRIM;
    uint32_t percent = workload->config.read_percent;
    if (percent == 0 || percent >= 100)
        return percent == 0 ? PV_BLK_DIR_WRITE : PV_BLK_DIR_READ;
    bool read = pv_workload_random(&job->random_state) % 100 < percent;
    return read ? PV_BLK_DIR_READ : PV_BLK_DIR_WRITE;
}

/* One of `count`. */
static uint64_t choose_uniform(struct job *job, uint64_t count)
{
    unsigned __int128 random = pv_workload_random(&job->random_state);
    return (uint64_t)(random * count >> 64);
}

static uint64_t choose_mapped(const struct pv_blk_workload *workload, struct job *job)
{
    if (job->taken == 0)
        pv_permutation_init(&job->order, workload->nr_blocks, &job->random_state);
    uint64_t block = pv_permutation_at(&job->order, job->taken);
    if (++job->taken == workload->nr_blocks)
        job->taken = 0;
    return block;
}

static uint64_t choose_block(const struct pv_blk_workload *workload, struct job *job,
                             enum pv_blk_direction direction)
{
    if (workload->pass == PASS_MEASURE && workload->config.random) {
        if (workload->config.distribution != PV_BLK_UNIFORM)
            return pv_workload_distributed(workload, job);
        if (workload->config.random_map)
            return choose_mapped(workload, job);
        return choose_uniform(job, workload->nr_blocks);
    }
    uint64_t block = job->next_block[direction];
    job->next_block[direction] = block + 1 < workload->nr_blocks ? block + 1 : 0;
    return block;
}

/* With verify no two operations on a block may overlap, or its content would not be known: the
 * next one that is not busy is taken. False when there is none. */
static bool claim_block(struct pv_blk_workload *workload, uint64_t *block)
{
    if (!workload->blocks)
        return true;
    for (uint64_t tried = 0; tried <= workload->nr_slots && tried < workload->nr_blocks; tried++) {
        if (!(workload->blocks[*block] & BLOCK_BUSY)) {
            workload->blocks[*block] |= BLOCK_BUSY;
            return true;
        }
        *block = *block + 1 < workload->nr_blocks ? *block + 1 : 0;
    }
    return false;
}

static bool place_block(struct pv_blk_workload *workload, struct job *job, struct slot *slot)
{
    const struct pv_blk_workload_config *config = &workload->config;
    slot->block = choose_block(workload, job, slot->direction);
    if (workload->pass == PASS_VERIFY && !(workload->blocks[slot->block] & BLOCK_KNOWN)) {
        job->left -= config->block_size;
        return false;
    }
    if (!claim_block(workload, &slot->block))
        return false;
    slot->io.sector = (config->offset + slot->block * config->block_size) / PV_SECTOR_SIZE;
    slot->io.nr_sectors = config->block_size / PV_SECTOR_SIZE;
    return true;
}

/* ---- Operations of several sizes ------------------------------------------------------------ */

static uint32_t choose_size(struct job *job, const struct pv_blk_sizes *sizes)
{
    if (sizes->min == sizes->max)
        return sizes->min;
    if (sizes->nr_shares == 0) {
        uint64_t size = sizes->min + choose_uniform(job, sizes->max);
        size -= size % sizes->min;
        return size < sizes->max ? (uint32_t)size : sizes->max;
    }
    uint32_t percent = (uint32_t)choose_uniform(job, 100);
    uint32_t share = 0;
    while (share + 1 < sizes->nr_shares && percent >= sizes->shares[share].percent)
        percent -= sizes->shares[share++].percent;
    return sizes->shares[share].size;
}

/* Where an operation of `bytes` starts, in bytes from the region's start. */
static uint64_t choose_start(const struct pv_blk_workload *workload, struct job *job,
                             enum pv_blk_direction direction, uint32_t bytes)
{
    const struct pv_blk_workload_config *config = &workload->config;
    uint32_t unit = config->sizes[direction].min;
    uint64_t nr_starts = (config->size - bytes) / unit + 1;
    if (!config->random) {
        uint64_t start = job->next_block[direction];
        if (start >= nr_starts)
            start = 0;
        job->next_block[direction] = start + (bytes + unit - 1) / unit;
        return start * unit;
    }
    if (config->distribution == PV_BLK_UNIFORM)
        return choose_uniform(job, nr_starts) * unit;
    uint64_t start = pv_workload_distributed(workload, job) * config->block_size / unit;
    return (start < nr_starts ? start : nr_starts - 1) * unit;
}

static bool place_sized(struct pv_blk_workload *workload, struct job *job, struct slot *slot)
{
    uint32_t bytes = choose_size(job, &workload->config.sizes[slot->direction]);
    uint64_t start = choose_start(workload, job, slot->direction, bytes);
    slot->io.sector = (workload->config.offset + start) / PV_SECTOR_SIZE;
    slot->io.nr_sectors = bytes / PV_SECTOR_SIZE;
    return true;
}

/* --------------------------------------------------------------------------------------------- */

static const uint8_t operation_of[PV_BLK_DIR_COUNT] = {BLKIF_OP_READ, BLKIF_OP_WRITE,
                                                       BLKIF_OP_DISCARD};

bool pv_workload_choose(struct pv_blk_workload *workload, struct job *job, struct slot *slot)
{
    const struct pv_blk_workload_config *config = &workload->config;
    bool measured = workload->pass == PASS_MEASURE;
    if (config->fsync && measured && job->writes_since_flush == config->fsync) {
        job->writes_since_flush = 0;
        slot->io.operation = BLKIF_OP_FLUSH_DISKCACHE;
        slot->io.sector = slot->io.nr_sectors = 0;
        return true;
    }
    slot->direction = choose_direction(workload, job);
    if (workload->paced && measured && !pv_workload_is_due(workload, job, &slot->direction))
        return false;
    bool sized = workload->sized && measured;
    if (!(sized ? place_sized(workload, job, slot) : place_block(workload, job, slot)))
        return false;
    uint64_t bytes = (uint64_t)slot->io.nr_sectors * PV_SECTOR_SIZE;
    job->left -= bytes < job->left ? bytes : job->left;
    job->writes_since_flush += slot->direction == PV_BLK_DIR_WRITE;
    slot->io.operation = operation_of[slot->direction];
    if (workload->paced && measured)
        pv_workload_pace_issued(workload, job, slot->direction, (uint32_t)bytes);
    if (workload->blocks && slot->direction == PV_BLK_DIR_WRITE)
        pv_workload_fill(workload, slot);
    return true;
}
